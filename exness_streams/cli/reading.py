"""The command that shows the journal's records."""

from __future__ import annotations

from pathlib import Path

import click

from exness_streams.cli.checking import cluster_of, kafka_option, on_cluster, replaying, settings_of
from exness_streams.cli.running import data_dir_option
from exness_streams.terminal.command import Command
from exness_streams.terminal.console import EXIT_MISUSED, OneLine

COUNT = 20


@click.command(cls=Command)
@kafka_option
@data_dir_option
@click.option("--partition", type=click.IntRange(min=0), default=0, show_default=True, help="Which of the journal's.")
@click.option("--from", "first", type=click.IntRange(min=0), help="The offset of the first; else the newest are shown.")
@click.option("--count", type=click.IntRange(min=1), default=COUNT, show_default=True, help="How many at most.")
def journal(kafka: bool, data_dir: Path | None, partition: int, first: int | None, count: int) -> None:
    """Show records of the journal, one JSON object a line. Reads beside a running platform, and changes nothing."""
    from exness_streams.processes.journal import Wanted, cluster_records, embedded_records
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.transport.faults import Misconfigured

    settings, wanted = settings_of(kafka, data_dir), Wanted(partition, first, count)
    with replaying():
        try:
            if isinstance(settings, KafkaSettings):
                cluster = cluster_of(settings)
                lines = on_cluster(cluster, cluster_records(cluster, wanted))
            else:
                lines = embedded_records(settings.log_dir, wanted)
        except Misconfigured as why:
            raise OneLine(str(why), EXIT_MISUSED) from None
    for line in lines:
        click.echo(line)
