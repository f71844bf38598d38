"""The Faust transport `fenced-kafka://host:port`: Faust's own Kafka driver, with batches and fenced cells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from async_timeout import timeout
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from exness_streams.transport.batching import BatchingConsumer
from exness_streams.transport.broker_clock import BrokerClock
from exness_streams.transport.faults import LogFault
from exness_streams.transport.freshness import MemberFreshness
from exness_streams.transport.kafka.aiokafka_mends import assignment_of, has_fatal_error
from exness_streams.transport.kafka.commits import KafkaCellLog, KafkaFrameLog
from exness_streams.transport.kafka.consumer_thread import ConsumerThread, FetchEnd, FetchWakeup
from exness_streams.transport.kafka.error_words import words_of
from exness_streams.transport.kafka.offsets import data_ends, newest_of_key
from exness_streams.transport.kafka.reader import kafka_reader
from exness_streams.transport.kafka.topics import CONNECT_S_MAX, KafkaCluster, KafkaTopic, declare_topics
from exness_streams.transport.recovery import HEARTBEATS
from exness_streams.transport.rejoining import Rejoining

__all__ = ["Consumer", "KafkaCellLog", "KafkaFrameLog", "Producer", "Transport"]


APPENDED = 1
"""Kafka's number for a record's time that is the broker's, of when it took it."""

HEARD_HEARTBEATS = 3
"""A member that is heard of has heard of a rebalance by its next heartbeat; that one may be late."""


