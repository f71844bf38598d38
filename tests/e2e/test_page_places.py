"""The page in browsers of several places and zones: what is shown there, and that days stay days of UTC."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from chromium import Trader
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import Route, expect

Visit = Callable[..., Trader]

LOCALES = {
    "en-US": ("1,234,567.89", "12.50%"),
    "de-DE": ("1.234.567,89", "12,50\u00a0%"),
    "fr-FR": ("1\u202f234\u202f567,89", "12,50\u00a0%"),
    "hi-IN": ("12,34,567.89", "12.50%"),
}
"""A deposit of a million and the balance that it makes; a percentage."""

ZONES = {"America/New_York": "UTC\u2212", "UTC": "UTC", "Asia/Kolkata": "UTC+5:30"}

DAYS = [int(datetime(2024, 11, 20, tzinfo=timezone.utc).timestamp()) - 86_400 * ago for ago in range(200, -1, -1)]

CALLS = """(() => {
  window.painted = [];
  const paint = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.painted.push(String(text));
    return paint.call(this, text, ...rest);
  };
})()"""
"""Keeps what is written on the chart's canvases."""


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> None:
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)


def serve_candles(trader: Trader, times: list[int]) -> None:
    """Every chart gets candles of these times."""

    def candles(route: Route) -> None:
        answer = route.fetch()
        bars = [
            {"time": time, "open": 150, "high": 1234.5, "low": 1100, "close": 1200.25, "volume": 0, "complete": True}
            for time in times
        ]
        route.fulfill(response=answer, body=json.dumps(answer.json() | {"candles": bars}))

    trader.page.route("**/api/v1/candles?**", candles)


def painted(trader: Trader) -> list[str]:
    found: list[str] = trader.page.evaluate("[...new Set(window.painted)]")
    return found


def hovered(trader: Trader) -> set[str]:
    """What the crosshair says of the times of two candles."""
    chart = trader.page.locator("#chart-canvas").bounding_box()
    assert chart is not None
    said: set[str] = set()
    for share in (0.3, 0.6):
        trader.page.evaluate("window.painted = []")
        trader.page.mouse.move(chart["x"] + chart["width"] * share, chart["y"] + chart["height"] / 2)
        said |= set(trader.wait_for(lambda: [text for text in painted(trader) if ":" in text]))
    return said


def candle_times(trader: Trader, zone: str) -> set[str]:
    """Midnights of UTC, and what the scale may say of them in a zone."""
    clock = {"hour": "2-digit", "minute": "2-digit"}
    forms = ({"day": "2-digit", "month": "short", **clock}, clock)
    return {intl(trader, "DateTimeFormat", day * 1000, timeZone=zone, **form) for day in DAYS for form in forms}


