"""The commit protocol on Kafka: a transactional producer for each cell, and the market agent's plain one.

Starting a producer with a cell's transactional id ends its former owner's: whatever that one still sends is
refused by the brokers. So a worker that was paused and has lost its cells cannot write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
)
from async_timeout import timeout

from exness_streams.transport.faults import CellReleased, LogFault, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.aiokafka_mends import RETRY_BACKOFF_MS, abandon, fatal_error, patience
from exness_streams.transport.kafka.batches import BATCH_BYTES_MAX, delivered, enqueue
from exness_streams.transport.kafka.error_words import cause_of, words_of
from exness_streams.transport.kafka.offsets import committed_offsets
from exness_streams.transport.kafka.reader import kafka_reader
from exness_streams.transport.kafka.topics import CONNECT_S_MAX, KafkaCluster
from exness_streams.transport.leases import Lease
from exness_streams.transport.rejoining import Rejoining

TRANSACTION_TIMEOUT_MS = 10_000
COMMIT_S_MAX = 30.0
RELEASE_S_MAX = 3.0
ABORT_S_MAX = 3.0

FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidTxnState)
FORGOTTEN = InvalidProducerIdMapping
"""Brokers forget a transactional id that nobody used for seven days (`transactional.id.expiration.ms`)."""


class _Transactions:
    """Those of one fenced cell, by the producer that was started for it.

    is_member: of a group that can be asked whose the cell is.
    """

    def __init__(self, producer: Any, tp: TopicPartition, group: str, *, is_member: bool) -> None:
        self.producer = producer
        self.name = f"partition {tp.partition} of {tp.topic}"
        self._tp = tp
        self._group = group
        # Whether it was forgotten, or another worker's was begun since, is not told: as after a fence, the group knows.
        self._refusals = (*FENCED, FORGOTTEN) if is_member else FENCED
        self._fault: LogFault | None = None

    async def __call__(self, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        """As Transact. LogFenced when the cell is another worker's. After a failure that could not be rolled back,
        every call fails."""
        if self._fault is not None:
            raise self._fault.for_waiter(False)
        try:
            async with timeout(COMMIT_S_MAX):
                return await self._transact(records, next_offset)
        except asyncio.TimeoutError as error:
            raise LogFault(f"Kafka did not commit {self.name} within {COMMIT_S_MAX:.0f} s", written=None) from error

    async def _transact(self, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        deciding = False
        try:
            await self.producer.begin_transaction()
            patience.topics.update(record.topic for record in records)
            sent = await enqueue(self.producer, records, self._tp.partition)
            if next_offset is not None:
                await self.producer.send_offsets_to_transaction({self._tp: next_offset}, self._group)
            written = await delivered(sent, len(records))
            deciding = True
            await self.producer.commit_transaction()
        except BaseException as error:
            fault = self._fault_of(error, written=None if deciding else False)
            if deciding or not await self._rolled_back():
                self._fault = fault
            if isinstance(error, (KafkaError, AssertionError, LogFault, OSError)):
                raise fault from error
            raise
        return written

    async def _rolled_back(self) -> bool:
        """Abort. When that fails the broker does, once the transaction is overdue or the cell another's."""
        try:
            async with timeout(ABORT_S_MAX):
                await self.producer.abort_transaction()
        except (KafkaError, AssertionError, OSError, asyncio.TimeoutError):
            return False
        return True

    def _fault_of(self, error: BaseException, written: bool | None) -> LogFault:
        # The producer tells the reason once; what is called afterwards only hears that it is too late.
        cause = cause_of(fatal_error(self.producer) or error)
        if isinstance(cause, self._refusals):
            return LogFenced(
                f"{self.name} was taken over by another worker, or its transaction took more than "
                f"{TRANSACTION_TIMEOUT_MS / 1000:.0f} s: this worker must start again",
                written=written,
            )
        if isinstance(cause, LogFault):
            return cause.for_waiter(written)
        return LogFault(f"{self.name} could not be committed to Kafka: {words_of(cause)}", written=written)


class _Ownership:
    """Of one partition, by the group."""

    def __init__(self, cluster: KafkaCluster, tp: TopicPartition, group: str, rejoining: Rejoining) -> None:
        self._cluster, self._tp, self._group = cluster, tp, group
        self.asks_again_in_s, self.ask_again = rejoining.asks_again_in_s, rejoining.ask_again

    async def committed(self) -> int | None:
        topic, partition = self._tp
        return (await committed_offsets(self._cluster, self._group, topic, [partition])).get(partition)

    async def holds_nothing(self, first: int, end: int) -> bool:
        """Read once more, by another reader: what is gone from the log's beginning was there, and what this one reads
        another reader has missed.
        """
        topic, partition = self._tp
        found: list[int] = []

        def take(record: Any) -> bool:
            found.append(record.offset)
            return True

        async with kafka_reader(self._cluster) as reader:
            start, decided = await reader.bounds(topic, partition)
            if not start <= first < end <= decided:
                return False
            await reader.read(topic, partition, first, end, take)
        return not found


class _Fenced(NamedTuple):
    lease: Lease
    producer: Any


