"""Stopping on a real broker: the leader of the market data processes, however often it is asked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import Broker
from platform_process import GIVE_UP_S, environment
from ports import free_port

MAIN = "from exness_streams.cli import main; main()"
STOPS = 6
SEED = int(os.environ.get("TEST_SEED", "1"))


@pytest.fixture
def prices(tmp_path: Path) -> Iterator[int]:
    """A simulated exchange; its port."""
    port = free_port()
    with (tmp_path / "simulator.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "simulate-backpack", "--port", str(port), "--rate", "200"],
            env=environment(),
            stdout=output,
            stderr=output,
        )
    yield port
    process.kill()
    process.wait(GIVE_UP_S)


def test_a_leader_that_is_told_to_stop_stops(broker: Broker, prices: int, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    output = tmp_path / "market-data.out"
    variables = {
        "KAFKA_BROKERS": broker.address,
        "BACKPACK_WS_URL": f"ws://127.0.0.1:{prices}",
        "BACKPACK_REST_URL": "",
        "EXNESS_DATA_DIR": str(tmp_path / "data"),
        "EXNESS_WORKER_ID": "leader",
    }
    for stop in range(STOPS):
        with output.open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "market-data"], env=environment(**variables), stdout=said, stderr=said
            )
        try:
            until_s = time.monotonic() + GIVE_UP_S
            while output.read_text().count("feed connected") <= stop and time.monotonic() < until_s:
                assert process.poll() is None, output.read_text()
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 0.5))  # at any moment of a transaction
            process.send_signal(signal.SIGTERM)
            assert process.wait(GIVE_UP_S) == 0, output.read_text()
        finally:
            process.kill()
    assert "Traceback" not in output.read_text()