class Consumer(BatchingConsumer, driver.Consumer):  # type: ignore[misc]
    """Faust's Kafka consumer with batches; cells are fenced before it takes their partitions over."""

    transport: Transport
    _thread: ConsumerThread
    reads_ahead = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wakeup: FetchWakeup = FetchWakeup()
        self.transport.rejoining.rejoin = lambda: self._thread.rejoin()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- assignment

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # The thread waits for this, and what stops here waits for the thread, which then answers no more.
        await self.wait_for_stopped(self._on_assigned(assigned, generation_id))

    async def _on_assigned(self, assigned: set[TP], generation_id: int) -> None:
        self.transport.rejoining.dealt_out()
        try:
            await self._take_over(assigned)
        except LogFault as fault:
            await self.app.crash(fault)  # aiokafka would drop it, and go on
            return
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_stop(self) -> None:
        # Before the group is left: the next owner's fence then meets no transaction.
        await asyncio.gather(*(cells.close() for cells in self.transport.cell_logs.values()))
        if not self._thread.thread_loop.is_closed():  # else what failed has ended the thread: nobody can commit
            await super().on_stop()

    async def _take_over(self, assigned: set[TP]) -> None:
        for topic, cells in self.transport.cell_logs.items():
            await cells.take_over(tp.partition for tp in assigned if tp.topic == topic)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for topic, cells in self.transport.cell_logs.items():
            await cells.quiesce(tp.partition for tp in revoked if tp.topic == topic)
        await super().on_partitions_revoked(revoked)

    # -- records

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> dict[TP, list[Any]]:
        end = FetchEnd(self._thread.thread_loop)
        self.wakeup.fetch = end
        try:
            records = await self._thread.fetch(active_partitions, timeout, end)
        finally:
            self.wakeup.fetch = None
        self._hear_times(records)
        return {TP(tp.topic, tp.partition): found for tp, found in records.items()}

    def _hear_times(self, records: Mapping[Any, list[Any]]) -> None:
        """Only of records that did not wait: there is none behind them."""
        for tp, found in records.items():
            last = found[-1] if found else None
            if last is not None and last.timestamp_type == APPENDED and not self._is_behind(tp):
                self.transport.broker_clock.came(last.timestamp)

    def stop_flow(self) -> None:
        super().stop_flow()
        self.wakeup.set()

    async def _give_back(self) -> None:
        try:
            await super()._give_back()
        except KafkaError as error:
            # In the middle of a rebalance: recovery seeks when it is over, before the flow goes on.
            self.log.info("Did not seek: %r", error)

    # -- positions

    async def _seek(self, partition: TP, offset: int) -> None:
        await self._thread.seek_on_thread(partition, offset)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        sought: Mapping[TP, int] = await super().seek_to_committed()
        # aiokafka leaves the others where they are, perhaps behind records that were fetched and given back.
        fresh = [tp for tp, offset in sought.items() if not offset and not self._is_changelog_tp(tp)]
        if fresh and self.app.conf.consumer_auto_offset_reset == "earliest":
            await self._thread.seek_to_beginning(*fresh)
        return sought

    def highwater(self, tp: TP) -> int:
        try:
            end = super().highwater(tp)
        except (AssertionError, AttributeError):  # the partition was revoked a moment ago, in the other thread
            end = None
        return end if end is not None else 0

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        changelogs = [tp for tp in partitions if self._is_changelog_tp(tp)]
        others = [tp for tp in partitions if not self._is_changelog_tp(tp)]
        ends: dict[TP, int] = dict(await super().highwaters(*others)) if others else {}
        if changelogs:
            # Recovery waits for the record before the end: a transaction's marker would never come.
            ends.update(await data_ends(self.transport.cluster, changelogs))
        return ends

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's, which knows only its own commits and single records: what commits for itself it would call stuck.

        engine/stalls.py looks at those. Changelogs stand still, and unread, as long as a table is written here.
        """
        if tp.topic not in getattr(self.app, "self_committed_topics", ()) and not self._is_changelog_tp(tp):
            # It would end the consumer where none is read from: between two assignments, and while a position that the
            # log no longer reaches is being looked for anew. Both happen in the other thread.
            with contextlib.suppress(AssertionError, AttributeError):
                super().verify_event_path(now, tp)

    def _is_behind(self, tp: TP) -> bool:
        # Faust's own way to it. Between two assignments, in the other thread, there is none.
        consumer = self._thread._consumer
        assignment = None if consumer is None else assignment_of(consumer)
        if assignment is None:
            return False
        state = assignment.state_value(driver.ensure_aiokafka_TP(tp))
        if state is None or not state.has_valid_position or state.highwater is None:
            return False
        return bool(state.position < state.highwater)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition if partition is not None else self.transport.key_partition(topic, key)


class Producer(driver.Producer):  # type: ignore[misc]
    """Faust's Kafka producer, idempotent: a record whose acknowledgement got lost is not appended a second time.

    It starts before the consumer and stops after it, and closes the logs then.
    """

    transport: Transport

    async def on_start(self) -> None:
        try:
            async with timeout(CONNECT_S_MAX):
                await super().on_start()
        except (KafkaError, OSError, asyncio.TimeoutError) as error:
            raise self.transport.cluster.unreachable(error) from error

    async def on_stop(self) -> None:
        await self.transport.close()
        await super().on_stop()

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As Faust's; LogFault when it fails, and from the future when it is unknown whether it has."""
        try:
            sent = await super().send(*args, **kwargs)
        except ProducerSendError as error:
            raise LogFault(f"Kafka accepts no records: {words_of(error)}") from error
        return asyncio.ensure_future(self._delivered(sent))

    async def _delivered(self, sent: Awaitable[Any]) -> Any:
        try:
            return await sent
        except KafkaError as error:
            fault = LogFault(f"Kafka did not acknowledge a record: {words_of(error)}", written=None)
            if has_fatal_error(self._producer):
                await self.app.crash(fault)  # it would refuse all that follow
            raise fault from error

    def key_partition(self, topic: str, key: bytes) -> TP:
        return TP(topic, self.transport.key_partition(topic, key))


