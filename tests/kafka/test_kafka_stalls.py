"""A healthy engine calls nothing stuck, and one that is says so: on a real broker, with time-outs of a second."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import aiohttp
import pytest
from engine_process import GIVE_UP_S, POLL_S, Client, EngineProcess, prices
from kafka_harness import KafkaHarness

BUSY_S, AT_REST_S = 8.0, 4.0
# Faust's own time-outs can't be set from outside: here they are a second, too.
ENGINE = [
    "-c",
    "from exness_streams.engine import build\n"
    "ours = build._faust_settings\n"
    "one_s = {'broker_commit_livelock_soft_timeout': 1.0, 'stream_processing_timeout': 1.0}\n"
    "build._faust_settings = lambda settings: ours(settings) | one_s\n"
    "from exness_streams.cli import main; main()",
    "engine",
]
IMPATIENT = {
    "EXNESS_STALLED_AFTER_S": "1",
    "BACKPACK_REST_URL": "",
}


@pytest.mark.experiment
async def test_a_healthy_engine_calls_nothing_stuck(harness: KafkaHarness) -> None:
    engine = EngineProcess(harness.directory / "engine", harness.broker, ENGINE, **IMPATIENT)
    try:
        await engine.wait_ready()
        async with aiohttp.ClientSession() as session:
            client = Client(engine.url, session)
            async with prices(harness.broker.address, every_s=0.0005):
                until_s = time.monotonic() + BUSY_S
                while time.monotonic() < until_s:
                    await asyncio.gather(*(client.trade(f"a{number}") for number in range(4)))
            await asyncio.sleep(AT_REST_S)
        assert await engine.terminate() == 0, engine.said()
    finally:
        engine.end()
    said = [line for line in engine.said().splitlines() if "aiokafka.consumer.group_coordinator" not in line]
    assert not [line for line in said if "ERROR" in line or "WARNING" in line or "stands still" in line], said


async def test_a_partition_that_stands_still_is_said_once_and_once_when_it_moves(harness: KafkaHarness) -> None:
    engine = EngineProcess(
        harness.directory / "engine", harness.broker, ENGINE, EXNESS_SESSION_TIMEOUT_S="30", **IMPATIENT
    )
    try:
        await engine.wait_ready()
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            client = Client(engine.url, session)
            await client.trade("ann")
            harness.broker.pause()
            try:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(client.trade("ann"), 4.0)
            finally:
                harness.broker.resume()
            await said(engine, "moves again, after")
            await client.trade("bob")
        assert await engine.terminate() == 0, engine.said()
    finally:
        engine.end()
    stood = [line for line in engine.said().splitlines() if "stands still since" in line]
    moved = [line for line in engine.said().splitlines() if "moves again" in line]
    assert stood, engine.said()
    assert len(stood) == len({line.split("WARNING")[1].split("stands")[0] for line in stood}) == len(moved), (
        engine.said()
    )


async def said(engine: EngineProcess, words: str) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while words not in engine.said():
        assert time.monotonic() < give_up_at_s, engine.said()
        await asyncio.sleep(POLL_S)
