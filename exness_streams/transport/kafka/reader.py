"""Reading a cluster's topics from beside the workers: for the audit and the checkpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from async_timeout import timeout

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.offsets import ANSWER_S_MAX, offsets_told_to
from exness_streams.transport.kafka.topics import KafkaCluster

POLL_S = 0.02
STOP_S_MAX = 5.0

FETCH_WAIT_MS_MAX = 20
"""A fetch at the end of one partition holds up that of the next from the same broker."""


class KafkaReader:
    """What is committed, and up to where. One partition is read at a time. Methods raise LogFault.

    Connections are made once: over TLS each costs more than the reading of a small cell.
    """

    def __init__(self, admin: Any, committed: Any, uncommitted: Any) -> None:
        """All are started: an admin client, and consumers of either isolation level; one of them reads."""
        self._admin = admin
        self._committed = committed
        self._uncommitted = uncommitted

    async def partition_count(self, topic: str) -> int:
        """0 where there is no such topic; asking does not make it."""
        with _told(topic):
            described = await self._admin.describe_topics()
        return next((len(one["partitions"]) for one in described if one["topic"] == topic and not one["error_code"]), 0)

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept, and the one after the last committed."""
        tp = TopicPartition(topic, partition)
        with _told(topic):
            starts = await self._committed.beginning_offsets([tp])
            ends = await self._committed.end_offsets([tp])
        return starts[tp], ends[tp]

    async def group_offset(self, group: str, topic: str, partition: int) -> int | None:
        """The next offset as last committed by a group; None when nothing was."""
        return (await offsets_told_to(self._admin, group, topic, [partition])).get(partition)

    async def decided_end(self, topic: str, partition: int) -> int:
        """Where a partition with one transactional writer can be cut between two transactions.

        All transactions that had written anything to it before the call are decided by then, and before that
        offset. Waits for the one in flight.
        """
        tp = TopicPartition(topic, partition)
        deadline_s = time.monotonic() + ANSWER_S_MAX
        with _told(topic):
            written = (await self._uncommitted.end_offsets([tp]))[tp]
            while True:
                # To a reader of what is committed, the end is the first record of the transaction in flight.
                decided: int = (await self._committed.end_offsets([tp]))[tp]
                if decided >= written:
                    return decided
                if time.monotonic() > deadline_s:
                    raise LogFault(f"a transaction on partition {partition} of {topic} remains undecided: try again")
                await asyncio.sleep(POLL_S)

    async def read(self, topic: str, partition: int, first: int, end: int, take: Callable[[Any], bool]) -> None:
        """Give `take` the committed records from `first` to before `end`, in order, until it returns True.

        They are aiokafka's ConsumerRecords.
        """
        if first >= end:
            return
        consumer, tp = self._committed, TopicPartition(topic, partition)
        await self._assign_all_of(topic)
        consumer.seek(tp, first)
        consumer.resume(tp)
        try:
            position, moved_at_s = first, time.monotonic()
            while position < end:
                with _told(topic):
                    found = (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
                    async with timeout(ANSWER_S_MAX):
                        reached = await consumer.position(tp)
                if reached > position:  # by markers alone, too
                    position, moved_at_s = reached, time.monotonic()
                elif time.monotonic() - moved_at_s > ANSWER_S_MAX:
                    raise LogFault(f"Kafka stopped delivering records of {topic}: check the brokers and try again")
                if any(take(record) for record in found if record.offset < end):
                    return
        finally:
            consumer.pause(tp)

    async def first_value(
        self, topic: str, partition: int, first: int, is_wanted: Callable[[bytes | None], bool]
    ) -> bytes | None:
        """The first committed value from an offset on that is wanted; None: none is there by now."""
        found: list[bytes | None] = []

        def look(record: Any) -> bool:
            if is_wanted(record.value):
                found.append(record.value)
            return bool(found)

        start, end = await self.bounds(topic, partition)
        await self.read(topic, partition, max(start, first), end, look)
        return found[0] if found else None

    async def _assign_all_of(self, topic: str) -> None:
        """Paused, once: aiokafka's consumer may never stop when it was assigned another partition just before."""
        consumer = self._committed
        if any(tp.topic == topic for tp in consumer.assignment()):
            return
        added = [TopicPartition(topic, number) for number in range(await self.partition_count(topic))]
        known = {tp: await consumer.position(tp) for tp in consumer.assignment()}
        consumer.assign([*known, *added])
        consumer.pause(*known, *added)
        for tp in [*known, *added]:
            consumer.seek(tp, known.get(tp, 0))


@asynccontextmanager
async def kafka_reader(cluster: KafkaCluster) -> AsyncIterator[KafkaReader]:
    """A reader that is connected. KafkaUnreachable."""
    async with (
        cluster.admin() as admin,
        _started(cluster, "read_committed") as committed,
        _started(cluster, "read_uncommitted") as uncommitted,
    ):
        yield KafkaReader(admin, committed, uncommitted)


def _started(cluster: KafkaCluster, isolation_level: str) -> AbstractAsyncContextManager[Any]:
    consumer = AIOKafkaConsumer(
        **cluster.client_settings,
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
    )

    async def stop() -> None:
        with suppress(asyncio.TimeoutError):  # what was read is read
            async with timeout(STOP_S_MAX):
                await consumer.stop()

    return cluster.connected(consumer, stop)


@contextmanager
def _told(topic: str) -> Iterator[None]:
    try:
        yield
    except OffsetOutOfRangeError as error:
        raise LogFault(f"records of {topic} were removed while they were being read: try again") from error
    except (KafkaError, OSError, asyncio.TimeoutError) as error:
        raise LogFault(f"{topic} can't be read from Kafka: {error or 'no answer'}") from error