def intl(trader: Trader, kind: str, value: float, **options: Any) -> str:
    """What the browser itself writes for its place."""
    text: str = trader.page.evaluate(
        "([kind, value, options]) => new Intl[kind](navigator.language, options).format(value)", [kind, value, options]
    )
    return text


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("locale", LOCALES)
def test_figures_and_dates_are_of_the_place(visit: Visit, platform: PlatformThread, locale: str, zone: str) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", locale=locale, timezone_id=zone)
    trader.page.add_init_script(CALLS + "; localStorage.setItem('interval', '1d')")
    serve_candles(trader, DAYS)
    platform.post("/api/v1/account/deposit", {"amount": "1224567.89"}, trader.account)
    opened = platform.post(
        "/api/v1/positions/open", {"margin": 100, "asset": "SOL", "type": "long", "leverage": 12.5}, trader.account
    )
    closed = {"positionId": opened.json["positionId"], "percentage": 50}
    platform.post("/api/v1/positions/close", closed, trader.account)
    trader.arrive()
    # Figures, in the header, the ticket, the table.
    minimal = intl(trader, "NumberFormat", 0.125, style="percent", minimumFractionDigits=2)
    assert minimal.replace("\u202f", "\u00a0") == LOCALES[locale][1]
    decimal = "," if locale in ("de-DE", "fr-FR") else "."
    expect(trader.rows().first.locator('[data-label="Market"]')).to_contain_text(f"12{decimal}5×")
    expect(trader.rows().first.locator('[data-label="Entry"]')).to_have_text(f"150{decimal}10")
    level = trader.see("account-margin-level").inner_text()
    assert level.endswith(minimal.removeprefix(f"12{decimal}50")), level
    group = LOCALES[locale][0].removeprefix("12" if locale == "hi-IN" else "1")[0]
    balance = trader.see("account-balance").inner_text()
    assert balance.count(group) == LOCALES[locale][0].count(group), balance
    assert balance[-3] == decimal
    # Dates: those of the trades in the zone of the browser, those of days in UTC.
    trader.show("history")
    time = trader.rows("history").first.locator("time")
    instant = datetime.fromisoformat((time.get_attribute("datetime") or "").replace("Z", "+00:00")).timestamp() * 1000
    form = {"day": "2-digit", "month": "short", "hour": "2-digit", "minute": "2-digit", "second": "2-digit"}
    assert time.inner_text() == intl(trader, "DateTimeFormat", instant, timeZone=zone, **form)
    expect(trader.page.locator("price-chart")).to_have_attribute("data-interval", "1d")
    november = intl(trader, "DateTimeFormat", DAYS[-1] * 1000, month="short", timeZone="UTC")
    trader.wait_for(lambda: november in painted(trader))
    chart = trader.page.locator("#chart-canvas").bounding_box()
    assert chart is not None
    trader.page.mouse.move(chart["x"] + chart["width"] / 2, chart["y"] + chart["height"] / 2)
    days = [intl(trader, "DateTimeFormat", day * 1000, dateStyle="medium", timeZone="UTC") for day in DAYS]
    trader.wait_for(lambda: set(days) & set(painted(trader)))
    # The axis of prices has the place's separators.
    trader.wait_for(
        lambda: any(text[-3:-2] == decimal and text[:-3].strip("0123456789") != "" for text in painted(trader))
    )
    expect(trader.see("zone")).to_contain_text("Dates: UTC")
    expect(trader.see("zone")).to_contain_text(ZONES[zone])


@pytest.mark.parametrize("zone", ZONES)
def test_the_zone_is_chosen_and_remembered(visit: Visit, platform: PlatformThread, zone: str) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", locale="de-DE", timezone_id=zone)
    trader.page.add_init_script(CALLS + "; localStorage.setItem('interval', '1h')")
    serve_candles(trader, DAYS)
    opened = platform.post("/api/v1/positions/open", {"margin": 100, "asset": "SOL", "type": "long"}, trader.account)
    platform.post("/api/v1/positions/close", {"positionId": opened.json["positionId"]}, trader.account)
    trader.arrive()
    trader.show("history")
    time = trader.rows("history").first.locator("time")
    instant = datetime.fromisoformat((time.get_attribute("datetime") or "").replace("Z", "+00:00")).timestamp() * 1000
    form = {"day": "2-digit", "month": "short", "hour": "2-digit", "minute": "2-digit", "second": "2-digit"}
    local, utc = (intl(trader, "DateTimeFormat", instant, timeZone=where, **form) for where in (zone, "UTC"))
    expect(time).to_have_text(local)
    expect(trader.see("zone")).to_contain_text(f"local ({ZONES[zone]}")
    assert hovered(trader) <= candle_times(trader, zone)
    trader.see("zone").click()
    expect(trader.see("zone")).to_have_text("Times: UTC")
    expect(time).to_have_text(utc)
    assert hovered(trader) <= candle_times(trader, "UTC")
    trader.page.reload()
    expect(trader.see("zone")).to_have_text("Times: UTC")
    expect(trader.page.locator("price-chart")).to_have_attribute("data-interval", "1h")
    assert hovered(trader) <= candle_times(trader, "UTC")
    trader.see("zone").click()
    expect(trader.see("zone")).to_contain_text("local")
    assert hovered(trader) <= candle_times(trader, zone)
