"""The command that lets a journal go on without records that are lost or can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exness_streams.cli.checking import cluster_of, kafka_option, on_cluster, replaying, settings_of
from exness_streams.cli.running import data_dir_option
from exness_streams.terminal.command import Command
from exness_streams.terminal.console import EXIT_MISUSED, OneLine, console

if TYPE_CHECKING:
    from exness_streams.domain.codec import JournalRepaired
    from exness_streams.processes.repair import Found, Loss
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.platform import Settings

WORDS_MAX = 500


@click.command(cls=Command)
@kafka_option
@data_dir_option
@click.option("--confirm", is_flag=True, help="Write it. Without this, nothing is written.")
@click.option("--operator", default="", help="Who decides it: a name that others know.")
@click.option("--reason", default="", help="Why these records are given up.")
@click.option("--even-later", is_flag=True, help="Give up records, too, that a later release may know.")
def repair(kafka: bool, data_dir: Path | None, confirm: bool, operator: str, reason: str, even_later: bool) -> None:
    """Show the records that are lost or can't be read, and with --confirm go on without them.

    For a journal that no backup brings back. Who gives them up, and why, is written to the journal.
    """
    settings = settings_of(kafka, data_dir)
    if confirm:
        _check_words(operator=operator, reason=reason)
    with replaying():
        found = _find(settings)
        for cell in found:
            _tell(cell)
        losses = [loss for cell in found for loss in cell.losses]
        if losses and confirm:
            _check_later(losses, even_later)
            _write(settings, found, operator.strip(), reason.strip())
    if losses and not confirm:
        console().print(
            "nothing was written. A backup that has these records is better (docs/operations.md, Repair). To go on "
            f"without them: exness-streams repair{' --kafka' if kafka else ''} --confirm --operator NAME --reason TEXT",
            soft_wrap=True,
            highlight=False,
        )
    if beyond := [cell for cell in found if cell.beyond_repair]:
        raise OneLine(f"cell {beyond[0].partition} can't be repaired: {beyond[0].beyond_repair}")


def _check_words(**given: str) -> None:
    for name, words in given.items():
        if not words.strip() or not words.isprintable() or len(words) > WORDS_MAX:
            raise OneLine(f"--{name} is wanted with --confirm: one line of 1 to {WORDS_MAX} letters", EXIT_MISUSED)


def _check_later(losses: list[Loss], even_later: bool) -> None:
    if not even_later and any(loss.is_later for loss in losses):
        raise OneLine(
            "nothing was written: a later release may know the records that are marked so, and a cell that passes over "
            "them is another than that release makes. Start that release; or, if they are a stranger's, add "
            "--even-later",
            EXIT_MISUSED,
        )


def _find(settings: Settings | KafkaSettings) -> list[Found]:
    from exness_streams.engine.engine import APP_ID
    from exness_streams.processes.repair import find_embedded, find_in_cluster
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.topic_prefix import check_prefix

    if isinstance(settings, KafkaSettings):
        check_prefix(settings.data_dir, settings.topic_prefix)
        cluster = cluster_of(settings)
        return on_cluster(cluster, find_in_cluster(cluster, settings.named(APP_ID)))
    return find_embedded(settings.log_dir, APP_ID)


def _tell(cell: Found) -> None:
    if not cell.losses:
        console().print(f"cell {cell.partition}: every record can be folded", highlight=False)
    for loss in cell.losses:
        named = f"record {loss.first}" if loss.end == loss.first + 1 else f"records {loss.first} to {loss.end - 1}"
        later = "; perhaps a later release knows it" if loss.is_later else ""
        console().print(
            f"cell {cell.partition}: {named} {loss.why}{later}", soft_wrap=True, highlight=False, markup=False
        )


def _write(settings: Settings | KafkaSettings, found: list[Found], operator: str, reason: str) -> None:
    from exness_streams.processes.repair import repair_cluster, repair_embedded, repairs_for
    from exness_streams.processes.run import run_loop
    from exness_streams.settings.kafka import KafkaSettings

    records: dict[int, list[JournalRepaired]] = {
        cell.partition: repairs_for(cell.losses, operator, reason) for cell in found
    }
    if isinstance(settings, KafkaSettings):
        cluster = cluster_of(settings)
        on_cluster(cluster, repair_cluster(cluster, settings.checkpoints_dir, found, records))
    else:
        run_loop(repair_embedded(settings.log_dir, settings.checkpoints_dir, found, records))
    for partition, repairs in records.items():
        for one in repairs:
            console().print(
                f"cell {partition}: records {one.first} to {one.end - 1} are given up; its owner goes on at {one.end}",
                highlight=False,
            )
