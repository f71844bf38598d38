"""The chart: candles, the lines of positions, and dragging them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal

import pytest
from chromium import Trader
from platform_harness import PlatformThread
from playwright.sync_api import Route, expect

CHART = "#chart-canvas"


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> Iterator[None]:
    platform.set_price("SOL_USDC", "150.00", "150.10")
    yield


@pytest.fixture
def charted(trader: Trader) -> Trader:
    """A page whose chart has its candles."""
    expect(trader.page.locator("price-chart")).to_have_attribute("data-symbol", "SOL_USDC")
    trader.tolerated = ("Canvas2D",)  # what looking at pixels costs
    trader.wait_for(lambda: len(colours_of(trader)) > 3)
    return trader


def colours_of(trader: Trader) -> set[str]:
    """The colours that the chart has painted."""
    found: list[str] = trader.page.evaluate("""() => {
      const seen = new Set();
      for (const canvas of document.querySelectorAll('#chart-canvas canvas')) {
        if (!canvas.width || !canvas.height) continue;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < data.length; at += 4)
          if (data[at + 3] === 255) seen.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
      }
      return [...seen];
    }""")
    return set(found)


def find_grip(trader: Trader, heights: Iterable[float]) -> tuple[float, float]:
    """Where the pointer, moved over these heights (shares of the chart's), first gets hold of a line."""
    box = trader.page.locator(CHART).bounding_box()
    assert box is not None
    x = box["x"] + box["width"] * 0.3
    for height in heights:
        y = box["y"] + box["height"] * height
        trader.page.mouse.move(x, y)
        if "grab" in (trader.page.locator(CHART).get_attribute("class") or ""):
            return x, y
    raise AssertionError("no line can be gripped")


UPWARD = [1 - step / 200 for step in range(15, 195)]
DOWNWARD = [step / 200 for step in range(5, 185)]


def drag(trader: Trader, start: tuple[float, float], by: float) -> None:
    """Drag by so many pixels, downward."""
    mouse = trader.page.mouse
    mouse.move(*start)
    mouse.down()
    for step in range(1, 6):
        mouse.move(start[0], start[1] + by * step / 5)
    mouse.up()


def position_of(trader: Trader, platform: PlatformThread) -> dict[str, Decimal | None]:
    found: dict[str, Decimal | None] = platform.state(trader.account)["positions"][0]
    return found


def test_candles_are_drawn_and_the_last_one_grows(charted: Trader, platform: PlatformThread) -> None:
    tokens = charted.page.evaluate("""() => ['--up', '--down'].map((name) => {
      const probe = document.createElement('i');
      document.body.append(probe);
      probe.style.color = `var(${name})`;
      const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g);
      probe.remove();
      return `${r},${g},${b}`;
    })""")
    assert set(tokens) <= colours_of(charted), "no rising or no falling candle"
    platform.set_price("SOL_USDC", "151.20", "151.30")
    expect(charted.see("chart-price")).to_have_text("151.20")
    expect(charted.see("chart-legend")).to_contain_text("H 151.20")
    expect(charted.see("chart-legend")).to_contain_text("C 151.20")
    platform.set_price("SOL_USDC", "150.60", "150.70")
    expect(charted.see("chart-legend")).to_contain_text("C 150.60")
    candles = platform.get("/api/v1/candles?symbol=SOL_USDC&interval=1m&limit=1").json["candles"]
    assert candles[-1]["close"] == Decimal("150.60")


def test_a_time_of_which_nothing_is_known_is_told_until_it_is(trader: Trader, platform: PlatformThread) -> None:
    end_s = int(time.time()) // 60 * 60
    bar = {"open": 150, "high": 151, "low": 149, "close": 150, "volume": 1, "complete": True}
    hole = [{"from": end_s - 3_000, "to": end_s - 600}]

    def candles(route: Route) -> None:
        answer = route.fetch()
        known = [at for at in range(end_s - 6_000, end_s, 60) if not any(one["from"] <= at < one["to"] for one in hole)]
        told = {"candles": [{"time": at, **bar} for at in known], "missing": hole}
        route.fulfill(response=answer, body=json.dumps(answer.json() | told))

    trader.page.route("**/api/v1/candles?**", candles)
    trader.page.reload()
    said = trader.see("chart-missing")
    expect(said).to_have_text(re.compile(r"^Not known: .+ to .+[^.,]$"))
    hole.clear()
    trader.page.locator('#intervals input[value="5m"]').click()
    expect(said).to_be_hidden()


def test_every_interval_can_be_chosen(charted: Trader) -> None:
    for interval in ("5m", "15m", "1h", "4h", "1d", "1m"):
        charted.page.locator(f'#intervals input[value="{interval}"]').click()
        expect(charted.page.locator("price-chart")).to_have_attribute("data-interval", interval)
        charted.wait_for(lambda: len(colours_of(charted)) > 3)
        charted.picture(f"interval-{interval}")
    charted.choose("BTC_USDC")
    expect(charted.page.locator("price-chart")).to_have_attribute("data-symbol", "BTC_USDC")


def test_a_stop_loss_is_dragged(charted: Trader, platform: PlatformThread) -> None:
    key = charted.trade(margin="500", leverage="5", stop_loss="149.60")
    grip = find_grip(charted, UPWARD)  # from below the stop loss comes first
    charted.picture("stop-loss-line")
    drag(charted, grip, 12)
    charted.expect_toast("stop loss")
    dragged = position_of(charted, platform)["stopLoss"]
    assert dragged is not None
    assert Decimal(140) < dragged < Decimal("149.60")
    expect(charted.cell(key, "Stop loss")).to_have_text(f"{dragged:.2f}")
    drag(charted, find_grip(charted, UPWARD), -8)  # the scale makes room for the line, so it is found anew
    charted.wait_for(lambda: (position_of(charted, platform)["stopLoss"] or 0) > dragged)


def test_a_drag_is_given_up_with_escape_and_refused_beyond_the_market(
    charted: Trader, platform: PlatformThread
) -> None:
    charted.trade(margin="500", leverage="5", stop_loss="149.60")
    grip = find_grip(charted, UPWARD)
    mouse = charted.page.mouse
    mouse.down()
    mouse.move(grip[0], grip[1] + 15)
    charted.page.keyboard.press("Escape")
    mouse.up()
    drag(charted, find_grip(charted, UPWARD), -120)
    charted.expect_toast("Stop loss not at")
    assert position_of(charted, platform)["stopLoss"] == Decimal("149.60")


def test_a_take_profit_is_pulled_out_of_the_entry_line_and_dragged_on(
    charted: Trader, platform: PlatformThread
) -> None:
    charted.trade(margin="500", leverage="5")
    drag(charted, find_grip(charted, UPWARD), -40)
    charted.expect_toast("take profit")
    first = position_of(charted, platform)
    assert first["stopLoss"] is None
    assert first["takeProfit"] is not None
    assert first["takeProfit"] > Decimal("150.10")
    drag(charted, find_grip(charted, DOWNWARD), -15)
    charted.wait_for(lambda: (position_of(charted, platform)["takeProfit"] or 0) > first["takeProfit"])


@pytest.mark.parametrize("way", ["absent", "broken"])
def test_without_its_chart_library_the_page_works_and_says_so(trader: Trader, way: str) -> None:
    def without(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(
            response=answer, body=answer.text().replace("&quot;hasChart&quot;:true", "&quot;hasChart&quot;:false")
        )

    trader.tolerated = ("ERR_FAILED",)
    if way == "absent":
        trader.page.route("**/?account=*", without)
    else:
        trader.page.route("**/vendor/*", lambda route: route.abort())
    trader.page.reload()
    words = "install Node.js" if way == "absent" else "could not be loaded"
    expect(trader.see("chart-note")).to_contain_text(words)
    trader.expect_state("connected")
    trader.trade(margin="100", leverage="2")


def test_the_settings_of_the_page_are_the_platforms(trader: Trader) -> None:
    settings = json.loads(trader.page.locator('meta[name="page-settings"]').get_attribute("content") or "")
    assert settings["hasChart"] is True