class Transport(driver.Transport):  # type: ignore[misc]
    """Kafka for one app. URL: `fenced-kafka://host:port`, several of them separated by `;`."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer

    fault: ClassVar[LogFault | None] = None
    """None: the brokers are another matter, and each part of this worker says itself what it meets with them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cell_logs: dict[str, KafkaCellLog] = {}
        self.frame_logs: dict[str, KafkaFrameLog] = {}
        self._partitions: dict[str, int] = {}
        self.rejoining = Rejoining()
        self.broker_clock = BrokerClock()
        self.unanswered: Callable[[], str] = lambda: ""
        """Which broker answers no fetch, as a sentence; set when this worker's consumer has started, as the next."""
        self.lacks_topic: Callable[[str], bool] = lambda topic: False
        """Whether the brokers have no such topic, as the consumer heard last."""

    @cached_property
    def cluster(self) -> KafkaCluster:
        """The brokers, and the app's credentials for them."""
        return KafkaCluster(tuple(driver.server_list(self.url, self.default_port)), self.app.conf.broker_credentials)

    @cached_property
    def freshness(self) -> MemberFreshness:
        """Of this worker as a member of its group."""
        conf = self.app.conf
        return MemberFreshness(min(conf.broker_session_timeout, conf.broker_rebalance_timeout))

    @cached_property
    def partitioner(self) -> Callable[..., int]:
        """(key, all partitions, available ones) -> partition: Kafka's murmur2, unless the app has its own."""
        chosen: Callable[..., int] = self.app.conf.producer_partitioner or DefaultPartitioner()
        return chosen

    def cell_log(self, topic: str) -> KafkaCellLog:
        """The CellLog of an input topic in the app's own consumer group: one, whose cells follow the assignment."""
        heard_s = HEARD_HEARTBEATS * self.app.conf.broker_session_timeout / HEARTBEATS
        made = KafkaCellLog(self.cluster, topic, self.app.conf.id, heard_s=heard_s, rejoining=self.rejoining)
        return self.cell_logs.setdefault(topic, made)

    def frame_log(self, topic: str) -> KafkaFrameLog:
        """The FrameLog of a ticks' topic: one."""
        return self.frame_logs.setdefault(topic, KafkaFrameLog(self.cluster))

    async def newest_of_key(self, topic: str, partitions: int, key: bytes) -> dict[int, bytes | None]:
        """The newest committed value of a key that is written again and again, in each partition. LogFault."""
        found = await newest_of_key(self.cluster, [TP(topic, partition) for partition in range(partitions)], key)
        return {tp.partition: value for tp, value in found.items()}

    async def first_value(
        self, topic: str, partition: int, first: int, is_wanted: Callable[[bytes | None], bool]
    ) -> bytes | None:
        """The first value of a topic from an offset on that is wanted; None: none is there. LogFault."""
        async with kafka_reader(self.cluster) as reader:
            return await reader.first_value(topic, partition, first, is_wanted)

    def partitions(self, topic: str) -> int:
        """A declared topic's number of partitions. LogFault for another topic."""
        count = self._partitions.get(topic)
        if count is None:
            raise LogFault(f"topic {topic} is not declared by this app")
        return count

    def key_partition(self, topic: str, key: bytes | None) -> int:
        """The partition of a key, as Kafka's clients choose it (murmur2)."""
        partitions = list(range(self.partitions(topic)))
        return self.partitioner(key, partitions, partitions)

    async def declare(self, topic: KafkaTopic) -> None:
        """Make a topic, or check the one there is. LogFault when it is another than is wanted."""
        await declare_topics(self.cluster, [topic])
        self._partitions[topic.name] = topic.partitions

    async def _really_create_topic(
        self,
        owner: Service,
        client: Any,
        topic: str,
        partitions: int,
        replication: int,
        *,
        config: Mapping[str, Any] | None = None,
        retention: int | None = None,
        compacting: bool | None = None,
        **_: Any,
    ) -> None:
        # Faust's own takes an existing topic as it is, whatever its partitions.
        given = retention or int((config or {}).get("retention.ms", -1))
        retention_ms = given if given > 0 else None
        by_design = topic in getattr(self.app, "topics_of_one_partition", ())
        await self.declare(KafkaTopic(topic, partitions, int(replication), bool(compacting), retention_ms, by_design))

    async def close(self) -> None:
        """Give all cells up, and stop the frames' producers."""
        logs: list[KafkaCellLog | KafkaFrameLog] = [*self.cell_logs.values(), *self.frame_logs.values()]
        await asyncio.gather(*(log.close() for log in logs))
