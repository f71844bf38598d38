"""One real Kafka broker for all tests in here; they are skipped where it cannot run, but never in CI."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from broker import Broker, BrokerMissing, fetch_jars
from kafka_harness import KafkaHarness


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    try:
        jars = fetch_jars()
    except BrokerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    broker = Broker(tmp_path_factory.mktemp("kafka"), jars)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
async def harness(tmp_path: Path, broker: Broker) -> AsyncIterator[KafkaHarness]:
    harness = KafkaHarness(tmp_path, broker)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What a test leaves unclosed is told of in that test, not in the one that happens to run when it is collected."""
    yield
    gc.collect()
