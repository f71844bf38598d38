"""One real Kafka broker for all tests in here; they are skipped where it cannot run, but never in CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for other in ("integration", "simulation", "unit"):  # the conformance suite, the auditor, samples of records
    sys.path.append(str(Path(__file__).parents[1] / other))

pytest.register_assert_rewrite("kafka_harness", "transport_conformance", "transport_harness")

from broker import Broker, BrokerMissing, fetch_jars  # noqa: E402


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
