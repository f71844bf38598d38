"""Every process stops when it is told to, whatever it waits for; a stop that can't be orderly is bounded and told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from platform_process import GIVE_UP_S, environment
from ports import free_port

from exness_streams.processes.stopping import EXIT_FORCED

pytestmark = pytest.mark.first_case

MAIN = "from exness_streams.cli import main; main()"
BLOCKED = """
import asyncio, sys, time
from exness_streams.processes.run import run_process
from exness_streams.processes.stopping import Stopping
stopping = Stopping(grace_s=0.3)
stopping.watch()
async def main(until):
    print("running", flush=True)
    time.sleep(600)
run_process(stopping, main)
"""
CRASHING = """
import asyncio
from exness_streams.processes.run import run_process
from exness_streams.processes.stopping import Stopping
from exness_streams.transport.faults import LogFault
stopping = Stopping(grace_s=0.3)
stopping.watch()
async def main(until):
    try:
        raise LogFault("the disk is full")
    finally:
        stopping.limit("the disk is full")
        print("running", flush=True)
        await asyncio.sleep(600)  # a client library that waits for ever
run_process(stopping, main)
"""


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a broker that takes connections and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        with suppress(OSError):  # it is closed in the end
            while True:
                taken.append(server.accept()[0])

    threading.Thread(target=take, daemon=True).start()
    yield server.getsockname()[1]
    server.close()
    for connection in taken:
        connection.close()


def started(command: list[str], **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output. TimeoutExpired when it does not end."""
    try:
        output, _ = process.communicate(timeout=GIVE_UP_S)
    finally:
        process.kill()
    return process.returncode, output


WITH_BROKERS = [
    ["-c", MAIN, "engine"],
    ["-c", MAIN, "market-data"],
    ["-m", "faust", "-A", "exness_streams.app", "worker"],
]


@pytest.fixture
def nobody() -> int:
    """A port where no broker is."""
    return free_port()


@pytest.mark.parametrize("command", WITH_BROKERS, ids=["engine", "market-data", "faust"])
@pytest.mark.parametrize("after_s", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("broker", ["silent", "nobody"])
def test_a_broker_that_does_not_answer_holds_up_no_stop(
    command: list[str], after_s: float, broker: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    brokers = f"127.0.0.1:{request.getfixturevalue(broker)}"
    variables = {"KAFKA_BROKERS": brokers, "EXNESS_DATA_DIR": str(tmp_path), "BACKPACK_REST_URL": ""}
    process = started(command, PORT=str(free_port()), **variables)
    time.sleep(after_s)  # at any moment of its start
    process.send_signal(signal.SIGTERM)
    code, output = ended(process)
    # Before Python has come to our first line the signal itself ends it. Where no broker is it may be faster.
    assert code in (0, -signal.SIGTERM) or (broker == "nobody" and code == 1), output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", [["engine"], ["market-data"]])
def test_no_broker_is_told_in_one_line(command: list[str], tmp_path: Path) -> None:
    variables = {"KAFKA_BROKERS": f"127.0.0.1:{free_port()}", "EXNESS_DATA_DIR": str(tmp_path)}
    code, output = ended(started(["-c", MAIN, *command], PORT=str(free_port()), **variables))
    assert code == 1
    assert "KAFKA_BROKERS" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "command", [["run", "--feed", "simulated"], ["simulate-backpack", "--port", "0"]], ids=["run", "simulate-backpack"]
)
def test_a_process_without_a_broker_stops_at_any_moment(command: list[str], tmp_path: Path) -> None:
    for after_s in (0.5, 1.0, 2.0):
        process = started(["-c", MAIN, *command], PORT=str(free_port()), EXNESS_DATA_DIR=str(tmp_path / "data"))
        time.sleep(after_s)
        process.send_signal(signal.SIGTERM)
        code, output = ended(process)
        assert code in (0, -signal.SIGTERM), output
        assert "Traceback" not in output


SIMULATE = ["simulate-backpack", "--port", "0"]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [["run", "--feed", "simulated"], SIMULATE], ids=["run", "simulate-backpack"])
def test_a_supervisor_may_signal_the_process_and_its_group(
    command: list[str], first: signal.Signals, tmp_path: Path
) -> None:
    """As `timeout`, systemd and a container's init do, and Ctrl-C in a shell whose child passes it on."""
    process = started(["-c", MAIN, *command], PORT=str(free_port()), EXNESS_DATA_DIR=str(tmp_path / "data"))
    assert process.stdout is not None
    assert process.stdout.readline()  # it runs
    process.send_signal(first)
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, first)
    code, output = ended(process)
    assert code == 0, output


@pytest.mark.parametrize(("code", "says"), [(BLOCKED, "asked to stop by SIGTERM"), (CRASHING, "the disk is full")])
def test_a_stop_that_hangs_is_cut_off_with_one_line(code: str, says: str) -> None:
    process = started(["-c", code])
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    exit_code, output = ended(process)
    assert exit_code == EXIT_FORCED
    assert len(output.splitlines()) == 1
    assert says in output
    assert "cut off" in output
