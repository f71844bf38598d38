"""Offsets as a coordinator tells them that is not ready at first; needs no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import CoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from exness_streams.transport.kafka.offsets import committed_offsets
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
