"""Offsets that a group has committed, and where a topic's data end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from async_timeout import timeout
from faust.types import TP

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.topics import KafkaCluster

ANSWER_S_MAX = 30.0
LOOK_BACK_OFFSETS = 16
"""How far before the end the last record is looked for first: transaction markers are few."""


async def committed_offsets(cluster: KafkaCluster, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset by partition; none for a partition of which the group has committed nothing. LogFault."""
    asked = [TopicPartition(topic, partition) for partition in partitions]
    deadline_s = time.monotonic() + ANSWER_S_MAX
    async with cluster.admin() as admin:
        while True:
            found = await _group_offsets(admin, group, asked)
            if isinstance(found, dict):
                return {tp.partition: at.offset for tp, at in found.items() if at.offset >= 0}
            if time.monotonic() > deadline_s:
                raise LogFault(f"Kafka did not return the offsets of group {group}: {found}") from found
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
    consumer = AIOKafkaConsumer(
        **cluster.client_settings, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=50
    )
    try:
        async with timeout(ANSWER_S_MAX):
            await consumer.start()
            return await _search(consumer, {TopicPartition(*tp) for tp in tps})
    except (KafkaError, OSError, asyncio.TimeoutError) as error:
        raise LogFault(f"the ends of changelogs can't be read from Kafka: {error or 'no answer'}") from error
    finally:
        await consumer.stop()


async def _search(consumer: Any, tps: set[TopicPartition]) -> dict[TP, int]:
    """Read from ever further back, until a record comes or the start is reached."""
    consumer.assign(tps)
    starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    found = {tp: starts[tp] for tp in tps}
    left = {tp for tp in tps if ends[tp] > starts[tp]}
    look_back = LOOK_BACK_OFFSETS
    while left:
        first = {tp: max(starts[tp], ends[tp] - look_back) for tp in left}
        last = await _last_records(consumer, first, ends)
        found.update({tp: offset + 1 for tp, offset in last.items()})
        left = {tp for tp in left if tp not in last and first[tp] > starts[tp]}
        look_back *= 16
    return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}


async def _last_records(
    consumer: Any, first: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """The offset of the last record at or after `first`, for the partitions that have one."""
    for tp, offset in first.items():
        consumer.seek(tp, offset)
    last: dict[TopicPartition, int] = {}
    waiting = set(first)
    while waiting:
        for tp, records in (await consumer.getmany(*waiting, timeout_ms=50)).items():
            last[tp] = records[-1].offset
        # Positions pass the markers, too.
        waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
    return last
