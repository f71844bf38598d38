"""The command that raises the rules by which the journal is folded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exness_streams.cli.checking import cluster_of, kafka_option, note, on_cluster, replaying, settings_of
from exness_streams.cli.running import data_dir_option
from exness_streams.terminal.command import Command
from exness_streams.terminal.console import EXIT_MISUSED, OneLine, console

if TYPE_CHECKING:
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.platform import Settings


@click.command(cls=Command)
@kafka_option
@data_dir_option
@click.option(
    "--to", "wanted", type=click.IntRange(min=1), help="The rules wanted; the newest if nothing else is said."
)
@click.option("--dry-run", is_flag=True, help="Only say which rules are in force, and which worker knows which.")
@click.option("--unproven", is_flag=True, help="Write no checkpoints first, for a journal that can't be audited.")
def upgrade(kafka: bool, data_dir: Path | None, wanted: int | None, dry_run: bool, unproven: bool) -> None:
    """Show the rules that the journal is folded by, and on Kafka go on to later ones.

    They are changed once every engine worker knows the new ones. On the embedded log the next start changes them.
    """
    from exness_streams.domain import rules
    from exness_streams.processes.upgrade import NotYet
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.transport.faults import Misconfigured

    settings = settings_of(kafka, data_dir)
    wanted = rules.NEWEST if wanted is None else wanted
    with replaying() as on_progress:
        try:
            if isinstance(settings, KafkaSettings):
                _upgrade_cluster(settings, wanted, on_progress, dry_run=dry_run, is_proven=not unproven)
            else:
                _show_embedded(settings, wanted)
        except NotYet as why:
            raise OneLine(str(why)) from None
        except Misconfigured as why:
            raise OneLine(str(why), EXIT_MISUSED) from None


def _upgrade_cluster(
    settings: KafkaSettings, wanted: int, on_progress: Callable[[int, int], None], *, dry_run: bool, is_proven: bool
) -> None:
    from exness_streams.engine.engine import APP_ID
    from exness_streams.processes.upgrade import (
        check_members,
        check_wanted,
        cluster_rules,
        raise_cluster,
        wait_until_raised,
    )
    from exness_streams.settings.topic_prefix import check_prefix
    from exness_streams.transport.kafka.members import group_members

    check_prefix(settings.data_dir, settings.topic_prefix)
    group, cluster = settings.named(APP_ID), cluster_of(settings)
    found = on_cluster(cluster, cluster_rules(cluster, group))
    check_wanted(wanted, found)
    _tell_rules(found)
    members = on_cluster(cluster, group_members(cluster, group))
    for member in members:
        knows = f"knows rules up to {member.rules_known}" if member.rules_known else "knows only rules 1"
        console().print(f"worker {member.url}: {knows}", soft_wrap=True, highlight=False)
    if min(found) >= wanted:
        console().print(f"every partition goes by rules {wanted} already", highlight=False)
        return
    check_members(members, wanted)
    if dry_run:
        console().print(f"every worker knows rules {wanted}: run this without --dry-run", highlight=False)
        return
    directory = settings.checkpoints_dir
    raising = raise_cluster(cluster, group, wanted, directory, is_proven=is_proven, on_progress=on_progress, tell=note)
    on_cluster(cluster, raising)
    found = on_cluster(cluster, wait_until_raised(cluster, group, wanted))
    _tell_rules(found)
    if min(found) < wanted:
        waiting = "the change is in the journal; the cells above with older rules have not come to it, or not saved it"
        console().print(waiting, soft_wrap=True, highlight=False)


def _tell_rules(found: list[int]) -> None:
    for partition, number in enumerate(found):
        console().print(f"cell {partition}: rules {number}", highlight=False)


def _show_embedded(settings: Settings, wanted: int) -> None:
    from exness_streams.domain import rules
    from exness_streams.engine.engine import APP_ID
    from exness_streams.processes.upgrade import check_wanted, embedded_rules

    found = embedded_rules(settings.log_dir, APP_ID)
    check_wanted(wanted, found)
    _tell_rules(found)
    if not found:
        said = "there is no journal yet: a new one begins with the newest rules"
    elif min(found) >= rules.NEWEST:
        said = f"these are the newest that this release knows ({rules.NEWEST})"
    else:
        said = (
            f"the next `exness-streams run` of this release goes on to rules {rules.NEWEST} by itself, once a "
            "checkpoint proves what was made by those before; with --kafka this command does it for a cluster"
        )
    console().print(said, soft_wrap=True, highlight=False)
