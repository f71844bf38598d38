"""Kafka's weather: what may pass is survived, what does not pass ends a process in one line, and nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import aiohttp
import pytest
from broker import Broker
from engine_process import ENGINE, MARKET_DATA, POLL_S, Client, EngineProcess, prices
from first_cases import experiments
from kafka_harness import KafkaHarness
from platform_process import environment, run_cli
from ports import free_port
from shifted_clock import shifted
from stalling_proxy import StallingProxy

from exness_streams.processes.stopping import EXIT_FORCED, EXIT_UNSERVING

GIVE_UP_S = 120.0
"""On a busy machine; what is tested ends in some 30 s."""

HEALTHY_S = 3.0
AWAY_S = 16.0
SLOW_S = 0.15
USER, PASSWORD = "weather", "not-a-secret-either"
CLOCKS_S = (-60, *experiments(60, 7_200, -7_200))


@pytest.fixture
def networks(broker: Broker) -> Iterator[list[StallingProxy]]:
    """Between the broker and workers: one for each of them."""
    with ExitStack() as stack:
        yield [stack.enter_context(StallingProxy(proxy_port, port)) for port, proxy_port in broker.far[:3]]


@pytest.fixture
def exchange() -> Iterator[dict[str, str]]:
    """A simulated one; the variables of who asks it."""
    port = free_port()
    program = "from exness_streams.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "simulate-backpack", "--port", str(port)],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield {"BACKPACK_WS_URL": f"ws://127.0.0.1:{port}", "BACKPACK_REST_URL": ""}
    process.kill()
    process.wait()


class Processes:
    """Of one test; ended with it. Each is in a platform of its own when it has a prefix."""

    def __init__(self, harness: KafkaHarness) -> None:
        self._harness = harness
        self.all: list[EngineProcess] = []

    def start(self, name: str, command: list[str] = ENGINE, **variables: str) -> EngineProcess:
        started = EngineProcess(
            self._harness.directory / name, self._harness.broker, command,
            **{"BACKPACK_REST_URL": "", "EXNESS_WORKER_ID": name, **variables},
        )  # fmt: skip
        self.all.append(started)
        return started

    async def ready(self) -> None:
        await asyncio.gather(*(one.wait_ready() for one in self.all))


@pytest.fixture
def processes(harness: KafkaHarness) -> Iterator[Processes]:
    processes = Processes(harness)
    yield processes
    for one in processes.all:
        one.end()


def readiness(process: EngineProcess) -> tuple[int, dict[str, Any]]:
    """Status and body of GET /readyz; (0, {}) when nobody answers."""
    try:
        with urllib.request.urlopen(process.url + "/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)
    except OSError:
        return 0, {}


async def until(happens: Callable[[], Any], process: EngineProcess) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while not await asyncio.to_thread(happens):
        assert time.monotonic() < give_up_at_s, f"{readiness(process)}\n{process.said()}"
        await asyncio.sleep(POLL_S)


async def serves_or_ended(process: EngineProcess) -> int | None:
    """Its exit code; None when it serves and has for a while. What it may not: live on, and serve nobody."""
    give_up_at_s, since_s = time.monotonic() + GIVE_UP_S, None
    while time.monotonic() < give_up_at_s:
        if (code := process.exit_code) is not None:
            return code
        if not await asyncio.to_thread(process.is_ready):
            since_s = None
        elif since_s is None:
            since_s = time.monotonic()
        elif time.monotonic() - since_s > HEALTHY_S:
            return None
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"neither serves nor ended: {readiness(process)}\n{process.said()}")


def lines(process: EngineProcess, words: str) -> list[str]:
    return [line for line in process.said().splitlines() if words in line]


def check_last_line(process: EngineProcess, words: str) -> None:
    last = process.said().strip().splitlines()[-1]
    assert last.startswith("exness-streams: "), process.said()
    assert words in last, process.said()
    assert "Traceback" not in process.said()


async def audit(harness: KafkaHarness, **variables: str) -> None:
    """Every account is what its journal gives."""
    directory = str(harness.directory / "audit")
    own = {"KAFKA_BROKERS": harness.broker.address, "EXNESS_PARTITIONS": "2", "EXNESS_DATA_DIR": directory, **variables}
    audited = await asyncio.to_thread(run_cli, "audit", "--kafka", **own)
    assert audited.returncode == 0, audited.stdout + audited.stderr


async def test_connections_that_are_reset_lost_or_slow(
    harness: KafkaHarness, networks: list[StallingProxy], processes: Processes
) -> None:
    """One network each; clients trade all the while, and what they were told holds."""
    engines = [
        processes.start(f"engine-{kind}", KAFKA_BROKERS=f"127.0.0.1:{network.port}")
        for kind, network in zip(("reset", "lost", "slow"), networks, strict=True)
    ]
    await processes.ready()
    told: dict[str, int] = {}

    async def trade(engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        client = Client(engine.url, session)
        for number in itertools.count():
            account = f"{engine.variables['PORT']}-{number % 8}"
            with suppress(AssertionError, aiohttp.ClientError, asyncio.TimeoutError):
                await client.trade(account)
                told[account] = (await client.state(account))["sequence"]
            await asyncio.sleep(0.05)

    reset, lost, slow = networks
    async with aiohttp.ClientSession() as session, prices(harness.broker.address):
        trading = [asyncio.ensure_future(trade(engine, session)) for engine in engines]
        try:
            await asyncio.sleep(1.0)
            slow.delay_s = SLOW_S
            lost.lose()
            for _ in range(5):
                reset.cut()
                await asyncio.sleep(1.0)
            codes = await asyncio.gather(*map(serves_or_ended, engines))
            slow.delay_s = 0.0
            assert not [task for task in trading if task.done()]
        finally:
            for task in trading:
                task.cancel()
            await asyncio.gather(*trading, return_exceptions=True)
        for engine, code in zip(engines, codes, strict=True):
            if code is not None:
                assert code in (1, EXIT_FORCED, EXIT_UNSERVING), engine.said()
                check_last_line(engine, "")
        assert codes[2] is None, f"a slow network is no reason to end\n{engines[2].said()}"
        client = Client(engines[2].url, session)
        await until(lambda: engines[2].is_ready(), engines[2])
        for account, sequence in told.items():
            assert (await client.state(account))["sequence"] >= sequence
    assert told, "nobody could trade"
    await audit(harness)


async def test_brokers_that_are_away_are_waited_for_and_what_does_not_pass_ends(
    harness: KafkaHarness, exchange: dict[str, str], processes: Processes
) -> None:
    """At once, each in a platform of its own: brokers away, a password that is changed meanwhile, topics deleted."""
    broker = harness.broker
    broker.add_user(USER, PASSWORD)
    signed_in = {
        "KAFKA_BROKERS": f"127.0.0.1:{broker.sasl_port}", "EXNESS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "EXNESS_KAFKA_USERNAME": USER, "EXNESS_KAFKA_PASSWORD": PASSWORD, "EXNESS_TOPIC_PREFIX": "password-",
    }  # fmt: skip
    refused = [
        processes.start("refused", **signed_in),
        processes.start("refused-md", MARKET_DATA, **signed_in, **exchange),
    ]
    journal = processes.start("journal", EXNESS_TOPIC_PREFIX="journal-")
    ticks = processes.start("ticks", MARKET_DATA, EXNESS_TOPIC_PREFIX="ticks-", **exchange)
    waiting = [processes.start("waits"), processes.start("waits-md", MARKET_DATA, **exchange)]
    await processes.ready()

    await harness.admin.delete_topics(["journal-trading-journal", "ticks-backpack-market-updates"])
    await until(lambda: readiness(journal)[0] != 200, journal)
    code = await journal.wait_ended()
    assert code in (1, EXIT_UNSERVING), journal.said()  # as it hears of it: at a rebalance, or from outside
    gone = "topic journal-trading-journal is not there any more"
    check_last_line(journal, gone if code == EXIT_UNSERVING else "journal-trading-journal was not dealt out")
    assert await ticks.wait_ended() == EXIT_UNSERVING, ticks.said()
    check_last_line(ticks, "topic ticks-backpack-market-updates is not there any more")
    # As its supervisor does: the topic is made anew.
    again = processes.start("ticks-again", MARKET_DATA, EXNESS_TOPIC_PREFIX="ticks-", **exchange)
    await again.wait_ready()
    assert await again.terminate() == 0, again.said()

    broker.remove_user(USER)
    broker.stop()
    try:
        for process in waiting:
            await until(lambda process=process: readiness(process)[0] == 503 or process.exit_code, process)
        await asyncio.sleep(AWAY_S)
    finally:
        broker.start()
    for process in waiting:
        code = await serves_or_ended(process)
        assert code in (None, 1, EXIT_FORCED), process.said()  # what was in a transaction ends, and starts again
        if code is None:
            await until(lambda process=process: lines(process, "Kafka is of use again"), process)
            assert len(lines(process, "none takes a connection")) == 1, process.said()
    assert waiting[1].exit_code is None, waiting[1].said()
    for process in refused:
        code = await process.wait_ended()
        assert code in (1, EXIT_FORCED, EXIT_UNSERVING), process.said()
    check_last_line(refused[1], "SaslAuthenticationFailed")
    assert refused[1].exit_code == EXIT_UNSERVING
    for process in processes.all:
        assert PASSWORD not in process.said()


@pytest.mark.parametrize("command", [ENGINE, MARKET_DATA], ids=["engine", "market-data"])
async def test_advertised_listeners_that_lead_nowhere_are_named(
    harness: KafkaHarness, processes: Processes, command: list[str]
) -> None:
    port, proxy_port = harness.broker.far[-1]
    process = processes.start("nowhere", command, KAFKA_BROKERS=f"127.0.0.1:{port}")
    assert await process.wait_ended() == 1, process.said()
    check_last_line(process, f"send their clients to 127.0.0.1:{proxy_port}, where none takes a connection")
    check_last_line(process, "advertised.listeners")


@pytest.mark.first_case
@pytest.mark.parametrize("ahead_s", CLOCKS_S)
async def test_a_clock_that_is_off_is_told_of_and_ends_nobody(
    harness: KafkaHarness, exchange: dict[str, str], processes: Processes, ahead_s: int
) -> None:
    """Of an engine that makes the frames, and of market data; the broker's and the exchange's are right."""
    engine = processes.start("off", shifted("engine", ahead_s))
    market_data = processes.start("off-md", shifted("market-data", ahead_s), **exchange)
    side = "ahead of" if ahead_s > 0 else "behind"
    await until(lambda: lines(engine, f"s {side} the brokers'"), engine)
    await until(lambda: lines(market_data, "event times differ from the local clock"), market_data)
    status, body = readiness(engine)
    assert any(f"s {side} the brokers'" in reason for reason in body["reasons"]), body
    status, body = readiness(market_data)
    assert status == (200 if ahead_s > 0 else 503), body
    assert any(f"s {side} the exchange's" in reason for reason in body["reasons"]), body
    await asyncio.sleep(HEALTHY_S)
    assert len(lines(engine, f"s {side} the brokers'")) == 1, engine.said()
    for process in (engine, market_data):
        assert process.exit_code is None, process.said()
        assert await process.terminate() == 0, process.said()
        assert "Traceback" not in process.said()
    await audit(harness)
