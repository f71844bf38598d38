"""Workers whose network carries nothing for a while, with all connections open: they serve again, or they end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import aiohttp
import pytest
from broker import Broker
from engine_process import Client, EngineProcess, prices
from kafka_harness import KafkaHarness
from stalling_proxy import StallingProxy

from exness_streams.processes.stopping import EXIT_FORCED

STALLS_S = (9.0, 12.0, 16.0, 20.0)
STOPS_AFTER_S = (0.0, 4.0, 12.0)
BACK_S_MAX = 60.0
"""How long a worker whose network is back may take to serve again, or to end, on a busy machine."""

HEALTHY_S = 3.0


@pytest.fixture
def networks(broker: Broker) -> Iterator[list[StallingProxy]]:
    """Between the broker and workers: one for each of them."""
    with ExitStack() as stack:
        yield [stack.enter_context(StallingProxy(proxy_port, port)) for port, proxy_port in broker.far]


def behind(network: StallingProxy, harness: KafkaHarness, name: str) -> EngineProcess:
    return EngineProcess(
        harness.directory / name, harness.broker, KAFKA_BROKERS=f"127.0.0.1:{network.port}", BACKPACK_REST_URL="",
        EXNESS_WORKER_ID=name, EXNESS_PARTITIONS="8",
    )  # fmt: skip


async def serves_or_ended(engine: EngineProcess) -> int | None:
    """Its exit code, None when it serves and has for a while. What it may not: live on, and serve nobody."""
    give_up_at_s, served_since_s = time.monotonic() + BACK_S_MAX, None
    while time.monotonic() < give_up_at_s:
        if (code := engine.exit_code) is not None:
            return code
        if not await asyncio.to_thread(engine.is_ready):
            served_since_s = None
        elif served_since_s is None:
            served_since_s = time.monotonic()
        elif time.monotonic() - served_since_s > HEALTHY_S:
            return None
        await asyncio.sleep(0.2)
    raise AssertionError(f"neither serves nor ended:\n{engine.said()}")


async def test_workers_whose_network_stalled_serve_again_or_end(
    harness: KafkaHarness, networks: list[StallingProxy]
) -> None:
    engines = [behind(network, harness, f"engine-{n}") for n, network in enumerate(networks[: len(STALLS_S)])]

    async def trade(engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        """Without an end; while its network is away it is told so, or nothing."""
        client = Client(engine.url, session)
        for number in itertools.count():
            with suppress(AssertionError, aiohttp.ClientError, asyncio.TimeoutError):
                await client.trade(f"{engine.variables['PORT']}-{number % 8}")
            await asyncio.sleep(0.05)

    async def stalled(engine: EngineProcess, network: StallingProxy, stall_s: float) -> int | None:
        network.stall()
        await asyncio.sleep(stall_s)
        network.resume()
        return await serves_or_ended(engine)

    try:
        await asyncio.gather(*(engine.wait_ready() for engine in engines))
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            trading = [asyncio.ensure_future(trade(engine, session)) for engine in engines]
            await asyncio.sleep(1.0)
            codes = await asyncio.gather(*map(stalled, engines, networks, STALLS_S))
            for task in trading:
                assert not task.done(), task.exception()
                task.cancel()
        for engine, code in zip(engines, codes, strict=True):
            if code is None:
                assert await engine.terminate() == 0, engine.said()
            else:
                assert code in (1, EXIT_FORCED), engine.said()
                last = engine.said().strip().splitlines()[-1]
                assert last.startswith("exness-streams: "), engine.said()
            assert "Traceback" not in engine.said()
    finally:
        for engine in engines:
            engine.end()


@pytest.mark.experiment
async def test_a_stop_ends_while_the_network_carries_nothing(
    harness: KafkaHarness, networks: list[StallingProxy]
) -> None:
    """At once, and when the brokers have given the worker up."""
    engines = [behind(network, harness, f"engine-{n}") for n, network in enumerate(networks[: len(STOPS_AFTER_S)])]

    async def stopped(engine: EngineProcess, network: StallingProxy, after_s: float) -> int:
        network.stall()
        await asyncio.sleep(after_s)
        return await engine.terminate()

    try:
        await asyncio.gather(*(engine.wait_ready() for engine in engines))
        codes = await asyncio.gather(*map(stopped, engines, networks, STOPS_AFTER_S))
        for engine, code in zip(engines, codes, strict=True):
            assert code in (0, EXIT_FORCED), engine.said()
            assert "Traceback" not in engine.said()
            if code:
                assert engine.said().strip().splitlines()[-1].startswith("exness-streams: asked to stop by SIGTERM")
    finally:
        for engine in engines:
            engine.end()
