"""Candles on Kafka: any worker answers, and a worker that takes the ticks over has them as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiokafka import AIOKafkaProducer
from engine_process import GIVE_UP_S, POLL_S, EngineProcess
from kafka_harness import KafkaHarness

from exness_streams.api.access.guard import FORWARDED
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder

SYMBOL = "SOL_USDC"
TICK_S = 2
TICKS = 400
SETTINGS = {"EXNESS_SESSION_TIMEOUT_S": "6", "BACKPACK_REST_URL": "http://127.0.0.1:9"}

Prices = list[tuple[int, Decimal]]
"""(time in seconds, price) of ticks."""


async def publish(address: str, ticks: Prices) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    try:
        for time_s, price in ticks:
            tick = MarketDataMessage(SYMBOL, price, time_s * 1000, time_s * 1_000_000)
            value = json_encoder.encode(tick)
            await producer.send_and_wait(MARKET_UPDATES_TOPIC, value, key=SYMBOL.encode(), partition=0)
    finally:
        await producer.stop()


def bars_of(ticks: Prices) -> list[tuple[int, Decimal, Decimal, Decimal, Decimal]]:
    """(beginning, open, high, low, close) of each minute."""
    minutes: dict[int, list[Decimal]] = {}
    for time_s, price in ticks:
        minutes.setdefault(time_s // 60 * 60, []).append(price)
    return [(minute, p[0], max(p), min(p), p[-1]) for minute, p in sorted(minutes.items())]


def get(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
    except OSError:
        return 0, b""


def shown(engine: EngineProcess, **headers: str) -> Any:
    """As bars_of; the refusal when there are none."""
    status, body = get(f"{engine.url}/api/v1/candles?symbol=SOL&limit=1000", **headers)
    if status != 200:
        return body
    candles = json.loads(body, parse_float=Decimal)["candles"]
    names = ("open", "high", "low", "close")
    return [(candle["time"], *(Decimal(candle[name]) for name in names)) for candle in candles]


async def until(condition: Callable[[], Any], explain: Callable[[], Any]) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < give_up_at_s, explain()
        await asyncio.sleep(POLL_S)


async def test_the_next_worker_has_the_candles(harness: KafkaHarness) -> None:
    begin_s = int(time.time()) // 60 * 60 - TICKS * TICK_S
    ticks = [(begin_s + n * TICK_S, Decimal(100 + n * 37 % 50)) for n in range(TICKS)]
    address = harness.broker.address
    engines = [EngineProcess(harness.directory / "first", harness.broker, **SETTINGS)]
    try:
        await engines[0].wait_ready()
        await publish(address, ticks[:150])
        await until(lambda: shown(engines[0]) == bars_of(ticks[:150]), lambda: shown(engines[0]))
        engines.append(EngineProcess(harness.directory / "second", harness.broker, **SETTINGS))
        await engines[1].wait_ready()
        for engine in engines:  # one of them asks the other
            await until(lambda one=engine: shown(one) == bars_of(ticks[:150]), lambda one=engine: shown(one))
        kept = [shown(engine, **{FORWARDED: "1"}) for engine in engines]  # each for itself
        assert sorted(b"REBALANCING" in found if isinstance(found, bytes) else False for found in kept) == [False, True]
        owner, other = engines if isinstance(kept[0], list) else reversed(engines)
        publishing = asyncio.create_task(publish(address, ticks[150:]))
        await until(lambda: len(shown(owner)) > len(bars_of(ticks[:170])), lambda: shown(owner))
        owner.end()
        await publishing
        await until(lambda: shown(other) == bars_of(ticks), lambda: (shown(other), bars_of(ticks), other.said()))
        assert "Traceback" not in other.said(), other.said()
    finally:
        for engine in engines:
            engine.end()
