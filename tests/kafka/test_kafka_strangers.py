"""Somebody else writes to our topics: transactions that are rolled back in the journal, garbage among the events."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from broker import Broker
from cluster import PARTITIONS, Cluster, cluster_of_its_own, wait_until
from cluster_trading import STRANGER, trading, until_all_answered
from platform_process import run_cli

from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC

SETTINGS = {"EXNESS_FEE_RATE": "0.001", "EXNESS_MAX_QUOTE_AGE_MS": "3600000"}
GARBAGE = (b"", b"\xff\x00", b"{}", b'{"type":"PositionClosed"}', b"[" * 20_000, None)


@pytest.fixture
def cluster(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_its_own(tmp_path_factory.mktemp("strangers"), **SETTINGS) as cluster:
        yield cluster


async def roll_back(broker: Broker, records: int) -> None:
    """A transaction in each partition of the journal."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id="a-stranger", acks="all")
    await producer.start()
    try:
        await producer.begin_transaction()
        for partition in range(PARTITIONS):
            for _ in range(records):
                await producer.send_and_wait(JOURNAL_TOPIC, b'{"type":"Nonsense"}', partition=partition)
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def write_garbage(broker: Broker) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            for value in GARBAGE:
                await producer.send_and_wait(EVENTS_TOPIC, value, key=STRANGER, partition=partition)
    finally:
        await producer.stop()


@pytest.mark.timeout(300)
async def test_what_strangers_write_stops_nobody(cluster: Cluster) -> None:
    async with trading(cluster, "s", random.Random(7)) as work:
        await until_all_answered(cluster, work)
        for records in (1, 3):
            await roll_back(cluster.broker, records)
            await write_garbage(cluster.broker)
            await until_all_answered(cluster, work)
        first = cluster.engines[0]
        lives = len(first.exits)
        first.signal(signal.SIGKILL)  # whoever takes its cells over meets the holes again, in journal and events
        await asyncio.to_thread(wait_until, lambda: len(first.exits) > lives, "it ends", cluster.said)
        await until_all_answered(cluster, work)
    await asyncio.to_thread(cluster.wait_ready)
    said = cluster.said()
    assert all(set(engine.exits) <= {-signal.SIGKILL} for engine in cluster.engines), said
    everything = "".join(engine.said() for engine in cluster.engines)
    assert "hold no record and are passed over" in everything, said
    assert "can't be read as an event" in everything, said
    found = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr
