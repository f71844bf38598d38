"""What others read: headers, versions, causes, the documented consumer; and two platforms on one broker."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from engine_process import GIVE_UP_S, Client, EngineProcess
from kafka_harness import INTERNAL_TOPICS, KafkaHarness
from platform_process import environment

from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.market_data.ticks import read_tick
from exness_streams.messages import MarketDataMessage, Topics
from exness_streams.processes import market_data_worker
from exness_streams.processes.market_data_worker import KafkaPublisher
from exness_streams.transport.faults import LogFenced
from exness_streams.transport.kafka.offsets import committed_offsets
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics

DOCUMENT = Path(__file__).parents[2] / "docs" / "topics.md"


def documented_consumer() -> str:
    """The example as it stands there."""
    (found,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return str(found)


async def records_of(harness: KafkaHarness, topic: str, partition: int) -> list[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=harness.broker.address, isolation_level="read_committed", enable_auto_commit=False
    )
    async with consumer:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[Any] = []
        while await consumer.position(tp) < end:
            found += (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
        return found


async def write_and_abort(address: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id="a-stranger")
    async with producer:
        await producer.begin_transaction()
        for partition in range(2):
            await producer.send_and_wait(
                topic, b'{"eventId":"never","causedBy":null}', key=b"demo", partition=partition
            )
        await producer.abort_transaction()


async def read_as_documented(address: str, prefix: str, count: int) -> list[str]:
    """The first lines that the documented consumer prints."""
    variables = environment(KAFKA_BROKERS=address, EXNESS_TOPIC_PREFIX=prefix)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", documented_consumer(), env=variables, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        lines = [await asyncio.wait_for(process.stdout.readline(), GIVE_UP_S) for _ in range(count)]
    finally:
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    return [line.decode().strip() for line in lines]


async def test_two_platforms_share_a_broker_and_nothing_else(harness: KafkaHarness) -> None:
    address = harness.broker.address
    engines = {
        prefix: EngineProcess(
            harness.directory / prefix, harness.broker, EXNESS_TOPIC_PREFIX=prefix, EXNESS_WORKER_ID="one"
        )
        for prefix in ("a-", "b-")
    }
    try:
        async with AsyncExitStack() as stack:
            for number, (prefix, engine) in enumerate(engines.items(), start=1):
                await engine.wait_ready()
                headers = {"X-Request-Id": f"req-{prefix}"}
                session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
                client = Client(engine.url, session)
                for _ in range(number):
                    await client.post("/api/v1/account/deposit", {"amount": 5}, "demo")
                state = await client.state("demo")
                assert state["balances"]["USD"] == 10_000 + 5 * number
            # What was written in vain is no event.
            await write_and_abort(address, "a-trading-events")
            (line,) = await read_as_documented(address, "a-", 1)
            assert re.fullmatch(r"Deposited demo \d-\d+-0 req-a-", line), line
            told = await read_as_documented(address, "b-", 2)
            assert [line.split()[0::3] for line in told] == [["Deposited", "req-b-"]] * 2
        topics = set(await harness.admin.list_topics()) - INTERNAL_TOPICS
        for prefix in engines:
            assert topics >= set(Topics.of(prefix))
        assert all(name.startswith(tuple(engines)) for name in topics), topics
    finally:
        for engine in engines.values():
            engine.end()
            print(engine.said())


async def test_events_have_their_version_and_headers(harness: KafkaHarness) -> None:
    engine = EngineProcess(harness.directory, harness.broker)
    try:
        await engine.wait_ready()
        async with aiohttp.ClientSession() as session:
            await Client(engine.url, session).post("/api/v1/account/deposit", {"amount": 5}, "demo")
        # The answer waits for no event: those are written in a moment.
        while not (found := await records_of(harness, Topics().events, 0)):
            found = await records_of(harness, Topics().events, 1)
            if found:
                break
    finally:
        engine.end()
    (record,) = found
    assert record.headers == (("content-type", b"application/json"), ("type", b"Deposited"))
    event = json.loads(record.value)
    assert list(event)[:2] == ["schemaVersion", "type"]
    assert event["schemaVersion"] == 2
    assert re.fullmatch(r"[0-9a-f]{16}", event["causedBy"])  # made by the platform: the client gave none


async def test_ticks_have_their_version_and_headers(harness: KafkaHarness) -> None:
    cluster = KafkaCluster((harness.broker.address,), topics=Topics.of("c-"))
    await declare_topics(cluster, [KafkaTopic("c-backpack-market-updates", 1)])
    publisher = KafkaPublisher(cluster, "simulated", WorkMetrics(), "c-exness-market-data")
    assert await publisher.last_sequences() == {}
    sent = MarketDataMessage("SOL_USDC", Decimal("1.50"), 1_790_000_000_000, 7, source="simulated")
    publisher.publish(sent)
    running = asyncio.create_task(publisher.run())
    try:
        while not (found := await records_of(harness, "c-backpack-market-updates", 0)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})
    (record,) = found
    assert record.headers == (("content-type", b"application/json"), ("type", b"MarketDataMessage"))
    assert record.value.startswith(b'{"schemaVersion":2,"symbol":"SOL_USDC","price":1.50,')
    assert read_tick(record) == (sent, None)


async def test_ticks_of_one_moment_are_one_transaction_and_commit_no_offset(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data_worker, "GATHER_S", 0.5)
    topic, group = "d-backpack-market-updates", "d-exness-market-data"
    cluster = KafkaCluster((harness.broker.address,), topics=Topics.of("d-"))
    await declare_topics(cluster, [KafkaTopic(topic, 1)])
    former, metrics = KafkaPublisher(cluster, "simulated", WorkMetrics(), group), WorkMetrics()
    publisher = KafkaPublisher(cluster, "simulated", metrics, group)
    await former.last_sequences()
    await publisher.last_sequences()
    sent = [MarketDataMessage(f"S{n}_USDC", Decimal(n), 1_790_000_000_000, n, source="simulated") for n in range(1, 4)]
    running = asyncio.create_task(publisher.run())
    await asyncio.sleep(0)
    try:
        for tick in sent:
            publisher.publish(tick)
            await asyncio.sleep(0)
        while not publisher.published_at_s > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})
    found = await records_of(harness, topic, 0)
    assert [read_tick(record) for record in found] == [(tick, None) for tick in sent]
    assert [record.offset for record in found] == [0, 1, 2], "no mark of a transaction between them"
    assert await committed_offsets(cluster, group, topic, [0]) == {}
    former.publish(sent[0])
    with pytest.raises(LogFenced):
        await former.run()


async def test_a_ticks_topic_with_three_partitions_is_refused_in_one_line(harness: KafkaHarness) -> None:
    await declare_topics(harness.cluster, [KafkaTopic("backpack-market-updates", 3)])
    engine = EngineProcess(harness.directory, harness.broker)
    try:
        assert await engine.wait_ended() == 2
    finally:
        engine.end()
    said = engine.said()
    assert "Traceback" not in said
    assert "topic backpack-market-updates has 3 partitions, and must have 1" in said
    delete = f"kafka-topics.sh --bootstrap-server {harness.broker.address} --delete --topic backpack-market-updates"
    assert delete in " ".join(said.split())
