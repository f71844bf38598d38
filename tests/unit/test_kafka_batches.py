"""Batches to a Kafka producer whose transaction fails before anybody waits for them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.producer import message_accumulator

from exness_streams.transport.interfaces import Headers, LogRecord
from exness_streams.transport.kafka.batches import enqueue


class Batch:
    """Takes every record."""

    def __init__(self, taken: list[Headers]) -> None:
        self._taken = taken

    def append(self, *, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers) -> object:
        assert type(headers) is list, "aiokafka's builder in C takes nothing else"
        self._taken.append(headers)
        return object()

    def close(self) -> None:
        pass


class Producer:
    """aiokafka's, as far as it is used here."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Any]] = []
        self.headers: list[Headers] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch(self.headers)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What asyncio tells of futures that failed and were never looked at."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context))
    return found


async def test_a_transaction_that_fails_leaves_no_future_to_complain(complaints: list[dict[str, Any]]) -> None:
    producer = Producer()
    sent = await enqueue(producer, [LogRecord("events", b"key", b"value"), LogRecord("rows", b"key", b"value")], 0)
    assert len(sent) == 2
    for future in producer.sent:
        future.set_exception(ProducerFenced())
    await asyncio.sleep(0)
    del sent, future
    producer.sent.clear()
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints


async def test_nor_does_a_batch_of_aiokafka_that_was_never_sent(complaints: list[dict[str, Any]]) -> None:
    builder: Any = object()
    batch = message_accumulator.MessageBatch(TopicPartition("events", 0), builder, 1.0, 0.0)
    batch.failure(ProducerFenced())
    assert isinstance(batch.future.exception(), ProducerFenced)
    del batch
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints


async def test_each_record_has_its_own_headers() -> None:
    producer = Producer()
    with_headers = LogRecord("events", b"key", b"value", headers=(("type", b"Deposited"),))
    await enqueue(producer, [with_headers, LogRecord("events", b"key", b"value")], 0)
    assert producer.headers == [[("type", b"Deposited")], []]
