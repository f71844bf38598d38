"""`exness-streams upgrade`: by which rules each partition of the journal goes, and on Kafka the change to later ones.

The change is a record in each partition (domain/rules.py). A worker that does not know the rules stops before it, so
it is written once every member of the workers' group has said that it knows them, and a checkpoint of each cell proves
what was made by the rules before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from exness_streams.audit.checkpoints import candles_changelog_of, changelog_of, committed_entries
from exness_streams.audit.kafka import cell_count, checkpoint_cluster
from exness_streams.domain import rules
from exness_streams.domain.codec import META_KEY, decode_meta
from exness_streams.engine.framer_state import FRAMER_KEY, decode_framer_state
from exness_streams.engine.raising import changes
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader
from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.kafka.members import GroupMember, group_members
from exness_streams.transport.kafka.reader import KafkaReader, kafka_reader
from exness_streams.transport.kafka.topics import KafkaCluster

LOOK_BACK_RECORDS = 256
TICKS_PARTITION = 0
FOLDED_S_MAX = 30.0
POLL_S = 0.5

Tell = Callable[[str], None]
OnProgress = Callable[[int, int], None]


class NotYet(Exception):
    """The rules can't be raised now. str() is one line: why, and what to do first."""


def embedded_rules(log_dir: Path, group: str) -> list[int]:
    """By partition, what its cell's table says. LogFault."""
    with LogReader(log_dir).snapshot() as snapshot:
        found = []
        for partition in range(snapshot.topics().get(JOURNAL_TOPIC, 0)):
            _, entries = committed_entries(snapshot, group, partition)
            found.append(_rules_of(entries.get(META_KEY)))
        return found


async def cluster_rules(cluster: KafkaCluster, group: str) -> list[int]:
    """By partition, what its cell's changelog says last. LogFault."""
    async with kafka_reader(cluster) as reader:
        cells = range(await cell_count(reader, cluster))
        return [await _cell_rules(reader, changelog_of(group), partition) for partition in cells]


async def _cell_rules(reader: KafkaReader, changelog: str, partition: int) -> int:
    """By the newest Meta: every transaction writes one, so it is near the end."""
    return _rules_of(await _newest(reader, changelog, partition, META_KEY))


async def _framer_epoch(reader: KafkaReader, group: str) -> int:
    """Of the ticks' owner, as committed; 0: nobody has left one."""
    state = await _newest(reader, candles_changelog_of(group), TICKS_PARTITION, FRAMER_KEY)
    return 0 if state is None else decode_framer_state(state).epoch


async def _newest(reader: KafkaReader, topic: str, partition: int, key: bytes) -> bytes | None:
    """The newest value of a key that is written often, so that it is near the end. LogFault."""
    if await reader.partition_count(topic) <= partition:
        return None
    start, end = await reader.bounds(topic, partition)
    found: list[bytes] = []

    def take(record: Any) -> bool:
        if record.key == key:
            found.append(record.value)
        return False

    look_back = LOOK_BACK_RECORDS
    while not found and end > start:
        await reader.read(topic, partition, max(start, end - look_back), end, take)
        if end - look_back <= start:
            break
        look_back *= 16
    return found[-1] if found else None


def _rules_of(meta: bytes | None) -> int:
    return rules.FIRST if meta is None else decode_meta(meta).rules


def check_wanted(wanted: int, current: list[int]) -> None:
    """Misconfigured for rules that this release does not know, and for those that are behind already."""
    if wanted > rules.NEWEST:
        raise Misconfigured(f"rules {wanted} are not known to this release, which knows them up to {rules.NEWEST}")
    if current and wanted < max(current):
        raise Misconfigured(f"the journal goes by rules {max(current)} already, and never back to {wanted}")


def check_members(members: list[GroupMember], wanted: int) -> None:
    """NotYet, unless there are workers and all of them know the rules."""
    if not members:
        raise NotYet("no worker runs, so none says which rules it knows: start those of this release first")
    behind = [member for member in members if member.rules_known < wanted]
    if behind:
        named = ", ".join(f"{one.url} ({_known(one.rules_known)})" for one in behind)
        raise NotYet(f"not every worker knows rules {wanted}: {named}. Replace each by this release, then try again")


def _known(number: int) -> str:
    return f"it knows them up to {number}" if number else "of a release before there were any"


async def raise_cluster(
    cluster: KafkaCluster,
    group: str,
    wanted: int,
    checkpoints_dir: Path,
    *,
    is_proven: bool = True,
    on_progress: OnProgress = lambda done, total: None,
    tell: Tell = lambda line: None,
) -> None:
    """Raise every partition to these rules, one after the other. NotYet; LogFault, ValueError as checkpoint_cluster.

    is_proven: a checkpoint of each cell is written first, by an audit. What an end in the middle leaves undone, another
    call does.
    """
    check_members(await group_members(cluster, group), wanted)
    if is_proven:
        await checkpoint_cluster(cluster, group, checkpoints_dir, on_progress, tell)
        check_members(await group_members(cluster, group), wanted)  # an audit takes its time
    current = await cluster_rules(cluster, group)
    async with kafka_reader(cluster) as reader, cluster.producer() as producer:
        try:
            for partition, number in enumerate(current):
                for value in changes(number, wanted, await _framer_epoch(reader, group)):
                    await producer.send_and_wait(cluster.topics.journal, value, partition=partition)
        except KafkaError as error:
            raise LogFault(f"Kafka did not take the change of rules: {error}. Run this again") from error


async def wait_until_raised(
    cluster: KafkaCluster, group: str, wanted: int, *, s_max: float = FOLDED_S_MAX
) -> list[int]:
    """The rules by partition, once the cells have come to the change, or as they are after a while. LogFault."""
    deadline_s = time.monotonic() + s_max
    while True:
        found = await cluster_rules(cluster, group)
        if min(found) >= wanted or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(POLL_S)
