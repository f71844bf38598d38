"""Stopping on a real broker, whatever a process waits for: its turn, its name, its password, a broker that is gone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import PASSWORD, USER, Broker
from engine_process import ENGINE, FAUST, MARKET_DATA, EngineProcess
from kafka_harness import KafkaHarness
from platform_process import GIVE_UP_S, environment
from ports import free_port

from exness_streams.processes.stopping import EXIT_FORCED, EXIT_UNSERVING

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


COMMANDS = {"engine": ENGINE, "market-data": MARKET_DATA, "faust": FAUST}
AWAY = {"BACKPACK_WS_URL": "ws://127.0.0.1:1", "BACKPACK_REST_URL": ""}
"""The exchange, which none of these needs."""

CURSOR_SHOWN = "\x1b[?25h"
"""What Faust's own command writes in the end."""

STARTING_S = (0.7, 1.5, 3.0, 6.0)
"""When a process that is about to start is told to stop: importing, connecting, joining its group, trying again."""


@pytest.fixture
def processes() -> Iterator[list[EngineProcess]]:
    """Those that a test starts; none is left."""
    started: list[EngineProcess] = []
    yield started
    for process in started:
        process.end()


async def start_all(harness: KafkaHarness, processes: list[EngineProcess], **variables: str) -> None:
    """One of each command, until it does its work."""
    processes += (
        EngineProcess(harness.directory / name, harness.broker, command, **AWAY, **variables)
        for name, command in COMMANDS.items()
    )
    await asyncio.gather(
        *(
            said(process, "is running") if name == "market-data" else process.wait_ready()
            for name, process in zip(COMMANDS, processes, strict=True)
        )
    )


async def stopped(process: EngineProcess, after_s: float = 0.0) -> int:
    """Tell it to stop, unless it has ended by itself; its exit code. TimeoutExpired when it goes on."""
    await asyncio.sleep(after_s)
    return await process.terminate()


def check_end(process: EngineProcess, code: int) -> None:
    """In order, or by a fault, or cut off: always with a last line that says so, and a code that tells it apart."""
    # Before Python has come to our first line it is the signal itself that ends it.
    assert code in (0, 1, EXIT_FORCED, EXIT_UNSERVING, -signal.SIGTERM), process.said()
    assert "Traceback" not in process.said()
    if code in (1, EXIT_FORCED, EXIT_UNSERVING):
        last = process.said().replace(CURSOR_SHOWN, "").strip().splitlines()[-1]
        assert last.startswith("exness-streams: "), process.said()


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_rejected_password_holds_up_no_stop(
    harness: KafkaHarness, processes: list[EngineProcess], command: str
) -> None:
    wrong = sasl(harness.broker, USER, "wrong-word")
    processes += (
        EngineProcess(harness.directory / str(after_s), harness.broker, COMMANDS[command], **wrong)
        for after_s in STARTING_S
    )
    codes = await asyncio.gather(*map(stopped, processes, STARTING_S))
    for process, code in zip(processes, codes, strict=True):
        check_end(process, code)
        assert "wrong-word" not in process.said()


async def test_a_supervisor_may_signal_the_process_and_its_group(
    harness: KafkaHarness, processes: list[EngineProcess]
) -> None:
    await start_all(harness, processes)
    for first in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        for process in processes:
            process.signal(first)
    codes = await asyncio.gather(*(process.wait_ended() for process in processes))
    assert codes == [0] * len(processes), [process.said() for process in processes]


@pytest.mark.parametrize("command", COMMANDS)
async def test_two_processes_of_one_name_both_stop(
    harness: KafkaHarness, processes: list[EngineProcess], command: str
) -> None:
    """One of them is never ready, or is thrown out, since the name is the other's."""
    for number in range(2):
        name = AWAY | {"EXNESS_WORKER_ID": "twice"}
        processes.append(EngineProcess(harness.directory / str(number), harness.broker, COMMANDS[command], **name))
    await asyncio.sleep(STARTING_S[-1])
    for process, code in zip(processes, await asyncio.gather(*map(stopped, processes)), strict=True):
        check_end(process, code)


async def test_a_broker_that_has_gone_holds_up_no_stop(harness: KafkaHarness, processes: list[EngineProcess]) -> None:
    await start_all(harness, processes)
    harness.broker.kill()
    try:
        codes = await asyncio.gather(*map(stopped, processes, (0.0, 1.0, 3.0)))
    finally:
        harness.broker.start()
    for process, code in zip(processes, codes, strict=True):
        check_end(process, code)


@pytest.mark.experiment
async def test_a_password_that_is_taken_back_holds_up_no_stop(
    harness: KafkaHarness, processes: list[EngineProcess]
) -> None:
    harness.broker.add_user("leaver", PASSWORD)
    leaver = sasl(harness.broker, "leaver", PASSWORD) | {"EXNESS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}
    await start_all(harness, processes, **leaver)
    harness.broker.remove_user("leaver")
    harness.broker.restart()  # who was let in stays so, until it connects again
    codes = await asyncio.gather(*map(stopped, processes, (0.0, 2.0, 4.0)))
    for process, code in zip(processes, codes, strict=True):
        check_end(process, code)


def sasl(broker: Broker, user: str, password: str) -> dict[str, str]:
    """The settings of a process that signs in, in the clear."""
    return {
        "KAFKA_BROKERS": f"127.0.0.1:{broker.sasl_port}",
        "EXNESS_KAFKA_TLS": "false",
        "EXNESS_KAFKA_SASL_MECHANISM": "PLAIN",
        "EXNESS_KAFKA_USERNAME": user,
        "EXNESS_KAFKA_PASSWORD": password,
    }


async def said(process: EngineProcess, words: str) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while words not in process.said():
        assert process.exit_code is None, process.said()
        assert time.monotonic() < give_up_at_s, process.said()
        await asyncio.sleep(0.05)
