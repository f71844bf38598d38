"""What keeps a worker out of its group ends it in one line; of a session timeout it says what the brokers allow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer
from engine_process import ENGINE, FAUST, MARKET_DATA, EngineProcess
from kafka_harness import KafkaHarness

from exness_streams.engine.engine import APP_ID


@pytest.mark.parametrize("command", [ENGINE, MARKET_DATA, FAUST], ids=["engine", "market-data", "faust"])
async def test_a_session_shorter_than_the_brokers_allow_ends_it_in_one_line(
    harness: KafkaHarness, command: Sequence[str]
) -> None:
    worker = EngineProcess(harness.directory / "worker", harness.broker, command, EXNESS_SESSION_TIMEOUT_S="2")
    try:
        assert await worker.wait_ended() == 2, worker.said()
    finally:
        worker.end()
    (line,) = [line for line in worker.said().splitlines() if "EXNESS_SESSION_TIMEOUT_S" in line]
    assert "EXNESS_SESSION_TIMEOUT_S is 2, which the Kafka brokers refuse: they allow 6 s " in line
    assert "to 1800 s (group.max.session.timeout.ms)" in line
    assert "Traceback" not in worker.said()


async def test_a_group_of_other_members_ends_it_in_one_line(harness: KafkaHarness) -> None:
    """No error that keeps it out waits for a fetch, which a worker without partitions never makes."""
    await harness.declare("strangers", 1)
    stranger = AIOKafkaConsumer("strangers", bootstrap_servers=harness.broker.address, group_id=APP_ID)
    await stranger.start()
    worker = EngineProcess(harness.directory / "worker", harness.broker)
    try:
        assert await worker.wait_ended() == 1, worker.said()
    finally:
        worker.end()
        await stranger.stop()
    assert "the consumer of Kafka can't go on" in worker.said().splitlines()[-1]
    assert "InconsistentGroupProtocol" in worker.said().splitlines()[-1]
    assert "Traceback" not in worker.said()
