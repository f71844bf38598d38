"""A platform under the price guard: one wrong frame changes no account, and a true crash is followed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from platform_harness import OPEN, PlatformThread, until

SOL = "SOL_USDC"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path / "data", price_band="0.1").start()
    try:
        yield thread
    finally:
        thread.stop()


def opened(platform: PlatformThread, side: str, leverage: int = 5, **more: Any) -> str:
    reply = platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": side, "leverage": leverage, **more})
    assert reply.status == 201, reply.body
    position_id: str = reply.json["positionId"]
    return position_id


def crash(platform: PlatformThread, bid: str, ask: str) -> None:
    platform.call(platform.simulator.set_price, SOL, Decimal(bid), Decimal(ask), Decimal(bid))


def is_suspended(platform: PlatformThread) -> bool:
    assert platform.platform is not None
    return SOL in platform.call(lambda: dict(platform.platform.engine.framer.suspended))  # type: ignore[union-attr]


def suspensions(platform: PlatformThread) -> int:
    assert platform.platform is not None
    return platform.platform.engine.framer.suspensions.counts[SOL]


def held(platform: PlatformThread) -> list[tuple[str, Decimal]]:
    """What stands, and at what it was opened."""
    return sorted((one["positionId"], one["entryPrice"]) for one in platform.state()["positions"])


def trades(platform: PlatformThread) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.get("/api/v1/trades").json["trades"]
    return found


@pytest.mark.parametrize("factor", ["100", "0.01"])
def test_one_wrong_frame_changes_no_account(platform: PlatformThread, factor: str) -> None:
    opened(platform, "short")
    opened(platform, "long", takeProfit=200)
    opened(platform, "short", takeProfit=100)
    before, balances = held(platform), platform.state()["balances"]
    counted = suspensions(platform)
    platform.call(platform.simulator.spike, SOL, Decimal(factor))
    until(lambda: suspensions(platform) > counted)
    until(lambda: not is_suspended(platform))
    until(lambda: platform.get("/api/v1/markets").json["markets"][0]["tradable"])
    opened(platform, "long")
    assert [one for one in held(platform) if one in before] == before
    assert trades(platform) == []
    assert platform.state()["balances"]["USD"] == balances["USD"] - 100
    candles = platform.get(f"/api/v1/candles?symbol={SOL}&interval=1m&limit=2").json["candles"]
    assert all(50 < candle["low"] <= candle["high"] < 500 for candle in candles)


def test_a_crash_is_followed_and_closes_at_what_was_confirmed(platform: PlatformThread) -> None:
    opened(platform, "long")
    survivor = opened(platform, "short")
    crash(platform, "89.90", "90.00")
    [trade] = until(lambda: trades(platform))
    assert (trade["reason"], trade["closePrice"]) == ("liquidation", Decimal("89.90"))
    assert [position_id for position_id, _ in held(platform)] == [survivor]


def test_a_crash_beyond_half_is_followed_when_the_exchange_s_rest_agrees(platform: PlatformThread) -> None:
    assert platform.platform is not None
    opened(platform, "long")
    crash(platform, "59.90", "60.00")
    [trade] = until(lambda: trades(platform))
    assert (trade["reason"], trade["closePrice"]) == ("liquidation", Decimal("59.90"))
    assert platform.platform.market_data.metrics().looks >= 1


def test_without_a_look_a_jump_beyond_double_stays_suspended_until_nothing_else_was_told_for_long(
    platform: PlatformThread,
) -> None:
    assert platform.platform is not None
    opened(platform, "short")
    platform.simulator.faults.rest_down = True
    crash(platform, "449.90", "450.00")
    until(lambda: is_suspended(platform))
    until(lambda: not platform.get("/api/v1/markets").json["markets"][0]["tradable"])
    refused = platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long", "leverage": 1})
    if is_suspended(platform):  # else it was no sooner asked than it was over
        assert (refused.status, refused.json["error"]) == (503, "PRICE_UNAVAILABLE")
    [trade] = until(lambda: trades(platform))
    assert trade["reason"] == "liquidation"
    assert platform.platform.market_data.metrics().failed_looks >= 1


def test_after_a_restart_the_first_prices_are_compared_with_those_before(tmp_path: Path) -> None:
    first = PlatformThread(tmp_path / "data", price_band="0.1").start()
    try:
        first.set_price(SOL, "300.00", "300.10")
        host = first.platform.engine.candles if first.platform else None
        assert host is not None
        first.run(host.flush())
    finally:
        first.stop()
    again = PlatformThread(tmp_path / "data", price_band="0.1").start()
    try:
        assert suspensions(again) >= 1
    finally:
        again.stop()


def test_metrics_tell_of_every_market(platform: PlatformThread) -> None:
    counted = suspensions(platform)
    platform.call(platform.simulator.spike, SOL, Decimal(100))
    until(lambda: suspensions(platform) > counted)
    until(lambda: not is_suspended(platform))
    told = platform.get("/metrics").body.decode()
    assert f'exness_market_suspensions_total{{symbol="{SOL}"}} {counted + 1}.0' in told
    assert f'exness_market_suspended{{symbol="{SOL}"}} 0.0' in told
    assert 'exness_market_suspensions_total{symbol="BTC_USDC"}' in told
