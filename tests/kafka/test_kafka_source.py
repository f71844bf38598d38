"""The topic of market updates belongs to one source of prices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer
from broker import Broker
from platform_process import GIVE_UP_S, environment

from exness_streams.messages import MARKET_UPDATES_TOPIC
from exness_streams.processes.market_data_worker import DAY_MS
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics

MAIN = "from exness_streams.cli import main; main()"
TICK = b'{"symbol":"SOL_USDC","price":150,"timestamp":1790000000000,"sequence":%d,"source":"%s"}'


async def test_market_data_of_another_source_ends_in_one_line(broker: Broker, tmp_path: Path) -> None:
    await declare_topics(
        KafkaCluster([broker.address], None), [KafkaTopic(MARKET_UPDATES_TOPIC, 1, retention_ms=DAY_MS)]
    )
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        for n, source in enumerate([b"simulated"] * 3 + [b"backpack"], start=1):
            await producer.send_and_wait(MARKET_UPDATES_TOPIC, TICK % (n, source), b"SOL_USDC", 0)
    finally:
        await producer.stop()
    variables = {
        "KAFKA_BROKERS": broker.address,
        "EXNESS_DATA_DIR": str(tmp_path / "data"),
        "EXNESS_WORKER_ID": "other",
        "EXNESS_REPLICATION_FACTOR": "1",
        "BACKPACK_WS_URL": "wss://ws.backpack.exchange",
    }
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", MAIN, "market-data"],
        env=environment(**variables),
        capture_output=True,
        timeout=GIVE_UP_S,
        check=False,
    )
    said = ended.stderr.decode()
    assert ended.returncode == 2, said
    assert "holds simulated prices" in said
    assert "Traceback" not in said
