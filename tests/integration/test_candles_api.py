"""Candles over HTTP, on a whole platform with the simulated exchange, and over its restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from platform_harness import PlatformThread, Reply, until

from exness_streams.domain.candle_spans import Asked
from exness_streams.domain.candles import INTERVALS_S
from exness_streams.simulator.history import PAST_MINUTES

SOL = "SOL_USDC"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), partitions=2, past_minutes=PAST_MINUTES)
    try:
        yield thread.start()
    finally:
        thread.stop()


def ask(platform: PlatformThread, query: str) -> Reply:
    return platform.get("/api/v1/candles?" + query)


def candles(platform: PlatformThread, query: str) -> list[Any]:
    reply = ask(platform, query)
    assert reply.status == 200, reply
    found: list[Any] = reply.json["candles"]
    return found


def wait_for_history(platform: PlatformThread) -> None:
    """Until the first page of the exchange's minutes and hours is there."""
    assert platform.platform is not None
    host = platform.platform.engine.candles
    until(lambda: platform.call(host.asked, SOL, "1m") and platform.call(host.asked, SOL, "1h"))


def asked_from(platform: PlatformThread) -> int:
    """Since when the exchange was asked for minutes, seconds since the epoch."""
    assert platform.platform is not None
    asked = platform.call(platform.platform.engine.candles.asked, SOL, "1m")
    assert asked is not None
    return int(asked.from_s)


def test_a_chart_has_the_exchanges_past_and_the_price_of_now(platform: PlatformThread) -> None:
    wait_for_history(platform)
    platform.set_price(SOL, "151.00", "151.10")
    until(lambda: candles(platform, f"symbol={SOL}")[-1]["close"] == Decimal(151))
    reply = ask(platform, f"symbol={SOL}&limit=300")
    assert (reply.json["symbol"], reply.json["interval"]) == (SOL, "1m")
    found = reply.json["candles"]
    times = [int(candle["time"]) for candle in found]
    assert times == list(range(times[0], times[0] + 300 * 60, 60))
    assert abs(times[-1] - time.time()) < 3_600
    for candle in found:
        assert candle["low"] <= min(candle["open"], candle["close"])
        assert candle["high"] >= max(candle["open"], candle["close"])
    assert all(candle["volume"] > 0 for candle in found[:200])
    assert found[-1]["volume"] is None
    assert [candle["complete"] for candle in found[:200]] == [True] * 200
    assert found[-1]["complete"] is False
    assert reply.json["missing"] == []


@pytest.mark.parametrize(("interval", "length_s"), INTERVALS_S.items())
def test_every_interval_is_on_its_grid(platform: PlatformThread, interval: str, length_s: int) -> None:
    wait_for_history(platform)
    found = candles(platform, f"symbol=SOL&interval={interval}&limit=20")
    times = [int(candle["time"]) for candle in found]
    assert len(times) > 1
    assert times == sorted(set(times))
    monday_s = 4 * 86_400 if interval == "1w" else 0
    assert all((time_s - monday_s) % length_s == 0 for time_s in times)
    assert len(found) <= 20
    assert candles(platform, f"symbol=SOL&interval={interval}&limit=1")[0]["time"] == times[-1]


def test_older_candles_go_on_where_the_oldest_known_one_begins(platform: PlatformThread) -> None:
    wait_for_history(platform)
    newest = candles(platform, f"symbol={SOL}&interval=1m&limit=90")
    older = candles(platform, f"symbol={SOL}&interval=1m&limit=40&before={newest[50]['time']}")
    assert older == newest[10:50]
    assert candles(platform, f"symbol={SOL}&interval=1m&before=0") == []


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("", "INVALID_REQUEST", 'missing query parameter "symbol"; give one such as SOL_USDC'),
        ("symbol=", "INVALID_REQUEST", 'missing query parameter "symbol"'),
        ("symbol=%00", "INVALID_REQUEST", '"symbol" is not an instrument; give one such as SOL_USDC'),
        ("symbol=DOGE", "UNKNOWN_ASSET", 'unknown symbol "DOGE"; on offer are: BTC, BTC_USDC, ETH'),
        ("symbol=sol_usdc", "UNKNOWN_ASSET", 'unknown symbol "sol_usdc"; on offer are: '),
        ("symbol=SOL&interval=3m", "INVALID_REQUEST", "unknown interval; this route accepts: 1m, 5m, 15m, 30m, 1h"),
        ("symbol=SOL&interval=1M", "INVALID_REQUEST", "unknown interval"),
        ("symbol=SOL&before=", "INVALID_REQUEST", '"before" is not a time; give whole seconds since the epoch'),
        ("symbol=SOL&before=-1", "INVALID_REQUEST", '"before" is not a time'),
        ("symbol=SOL&before=1e9", "INVALID_REQUEST", '"before" is not a time'),
        ("symbol=SOL&before=1790134358087", "INVALID_REQUEST", '"before" is not a time'),
        ("symbol=SOL&limit=0", "INVALID_REQUEST", '"limit" is out of range; give a whole number from 1 to 1000'),
        ("symbol=SOL&limit=1001", "INVALID_REQUEST", '"limit" is out of range'),
        ("symbol=SOL&limit=-5", "INVALID_REQUEST", '"limit" is out of range'),
        ("symbol=SOL&limit=1e2", "INVALID_REQUEST", '"limit" is out of range'),
        ("symbol=SOL&limit=٣", "INVALID_REQUEST", '"limit" is out of range'),
        ("symbol=SOL&symbol=BTC", "INVALID_REQUEST", 'query parameter "symbol" is given more than once'),
        (
            "symbol=SOL&from=1",
            "INVALID_REQUEST",
            'unknown query parameter "from"; this route accepts: symbol, ',
        ),
    ],
)
def test_what_is_asked_wrongly_is_told(platform: PlatformThread, query: str, code: str, words: str) -> None:
    reply = ask(platform, query.replace("٣", "%D9%A3"))
    assert (reply.status, reply.json["error"]) == (400, code), reply
    assert reply.json["message"].startswith(words)


@pytest.mark.long
def test_candles_survive_a_restart_and_go_on(tmp_path: Path) -> None:
    first = PlatformThread(tmp_path, past_minutes=PAST_MINUTES).start()
    try:
        wait_for_history(first)
        first.set_price(SOL, "190.00", "190.10")
        first.set_price(SOL, "110.00", "110.10")
        until(lambda: candles(first, f"symbol={SOL}&interval=1d")[-1]["low"] <= 110)
        # The first page of minutes is shorter than a day: before its beginning is known, the day's open may change.
        day_s = int(candles(first, f"symbol={SOL}&interval=1d")[-1]["time"])
        until(lambda: asked_from(first) <= day_s)
        before = candles(first, f"symbol={SOL}&interval=1d")[-1]
        days = {candle["time"] for candle in candles(first, f"symbol={SOL}&interval=1d")}
    finally:
        first.stop()
    again = PlatformThread(tmp_path, past_minutes=PAST_MINUTES).start()
    try:
        found = candles(again, f"symbol={SOL}&interval=1d")
        [day] = [candle for candle in found if candle["time"] == before["time"]]
        assert (day["open"], day["high"], day["low"]) == (before["open"], before["high"], before["low"])
        assert {candle["time"] for candle in found} >= days
        assert again.platform is not None
        asked = again.call(again.platform.engine.candles.asked, SOL, "1m")
        assert isinstance(asked, Asked)
    finally:
        again.stop()
