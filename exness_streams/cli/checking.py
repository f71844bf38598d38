"""The commands that replay the journal and compare."""

from __future__ import annotations

import _thread
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exness_streams.cli.running import cluster_settings, data_dir_option, platform_settings, watched
from exness_streams.terminal.command import Command
from exness_streams.terminal.console import OneLine, console, errors

if TYPE_CHECKING:
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.platform import Settings

T = TypeVar("T")

kafka_option = click.option(
    "--kafka", is_flag=True, help="Read the cluster at KAFKA_BROKERS instead of the embedded log."
)


def settings_of(kafka: bool, data_dir: Path | None) -> Settings | KafkaSettings:
    """Those of the log that is meant."""
    return cluster_settings(data_dir=data_dir) if kafka else platform_settings(data_dir=data_dir)


@contextmanager
def replaying() -> Iterator[Callable[[int, int], None]]:
    """A progress bar while it lasts; faults that end it are told in one line, and so is a signal."""
    stopping = watched()
    stopping.when_asked(_thread.interrupt_main)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from exness_streams.processes.exit_codes import exit_code_of
    from exness_streams.processes.run import in_words
    from exness_streams.processes.stopping import EXIT_FORCED
    from exness_streams.transport.faults import LogFault

    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own line says what is wrong
    with Progress(*columns, console=errors(), transient=True) as progress:
        task = progress.add_task("replay", total=None)
        try:
            yield lambda done, total: progress.update(task, completed=done, total=total)
        except (LogFault, ValueError, OSError) as error:
            stopping.limit(in_words(error))
            raise OneLine(in_words(error), exit_code_of(error)) from None
        except KeyboardInterrupt:
            raise OneLine("interrupted before the end", EXIT_FORCED) from None


def note(line: str) -> None:
    """Something that an audit passed over."""
    errors().print(f"exness-streams: {line}", markup=False, highlight=False, soft_wrap=True)


def cluster_of(settings: KafkaSettings) -> Any:
    """The KafkaCluster of the settings."""
    from exness_streams.transport.kafka.topics import KafkaCluster

    return KafkaCluster(settings.kafka_brokers, settings.security().credentials(), settings.topics)


def on_cluster(cluster: Any, work: Coroutine[object, object, T]) -> T:
    """What the work at a cluster gives. LogFault; where no broker could be used, one that says why."""
    from exness_streams.processes.run import run_loop
    from exness_streams.transport.faults import LogFault
    from exness_streams.transport.kafka.outlook import explained

    async def run() -> T:
        try:
            return await work
        except LogFault as fault:
            raise await explained(cluster, fault) or fault from None

    return run_loop(run())


@click.command(cls=Command)
@kafka_option
@data_dir_option
def audit(kafka: bool, data_dir: Path | None) -> None:
    """Replay the journal and compare every account with the tables. Exit code 1 on a difference."""
    from exness_streams.audit.embedded import audit_all
    from exness_streams.audit.kafka import audit_cluster
    from exness_streams.engine.engine import APP_ID
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.topic_prefix import check_prefix

    settings = settings_of(kafka, data_dir)
    checkpoints = settings.checkpoints_dir
    with replaying() as on_progress:
        if isinstance(settings, KafkaSettings):
            check_prefix(settings.data_dir, settings.topic_prefix)
            group, cluster = settings.named(APP_ID), cluster_of(settings)
            audits = on_cluster(cluster, audit_cluster(cluster, group, checkpoints, on_progress, note))
        else:
            audits = audit_all(settings.log_dir, settings.tables_dir, checkpoints, APP_ID, on_progress, note)
    for cell in audits:
        console().print(
            f"cell {cell.partition}: journal records {cell.began_at} to {cell.ended_at}, {cell.accounts} accounts, "
            f"compared with {cell.table}",
            soft_wrap=True,
        )
        console().print(f"  replayed {cell.replayed_hash}\n  table    {cell.table_hash}", soft_wrap=True)
        for difference in cell.differences:
            console().print(f"  {difference}", style="red", markup=False, soft_wrap=True)
    if not all(cell.is_clean for cell in audits):
        raise OneLine("the journal and the tables differ")
    console().print("[bold green]all agree, and money is conserved[/]")


@click.command(cls=Command)
@kafka_option
@data_dir_option
def checkpoint(kafka: bool, data_dir: Path | None) -> None:
    """Audit every cell and write its checkpoint, from which an audit may begin. One that differs is refused."""
    from exness_streams.audit.embedded import CheckpointRefused, checkpoint_all
    from exness_streams.audit.kafka import checkpoint_cluster
    from exness_streams.engine.engine import APP_ID
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.topic_prefix import check_prefix

    settings = settings_of(kafka, data_dir)
    checkpoints = settings.checkpoints_dir
    with replaying() as on_progress:
        if isinstance(settings, KafkaSettings):
            check_prefix(settings.data_dir, settings.topic_prefix)
            group, cluster = settings.named(APP_ID), cluster_of(settings)
            headers = on_cluster(cluster, checkpoint_cluster(cluster, group, checkpoints, on_progress, note))
        else:
            try:
                headers = checkpoint_all(settings.log_dir, settings.tables_dir, checkpoints, APP_ID, on_progress, note)
            except CheckpointRefused as refused:
                raise OneLine(str(refused)) from None
    for header in headers:
        console().print(
            f"cell {header.partition}: {header.entries} entries at journal record {header.offset}, "
            f"state hash {header.state_hash}",
            soft_wrap=True,
        )
