"""Offsets as a coordinator tells them that is not ready at first; and where the newest of a topic lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP
from kafka_harness import KafkaHarness

from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog
from exness_streams.transport.kafka.offsets import committed_offsets, newest_of_key
from exness_streams.transport.kafka.topics import KafkaCluster


class LoadingCluster:
    """Its coordinator moves, then loads (aiokafka's admin client shows an empty answer then), then answers."""

    def __init__(self) -> None:
        self.answers: list[Any] = [CoordinatorNotAvailableError(), {}]

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[LoadingCluster]:
        yield self

    async def list_consumer_group_offsets(self, group: str, partitions: list[TopicPartition]) -> Any:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return {tp: OffsetAndMetadata(-1 if tp.partition == 2 else 10 + tp.partition, "") for tp in partitions}


async def test_a_coordinator_that_is_not_ready_is_asked_again() -> None:
    cluster = LoadingCluster()
    found = await committed_offsets(cast(KafkaCluster, cluster), "group", "journal", [0, 1, 2])
    assert found == {0: 10, 1: 11}  # nothing was committed of partition 2
    assert not cluster.answers


async def test_the_newest_value_of_a_key_is_the_last_that_was_committed(harness: KafkaHarness) -> None:
    """Behind it lie other records, transaction markers, and what was rolled back."""
    await harness.declare("journal", 4)
    await harness.declare("rows", 4, compact=True)
    log = KafkaCellLog(harness.cluster, "journal", "group")
    await log.fence(range(4))
    for number in range(30):
        await log.lease(0).commit([LogRecord("rows", b"meta", b"%d" % number), LogRecord("rows", b"k", b"v")], number)
    many = [LogRecord("rows", b"k%d" % number, b"v") for number in range(400)]
    await log.lease(1).commit([LogRecord("rows", b"meta", b"before many"), *many], 1)
    await log.lease(2).commit([LogRecord("rows", b"k", b"without")], 1)
    later = KafkaCellLog(harness.cluster, "journal", "group")
    await later.fence([0])
    with pytest.raises(LogFault):
        await log.lease(0).commit([LogRecord("rows", b"meta", b"fenced")], 99)
    found = await newest_of_key(harness.cluster, [TP("rows", partition) for partition in range(4)], b"meta")
    assert found == {TP("rows", 0): b"29", TP("rows", 1): b"before many"}
    await log.close()
    await later.close()
