"""What kafka_clients.py tries: the engine's transactions, appends and fetches on confluent-kafka (librdkafka).

Its transactions are behind the engine's own leases, as aiokafka's are. Its calls block, and its callbacks come in the
thread that polls: so each cell has a thread, the plain producer and the consumer another, and what they have for the
event loop goes over in whole lists, with one wake-up for as many as are there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from exness_streams.transport.faults import LogFault, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import TRANSACTION_TIMEOUT_MS
from exness_streams.transport.kafka.consumer_thread import FETCH_WAIT_MS_MAX
from exness_streams.transport.leases import Lease

ANSWER_S = 30.0
POLL_S = 0.1
FETCHED_MAX = 500
RETRY_BACKOFF_MS = 2

FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})

QUIET = logging.getLogger("librdkafka")
QUIET.disabled = True  # it writes to standard error of all that it tells by errors, too
SETTINGS: dict[str, Any] = {"logger": QUIET}

T = TypeVar("T")


class Handover(Generic[T]):
    """From a thread to the event loop it was made in, in order; the loop is woken once for all that has gathered."""

    def __init__(self, take: Callable[[list[T]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._gathered: deque[T] = deque()
        self._lock = threading.Lock()
        self._woken = False

    def put(self, items: Iterable[T]) -> None:
        """From any thread."""
        with self._lock:
            self._gathered.extend(items)
            wake, self._woken = not self._woken, True
        if wake:
            self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            gathered, self._gathered, self._woken = list(self._gathered), deque(), False
        self._take(gathered)


class Polling:
    """A thread that does one thing over and over until it is stopped."""

    def __init__(self, step: Callable[[], object]) -> None:
        self._step = step
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._step()

    async def stop(self) -> None:
        """Returns when the last step is done."""
        self._stopped = True
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)


class _Transactions:
    """Those of one fenced cell: Transact by a transactional producer, in a thread of their own."""

    def __init__(self, brokers: str, topic: str, partition: int, group: str, metadata: Any) -> None:
        self.name = f"partition {partition} of {topic}"
        self._input, self._partition, self._metadata = topic, partition, metadata
        self._thread = ThreadPoolExecutor(1)
        self._producer = Producer(
            {
                **SETTINGS,
                "bootstrap.servers": brokers,
                "transactional.id": f"{group}-{topic}-{partition}",
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "linger.ms": 0,
                "retry.backoff.ms": RETRY_BACKOFF_MS,
            }
        )

    async def fence(self) -> None:
        """End the former owner's transactions."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._fence)

    def _fence(self) -> None:
        self._producer.list_topics(self._input, ANSWER_S)  # not connected yet, it would look again after 500 ms
        self._producer.init_transactions(ANSWER_S)

    async def __call__(self, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, records, next_offset)

    def _transact(self, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        written: list[int] = [-1] * len(records)
        deciding = False
        try:
            self._producer.begin_transaction()
            for index, record in enumerate(records):
                self._produce(record, index, written)
            if next_offset is not None:
                offset = TopicPartition(self._input, self._partition, next_offset)
                self._producer.send_offsets_to_transaction([offset], self._metadata, ANSWER_S)
            self._producer.flush(ANSWER_S)
            deciding = True
            self._producer.commit_transaction(ANSWER_S)
        except KafkaException as failed:
            error = failed.args[0]
            kind = LogFenced if error.code() in FENCED or error.fatal() else LogFault
            raise kind(f"{self.name}: {error.str()}", written=None if deciding else False) from failed
        return written

    def _produce(self, record: LogRecord, index: int, written: list[int]) -> None:
        def delivered(error: Any, message: Any) -> None:
            if error is None:
                written[index] = message.offset()

        partition = self._partition if record.partition is None else record.partition
        headers: list[tuple[str, str | bytes | None]] = [*record.headers]
        self._producer.produce(
            record.topic, record.value, record.key, partition, on_delivery=delivered, headers=headers
        )

    def close(self) -> None:
        """The producer goes with its last reference."""
        self._thread.shutdown()


class ConfluentCellLog:
    """A cell log's fence and leases; the rest of CellLog is the same for every client."""

    def __init__(self, brokers: str, topic: str, group: str) -> None:
        self._brokers, self._topic, self._group = brokers, topic, group
        self._transactions: list[_Transactions] = []
        self._consumer = Consumer(
            {**SETTINGS, "bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False}
        )

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        """Become the only writer of these cells, and learn how far they had come."""
        metadata = self._consumer.consumer_group_metadata()
        made = {
            partition: _Transactions(self._brokers, self._topic, partition, self._group, metadata)
            for partition in partitions
        }
        self._transactions += made.values()
        await asyncio.gather(*(one.fence() for one in made.values()))
        asked = [TopicPartition(self._topic, partition) for partition in made]
        found = await asyncio.get_running_loop().run_in_executor(None, self._consumer.committed, asked, ANSWER_S)
        known = {one.partition: one.offset if one.offset >= 0 else None for one in found}
        return {number: Lease(number, one.name, known[number], one) for number, one in made.items()}

    async def close(self) -> None:
        """Stop the threads."""
        for one in self._transactions:
            one.close()
        self._consumer.close()


class ConfluentAppender:
    """A plain idempotent producer, acks=all."""

    def __init__(self, brokers: str) -> None:
        self._producer = Producer(
            {**SETTINGS, "bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 0}
        )
        self._answers: Handover[tuple[asyncio.Future[None], Any]] = Handover(self._tell)
        self._polling = Polling(lambda: self._producer.poll(POLL_S))

    def append(self, topic: str, partition: int, key: bytes, value: bytes) -> asyncio.Future[None]:
        """Done once it is acknowledged."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._producer.produce(
            topic, value, key, partition, on_delivery=lambda error, _: self._answers.put([(answer, error)])
        )
        return answer

    def _tell(self, answers: list[tuple[asyncio.Future[None], Any]]) -> None:
        for answer, error in answers:
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(KafkaException(error))

    async def close(self) -> None:
        """Stop its thread."""
        await self._polling.stop()


class ConfluentReader:
    """A read_committed consumer of some partitions, in a thread that polls it."""

    def __init__(
        self, brokers: str, topic: str, offsets: Mapping[int, int], take: Callable[[list[Any]], None], **settings: Any
    ) -> None:
        """offsets: where each partition is read from. take: gets lists of confluent-kafka's messages, in the loop."""
        self._consumer = Consumer(
            {
                **SETTINGS,
                "bootstrap.servers": brokers,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": FETCH_WAIT_MS_MAX,
                **settings,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, offset) for number, offset in offsets.items()])
        self._handover = Handover(take)
        self._polling = Polling(self._poll)

    def _poll(self) -> None:
        """`consume` waits until it has as many as it may return: so the first alone, then what is there beside it."""
        first = self._consumer.poll(POLL_S)
        if first is None:
            return
        messages = [first, *self._consumer.consume(FETCHED_MAX, 0)]
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
        self._handover.put(messages)

    async def close(self) -> None:
        """Stop its thread."""
        await self._polling.stop()
        self._consumer.close()
