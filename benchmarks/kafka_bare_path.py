"""The bare path of an order on Kafka: a record is sent with acks=all, until a read_committed consumer has it.

Made with the clients and the settings of the engine, but of nothing else of it: what its orders are held against.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from exness_streams.transport.kafka.consumer_thread import FETCH_WAIT_MS_MAX
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics

PADDING = b"x" * 300
"""About as long as a command is in the journal."""


SETTLE_S = 1.0
"""Brokers tell of a new topic a little before its partitions take records, and clients write warnings then."""


async def make_topics(cluster: KafkaCluster, partitions: Mapping[str, int]) -> None:
    """Topics by their partitions; they can be used at once."""
    await declare_topics(cluster, [KafkaTopic(name, count) for name, count in partitions.items()])
    await asyncio.sleep(SETTLE_S)


class BarePath:
    """One producer, and one consumer of all partitions of a topic of its own."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._cluster = KafkaCluster((brokers,))
        self._topic, self._partitions = topic, partitions
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self.latencies_ms: list[float] = []

    async def run(self, clients: int, warm_up_s: float, duration_s: float) -> None:
        """Each client sends its next record once it has got back the one before."""
        await make_topics(self._cluster, {self._topic: self._partitions})
        self._producer: Any = AIOKafkaProducer(
            **self._cluster.client_settings, enable_idempotence=True, acks="all", linger_ms=0
        )
        consumer = AIOKafkaConsumer(
            **self._cluster.client_settings,
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
            auto_offset_reset="latest",
        )
        await self._producer.start()
        await consumer.start()
        partitions = [TopicPartition(self._topic, number) for number in range(self._partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        reading = asyncio.ensure_future(self._read(consumer))
        try:
            begin_s = time.monotonic() + warm_up_s
            await asyncio.gather(*(self._client(number, begin_s, begin_s + duration_s) for number in range(clients)))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await consumer.stop()
            await self._producer.stop()

    async def _read(self, consumer: Any) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    self._waiting.pop(record.key).set_result(None)

    async def _client(self, number: int, begin_s: float, end_s: float) -> None:
        count = 0
        while (begun_s := time.monotonic()) < end_s:
            count += 1
            key = b"%d-%d" % (number, count)
            read = self._waiting[key] = asyncio.get_running_loop().create_future()
            sent = await self._producer.send(self._topic, PADDING, key=key, partition=number % self._partitions)
            await asyncio.gather(sent, read)
            if begun_s >= begin_s:
                self.latencies_ms.append((time.monotonic() - begun_s) * 1000)


def bare_latencies_ms(
    brokers: str, topic: str, partitions: int, clients: int, warm_up_s: float, duration_s: float
) -> list[float]:
    """Of all records sent after the warm-up. The topic is made, and must not be there."""
    path = BarePath(brokers, topic, partitions)
    run_on_uvloop(path.run(clients, warm_up_s, duration_s))
    return path.latencies_ms


def run_on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    """As the platform runs: on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
