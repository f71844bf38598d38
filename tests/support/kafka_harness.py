"""The conformance suite's harness on a real Kafka broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from broker import Broker
from transport_harness import RecordRead
from yarl import URL

from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.batches import delivered, enqueue
from exness_streams.transport.kafka.faust_driver import Transport
from exness_streams.transport.kafka.offsets import committed_offsets
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics
from exness_streams.transport.leases import CellLog
from exness_streams.transport.recovery import TableManager

INTERNAL_TOPICS = {"__consumer_offsets", "__transaction_state"}
IN_HISTORIES_S_MAX = 30.0


class KafkaHarness:
    """One broker for all tests; each test begins without topics (and so without their committed offsets)."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self.directory = directory
        self.broker = broker
        self.cluster = KafkaCluster((broker.address,))
        self._admin_context = self.cluster.admin()
        self._producer: Any = None
        self.admin: Any = None
        self._compacted: set[str] = set()

    async def open(self) -> None:
        self.admin = await self._admin_context.__aenter__()
        if topics := [name for name in await self.admin.list_topics() if name not in INTERNAL_TOPICS]:
            await self.admin.delete_topics(topics)
        self._producer = AIOKafkaProducer(**self.cluster.client_settings, acks="all", max_batch_size=512 * 1024)
        await self._producer.start()

    async def close(self) -> None:
        await self._producer.stop()
        await self._admin_context.__aexit__(None, None, None)

    def app(self, app_id: str, **settings: Any) -> faust.App:
        defaults = {
            "broker": f"kafka://{self.broker.address}",
            "store": "memory://",
            "datadir": str(self.directory / "data"),
            "web_enabled": False,
            "topic_disable_leader": True,
            "topic_partitions": 1,
            "stream_recovery_delay": 0,
            "stream_wait_empty": False,
            "broker_commit_interval": 0.05,
            "broker_session_timeout": 6.0,
            "broker_heartbeat_interval": 1.0,
            "producer_linger_ms": 0,
            "agent_supervisor": "mode.CrashingSupervisor",
            "TableManager": TableManager,
        }
        app = faust.App(app_id, **{**defaults, **settings})
        app.transport = Transport([URL(f"fenced-kafka://{self.broker.address}")], app)
        return app

    def cell_log(self, app: faust.App, topic: str) -> CellLog:
        cell_log: CellLog = app.transport.cell_log(topic)
        return cell_log

    async def declare(self, topic: str, partitions: int, *, compact: bool = False) -> None:
        if compact:
            self._compacted.add(topic)
        await declare_topics(self.cluster, [KafkaTopic(topic, partitions, compact=compact)])

    async def produce(self, records: Sequence[LogRecord]) -> list[int]:
        return await delivered(await enqueue(self._producer, records, None), len(records))

    async def read(self, topic: str, partition: int) -> list[RecordRead]:
        """Kafka compacts when it pleases; here a compacted topic is read as it will be then."""
        tp = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            **self.cluster.client_settings, isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            found: list[RecordRead] = []
            while await consumer.position(tp) < end:
                found += (await consumer.getmany(tp, timeout_ms=50)).get(tp, [])
        finally:
            await consumer.stop()
        if topic in self._compacted:
            latest = {record.key: record.offset for record in found}
            found = [record for record in found if latest[record.key] == record.offset]
        return found

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        return (await committed_offsets(self.cluster, group, topic, [partition])).get(partition)

    async def until_in_histories(self, group: str, partitions: int) -> None:
        """All that was told by now: an answer comes before the commit that brings its events to their topic."""
        for topic, partition in product((JOURNAL_TOPIC, EVENTS_TOPIC), range(partitions)):
            end = (await self.read(topic, partition))[-1].offset + 1
            until_s = time.monotonic() + IN_HISTORIES_S_MAX
            while (await self.committed(group, topic, partition) or 0) < end:
                assert time.monotonic() < until_s, f"partition {partition} of {topic} is not committed up to {end}"
                await asyncio.sleep(0.1)

    async def settings(self, topic: str) -> tuple[str, str]:
        """(cleanup.policy, retention.ms)"""
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic)
        (answer,) = await self.admin.describe_configs([wanted])
        entries = {key: value for key, value, *_ in answer.resources[0][4]}
        return entries["cleanup.policy"], entries["retention.ms"]

    async def trim(self, topic: str, partition: int, before_offset: int) -> None:
        await self.admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset)})

    async def restart(self) -> None:
        """Nothing: what brokers do over restarts is Kafka's own matter, and one test of its own here."""
