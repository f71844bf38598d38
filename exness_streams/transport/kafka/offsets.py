"""Offsets that a group has committed, and where a topic's data end."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from async_timeout import timeout
from faust.types import TP

from exness_streams.transport.faults import LogFault, first_line
from exness_streams.transport.kafka.topics import KafkaCluster

ANSWER_S_MAX = 30.0
LOOK_BACK_OFFSETS = 16
"""How far before the end the last record is looked for first: transaction markers are few."""

KEY_LOOK_BACK_OFFSETS = LOOK_BACK_OFFSETS * 16**3
"""Before the end; a transaction is smaller by far."""

Take = Callable[[TopicPartition, Sequence[Any]], bool]
"""Looks at records of a partition, and says whether what is looked for is among them."""


async def committed_offsets(cluster: KafkaCluster, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset by partition; none for a partition of which the group has committed nothing. LogFault."""
    async with cluster.admin() as admin:
        return await offsets_told_to(admin, group, topic, partitions)


async def offsets_told_to(admin: Any, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """As committed_offsets, to a client that is connected."""
    asked = [TopicPartition(topic, partition) for partition in partitions]
    deadline_s = time.monotonic() + ANSWER_S_MAX
    while True:
        found = await _group_offsets(admin, group, asked)
        if isinstance(found, dict):
            return {tp.partition: at.offset for tp, at in found.items() if at.offset >= 0}
        if time.monotonic() > deadline_s:
            raise LogFault(
                f"Kafka did not return the offsets of group {group} within {ANSWER_S_MAX:.0f} s ({first_line(found)}): "
                "see to the brokers, and start again"
            ) from found
        await asyncio.sleep(0.1)


async def _group_offsets(admin: Any, group: str, asked: list[TopicPartition]) -> dict[TopicPartition, Any] | KafkaError:
    """An error is for another try: a coordinator that has just moved, or not begun yet, answers in a moment."""
    try:
        found: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(group, partitions=asked)
    except KafkaError as error:
        return error
    # A coordinator that is still loading answers for the group as a whole; aiokafka shows that as nothing at all,
    # which is not "nothing was committed" (-1): a cell would begin again at the start.
    return found if found.keys() >= set(asked) else KafkaError("the group's coordinator is not ready")


async def data_ends(cluster: KafkaCluster, tps: Iterable[TP]) -> dict[TP, int]:
    """The offset after each partition's last committed record; where there is none, that of its start.

    Transaction markers take offsets too, so a partition's end says nothing of where its records end. Raises
    LogFault.
    """
    async with _committed_reader(cluster, "the ends of changelogs") as consumer:
        found = await _search(consumer, {TopicPartition(*tp) for tp in tps})
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}


async def newest_of_key(cluster: KafkaCluster, tps: Iterable[TP], key: bytes) -> dict[TP, bytes | None]:
    """The newest committed value of a key that each transaction writes; none where it is not found near the end.

    Nor where it is not within KEY_LOOK_BACK_OFFSETS of the end. LogFault.
    """
    async with _committed_reader(cluster, "the newest records of changelogs") as consumer:
        newest: dict[TopicPartition, bytes | None] = {}
        take = partial(_take_key, key, newest)
        await _search(consumer, {TopicPartition(*tp) for tp in tps}, take, KEY_LOOK_BACK_OFFSETS)
        return {TP(tp.topic, tp.partition): value for tp, value in newest.items()}


def _take_key(
    key: bytes, newest: dict[TopicPartition, bytes | None], tp: TopicPartition, records: Sequence[Any]
) -> bool:
    """Whether one of the records has the key: the last is kept."""
    values = [record.value for record in records if record.key == key]
    if values:
        newest[tp] = values[-1]
    return bool(values)


def _take_any(tp: TopicPartition, records: Sequence[Any]) -> bool:
    return bool(records)


@asynccontextmanager
async def _committed_reader(cluster: KafkaCluster, what: str) -> AsyncIterator[Any]:
    """A consumer of what is committed. LogFault when `what` can't be read."""
    consumer = AIOKafkaConsumer(
        **cluster.client_settings, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=50
    )
    try:
        async with timeout(ANSWER_S_MAX):
            await consumer.start()
            yield consumer
    except (KafkaError, OSError, asyncio.TimeoutError) as error:
        raise LogFault(f"{what} can't be read from Kafka: {error or 'no answer'}") from error
    finally:
        await consumer.stop()


async def _search(
    consumer: Any, tps: set[TopicPartition], take: Take = _take_any, back_max: float = math.inf
) -> dict[TopicPartition, int]:
    """Read from ever further back, until `take` has what it looks for or the start is reached.

    The offset behind the last record that was found; a partition's start where there was none.
    """
    consumer.assign(tps)
    starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    found = {tp: starts[tp] for tp in tps}
    left = {tp for tp in tps if ends[tp] > starts[tp]}
    look_back = LOOK_BACK_OFFSETS
    while left:
        first = {tp: max(starts[tp], ends[tp] - look_back) for tp in left}
        last = await _last_records(consumer, first, ends, take)
        found.update({tp: offset + 1 for tp, offset in last.items()})
        left = {tp for tp in left if tp not in last and first[tp] > starts[tp] and look_back < back_max}
        look_back *= 16
    return found


async def _last_records(
    consumer: Any, first: dict[TopicPartition, int], ends: dict[TopicPartition, int], take: Take
) -> dict[TopicPartition, int]:
    """The offset of the last record at or after `first`, for the partitions in which `take` found something."""
    for tp, offset in first.items():
        consumer.seek(tp, offset)
    last: dict[TopicPartition, int] = {}
    waiting = set(first)
    while waiting:
        for tp, records in (await consumer.getmany(*waiting, timeout_ms=50)).items():
            if take(tp, records):
                last[tp] = records[-1].offset
        # Positions pass the markers, too.
        waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
    return last
