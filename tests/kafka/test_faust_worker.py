"""`faust -A exness_streams.app worker`: the same engine worker, by Faust's own command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from engine_process import FAUST, OPEN, ORDER, Client, EngineProcess, prices
from kafka_harness import KafkaHarness
from platform_process import environment
from ports import free_ports


async def test_fausts_command_starts_an_engine_worker(harness: KafkaHarness) -> None:
    worker = EngineProcess(harness.directory / "faust", harness.broker, FAUST)
    try:
        await worker.wait_ready()
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            client = Client(worker.url, session)
            opened = await client.post(OPEN, ORDER, "ann")
            before = await client.state("ann")
            assert [position["positionId"] for position in before["positions"]] == [opened["positionId"]]
        assert await worker.terminate() == 0, worker.said()
        assert "Traceback" not in worker.said(), worker.said()
    finally:
        worker.end()
    # The data are those of the other command: it goes on where this one ended.
    again = EngineProcess(harness.directory / "faust", harness.broker, PORT=worker.variables["PORT"])
    try:
        await again.wait_ready()
        async with aiohttp.ClientSession() as session:
            after = await Client(again.url, session).state("ann")
        standing = [{**position, "stale": True} for position in before["positions"]]  # no prices come any more
        assert [{**position, "stale": True} for position in after["positions"]] == standing
        assert await again.terminate() == 0, again.said()
    finally:
        again.end()


@pytest.mark.parametrize(
    ("variable", "value"), [("PORT", "0"), ("EXNESS_PARTITIONS", "many"), ("EXNESS_KAFKA_USERNAME", "trader")]
)
def test_a_wrong_setting_is_told_in_one_line(variable: str, value: str) -> None:
    told = subprocess.run(
        [sys.executable, *FAUST], env=environment(**{variable: value}), capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 2
    (line,) = told.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert value in line or "user" in line


def test_brokers_that_are_away_end_it(tmp_path: Path) -> None:
    broker, web = free_ports(2)
    told = subprocess.run(
        [sys.executable, *FAUST],
        env=environment(KAFKA_BROKERS=f"127.0.0.1:{broker}", PORT=str(web), EXNESS_DATA_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("exness-streams: no Kafka broker can be used at")
    assert "Traceback" not in told.stderr