class KafkaCellLog:
    """CellLog on Kafka, for an input topic and a consumer group (which is also the app's id)."""

    def __init__(
        self,
        cluster: KafkaCluster,
        topic: str,
        group: str,
        *,
        heard_s: float = 0.0,
        rejoining: Rejoining | None = None,
        compression: str | None = None,
    ) -> None:
        """heard_s: so late a member hears of a rebalance. rejoining: None for who is no member. compression: of all
        that is written, as aiokafka calls it."""
        self._cluster = cluster
        self.topic = topic
        self._group = group
        self._heard_s, self._rejoining, self._compression = heard_s, rejoining, compression
        self._fenced: dict[int, _Fenced] = {}

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        """Become the only writer of these cells, and learn how far they had come. LogFault."""
        wanted = sorted(set(partitions))
        await self.release(wanted)
        starting = [asyncio.ensure_future(self._start_producer(partition)) for partition in wanted]
        try:
            producers = await asyncio.gather(*starting)
            # Only now: the former owner's last transaction is decided, and it can begin no other.
            committed = await committed_offsets(self._cluster, self._group, self.topic, wanted) if wanted else {}
        except BaseException:  # a worker that stops in the middle of a takeover cancels it
            for one in starting:
                one.cancel()
            started = await asyncio.gather(*starting, return_exceptions=True)
            await asyncio.gather(*(_stop(one) for one in started if not isinstance(one, BaseException)))
            raise
        for partition, producer in zip(wanted, producers, strict=True):
            self._fenced[partition] = _Fenced(self._lease_of(partition, committed.get(partition), producer), producer)
        return {partition: self._fenced[partition].lease for partition in wanted}

    def _lease_of(self, partition: int, committed: int | None, producer: Any) -> Lease:
        tp = TopicPartition(self.topic, partition)
        rejoining = self._rejoining
        transactions = _Transactions(producer, tp, self._group, is_member=rejoining is not None)
        ownership = None if rejoining is None else _Ownership(self._cluster, tp, self._group, rejoining)
        name = transactions.name
        return Lease(partition, name, committed, transactions, fenced_wait_s=self._heard_s, ownership=ownership)

    async def take_over(self, partitions: Iterable[int]) -> None:
        """As CellLog's. LogFault."""
        assigned = set(partitions)
        await self.release(self._fenced.keys() - assigned)
        await self.fence(assigned)

    async def _start_producer(self, partition: int) -> Any:
        producer = AIOKafkaProducer(
            **self._cluster.client_settings,
            transactional_id=f"{self._group}-{self.topic}-{partition}",  # an app may have more than one input
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES_MAX,
            linger_ms=0,
        )
        try:
            async with timeout(CONNECT_S_MAX):
                await producer.start()
        except (KafkaError, OSError, asyncio.TimeoutError) as error:
            await _stop(producer)
            raise self._cluster.unreachable(error) from error
        except asyncio.CancelledError:
            await _stop(producer)
            raise
        return producer

    def lease(self, partition: int) -> Lease:
        fenced = self._fenced.get(partition)
        if fenced is None:
            raise CellReleased(f"partition {partition} of {self.topic} is not this worker's (any more)")
        return fenced.lease

    async def quiesce(self, partitions: Iterable[int]) -> None:
        """Let the transactions in flight finish (3 s at most), and begin no other."""
        await asyncio.gather(*(_quiesce(self._fenced[one].lease) for one in partitions if one in self._fenced))

    async def release(self, partitions: Iterable[int]) -> None:
        """Let the transactions in flight finish (3 s at most), and give the cells up."""
        released = [self._fenced.pop(partition) for partition in partitions if partition in self._fenced]
        for one in released:
            one.lease.end()
        await asyncio.gather(*(self._give_up(one) for one in released))

    async def _give_up(self, fenced: _Fenced) -> None:
        await _quiesce(fenced.lease)
        await _stop(fenced.producer)

    async def close(self) -> None:
        """Give all cells up."""
        await self.release(list(self._fenced))


async def _quiesce(lease: Lease) -> None:
    with suppress(asyncio.TimeoutError):  # the next owner's fence decides the transaction
        async with timeout(RELEASE_S_MAX):
            await lease.quiesce()


class KafkaFrameLog:
    """FrameLog on Kafka: a plain idempotent producer, since the journal's offsets must have no gaps.

    Frames are in the journal before it is committed how far ticks are framed, and a transaction would leave its
    markers: so the framer promises how far it will go, through the ticks' CellLog, whose commits move their offset.
    """

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        """Returns once all records are durable. LogFault: some of them may be."""
        try:
            async with self._starting:
                if self._producer is None:
                    self._producer = await self._start_producer()
            sent = await enqueue(self._producer, records, None)
            await delivered(sent, len(records))
        except (KafkaError, OSError) as error:
            raise LogFault(f"frames could not be written to Kafka: {words_of(error)}", written=None) from error

    async def _start_producer(self) -> Any:
        producer = AIOKafkaProducer(
            **self._cluster.client_settings,
            enable_idempotence=True,
            acks="all",
            max_batch_size=BATCH_BYTES_MAX,
            linger_ms=0,
        )
        try:
            async with timeout(CONNECT_S_MAX):
                await producer.start()
        except (KafkaError, OSError, asyncio.TimeoutError) as error:
            await _stop(producer)
            raise self._cluster.unreachable(error) from error
        return producer

    def framed_end(self, partition: int) -> None:
        return None

    async def close(self) -> None:
        """Stop the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)


async def _stop(producer: Any) -> None:
    """Stop a producer, without waiting long for brokers that are gone."""
    try:
        async with timeout(RELEASE_S_MAX):
            await producer.stop()
    except (KafkaError, OSError, asyncio.TimeoutError) as error:
        logging.getLogger(__name__).warning("a Kafka producer did not stop in order: %r", error)
        await abandon(producer)
