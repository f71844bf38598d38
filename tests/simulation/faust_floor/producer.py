"""aiokafka's producer, as transport/kafka uses it, on the simulated brokers. Idempotent: a request that is sent again,
since its answer was lost, is done once. Records of one partition go one batch after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerFenced
from protocol.broker import Fenced
from protocol.network import Unreachable

BACKOFF_S = 0.1
ANSWER_S_MAX = 8.0
_NOTHING = object()


class Written(NamedTuple):
    topic: str
    partition: int
    offset: int


class Batch:
    """aiokafka's builder."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max
        self.records: list[tuple[bytes | None, bytes | None]] = []

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Any = ()) -> Any:
        size = len(key or b"") + len(value or b"") + 70
        if self.records and size > self._left:
            return None
        self._left -= size
        self.records.append((key, value))
        return len(self.records)

    def close(self) -> None:
        pass


class Transactions:
    """aiokafka's _txn_manager."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[None] | None = None

    def is_fatal_error(self) -> bool:
        return self._ended is not None

    def wait_for_transaction_end(self) -> asyncio.Future[None] | None:
        return self._ended

    def end(self, error: KafkaError) -> None:
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            self._ended.set_exception(error)
            self._ended.exception()


class Producer:
    """Takes all of aiokafka's settings; those named are heeded."""

    def __init__(
        self,
        *,
        transactional_id: str | None = None,
        enable_idempotence: bool = False,
        acks: Any = 1,
        request_timeout_ms: int = 40_000,
        transaction_timeout_ms: int = 60_000,
        max_batch_size: int = 16_384,
        **_: Any,
    ) -> None:
        from faust_floor.clients import connection_of

        assert transactional_id or (enable_idempotence and acks in ("all", -1)), "records could be lost or doubled"
        self.connection = connection_of()
        self._name = transactional_id
        self._epoch = 0
        self._patience_s = min(request_timeout_ms, 40_000) / 1000
        self._transaction_s = transaction_timeout_ms / 1000
        self._max_batch_size = max_batch_size
        self._txn_manager = Transactions()
        self._in_transaction = False
        self._queues: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._closed = False
        self._sender = SimpleNamespace(sender_task=None)
        self.client = SimpleNamespace(api_version=(2, 5), force_metadata_update=self._nothing, close=self._nothing)

    async def _nothing(self) -> None:
        pass

    async def _ask(self, action: Callable[[], Any], patience_s: float | None = None) -> Any:
        """Done once, however often it is asked for. KafkaTimeoutError: nobody knows."""
        done: Any = _NOTHING

        def once() -> Any:
            nonlocal done
            if done is _NOTHING:
                done = action()
            return done

        loop = asyncio.get_running_loop()
        end = loop.time() + (self._patience_s if patience_s is None else patience_s)
        channel = f"producer-{self._name or 'plain'}"
        while True:
            try:
                return await self.connection.ask(channel, once, ANSWER_S_MAX)
            except Unreachable as error:  # noqa: PERF203 - that is what tries are for
                if loop.time() > end or self._closed:
                    raise KafkaTimeoutError(str(error)) from error
                await asyncio.sleep(BACKOFF_S)
            except Fenced as error:
                fatal = ProducerFenced()
                self._txn_manager.end(fatal)
                raise fatal from error

    async def start(self) -> None:
        if self._name is None:
            await self._ask(lambda: None)
        else:
            name, broker = self._name, self.connection.broker
            self._epoch = await self._ask(lambda: broker.start_producer(name))

    async def stop(self) -> None:
        if not self._closed:
            await self.flush()
            self._closed = True

    async def flush(self) -> None:
        while self._queues:
            await asyncio.wait(set(self._queues.values()))

    # -- records

    async def partitions_for(self, topic: str) -> set[int]:
        broker = self.connection.broker
        known = broker.topics.get(topic)
        return set(range(known.partitions)) if known else set()

    def create_batch(self) -> Batch:
        return Batch(self._max_batch_size)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> asyncio.Future[Written]:
        assert partition is not None
        return self._queue(topic, partition, [(key, value)])

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Written]:
        if self._txn_manager.is_fatal_error():
            raise ProducerFenced()
        return self._queue(topic, partition, batch.records)

    def _queue(self, topic: str, partition: int, records: list[Any]) -> asyncio.Future[Written]:
        place = topic, partition
        sent = asyncio.ensure_future(self._send(place, records, self._queues.get(place)))
        self._queues[place] = sent

        def ended(_: Any) -> None:
            if self._queues.get(place) is sent:
                del self._queues[place]

        sent.add_done_callback(ended)
        # aiokafka's future is no task: to give up waiting for it does not take back what is sent.
        answer: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda done: _copy(done, answer))
        return answer

    async def _send(self, place: tuple[str, int], records: list[Any], before: asyncio.Future[Any] | None) -> Written:
        if before is not None:
            await asyncio.wait({before})
        broker, name, epoch = self.connection.broker, self._name, self._epoch

        def write() -> int:
            if name is None:
                first = broker.logs[place].end
                for key, value in records:
                    broker.logs[place].append(key, value, None)
                return first
            is_first = broker.begun(name) is None
            offset: int = broker.append_to(name, epoch, place, records)
            if is_first:
                self.connection.network.later(self._transaction_s, broker.expire, name, broker.begun(name))
            return offset

        return Written(*place, await self._ask(write))

    # -- transactions

    def _check(self) -> None:
        if self._txn_manager.is_fatal_error():
            raise ProducerFenced()

    async def begin_transaction(self) -> None:
        self._check()
        assert not self._in_transaction, "a transaction is under way"
        self._in_transaction = True

    async def send_offsets_to_transaction(self, offsets: dict[Any, int], group: str) -> None:
        self._check()
        broker, name, epoch = self.connection.broker, self._name, self._epoch
        places = {(group, tp.topic, tp.partition): offset for tp, offset in offsets.items()}

        def write() -> None:
            is_first = broker.begun(name) is None
            broker.offsets_to(name, epoch, places)
            if is_first:
                self.connection.network.later(self._transaction_s, broker.expire, name, broker.begun(name))

        await self._ask(write)

    async def commit_transaction(self) -> None:
        await self._end(commit=True)

    async def abort_transaction(self) -> None:
        await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        self._check()
        assert self._in_transaction, "no transaction is under way"
        await self.flush()
        self._check()
        broker, name, epoch = self.connection.broker, self._name, self._epoch
        await self._ask(lambda: broker.decide(name, epoch, commit=commit), 3600.0)
        self._in_transaction = False


def _copy(done: asyncio.Future[Written], answer: asyncio.Future[Written]) -> None:
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
