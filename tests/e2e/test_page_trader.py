"""What a trader looks for at first sight: the chart's span, lines beyond its edge, the address, the colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import PHONE, Trader, shown_gain
from platform_harness import PlatformThread, until
from playwright.sync_api import expect

Visit = Callable[..., Trader]

SOL = "SOL_USDC"
PAST_MINUTES = 1_500


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    """With more minutes than a chart asks for at first."""
    thread = PlatformThread(
        tmp_path_factory.mktemp("platform"), past_minutes=PAST_MINUTES, fee_rate="0.001", max_leverage="100"
    )
    try:
        thread.start()
        asked = lambda: candles(thread, "interval=1m&limit=1000&before=9999999999")  # noqa: E731
        until(lambda: len(asked()) == 1_000)
        yield thread
    finally:
        thread.stop()


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> None:
    platform.set_price(SOL, "150.00", "150.10")


def candles(platform: PlatformThread, query: str) -> list[Any]:
    found: list[Any] = platform.get(f"/api/v1/candles?symbol={SOL}&{query}").json["candles"]
    return found


def listed_day(platform: PlatformThread) -> Any:
    return next(one for one in platform.get("/api/v1/markets").json["markets"] if one["symbol"] == SOL)


def view_of(trader: Trader) -> dict[str, float]:
    """The places of the first and the last bar in view, and how many bars there are."""
    found: dict[str, float] = trader.page.evaluate("document.querySelector('price-chart').view")
    return found


def interval(trader: Trader, name: str) -> None:
    trader.page.locator(f'#intervals input[value="{name}"]').click()
    expect(trader.page.locator("price-chart")).to_have_attribute("data-interval", name)


def is_newest_at_the_right(trader: Trader) -> bool:
    view = view_of(trader)
    place = (view["bars"] - 1 - view["from"]) / (view["to"] - view["from"])
    return 0.8 < place < 1


def test_after_another_interval_the_newest_bar_stands_at_the_right(trader: Trader) -> None:
    expect(trader.page.locator("price-chart")).to_have_attribute("data-interval", "1m")
    for name in ("1m", "1d", "1w", "30m", "1d", "1m"):
        interval(trader, name)
        trader.wait_for(lambda: is_newest_at_the_right(trader))
    trader.picture("interval-newest-right")


def test_bars_go_on_to_the_left_when_it_is_scrolled_there(trader: Trader) -> None:
    chart = trader.page.locator("price-chart")
    expect(chart).to_have_attribute("data-interval", "1m")
    trader.wait_for(lambda: int(chart.get_attribute("data-bars") or 0) >= 600)
    box = trader.page.locator("#chart-canvas").bounding_box()
    assert box is not None
    mouse, y = trader.page.mouse, box["y"] + box["height"] / 2

    def has_more() -> bool:
        mouse.move(box["x"] + 10, y)
        mouse.down()
        mouse.move(box["x"] + box["width"] - 100, y, steps=3)
        mouse.up()
        return int(chart.get_attribute("data-bars") or 0) > 1_000

    trader.wait_for(has_more)
    assert view_of(trader)["from"] > 300, "what was in view stays where it was"
    trader.picture("scrolled-left")


@pytest.mark.parametrize("leverage", ["2", "10", "20"])
def test_a_liquidation_price_beyond_the_edge_is_told_there(trader: Trader, leverage: str) -> None:
    expect(trader.see("edge-below")).to_be_empty()
    key = trader.trade(margin="100", leverage=leverage)
    price = trader.cell(key, "Liquidation").text_content()
    expect(trader.see("edge-below")).to_contain_text(f"Liquidation {price}")
    expect(trader.see("edge-above")).to_be_empty()
    trader.picture(f"liquidation-{leverage}")
    trader.page.locator("#close-all").click()
    trader.see("confirm").click()
    expect(trader.see("edge-below")).to_be_empty()


def test_a_link_shows_the_market_and_the_interval_that_it_names(visit: Visit, platform: PlatformThread) -> None:
    url = f"http://127.0.0.1:{platform.port}"
    trader = visit(url)
    trader.page.goto(f"{url}/?account={trader.account}&symbol=BTC_USDC&interval=1h")
    chart = trader.page.locator("price-chart")
    expect(chart).to_have_attribute("data-symbol", "BTC_USDC")
    expect(chart).to_have_attribute("data-interval", "1h")
    expect(trader.page.locator('#intervals input[value="1h"]')).to_be_checked()
    trader.choose("ETH_USDC")
    interval(trader, "30m")
    shared = trader.page.url
    assert shared.endswith(f"/?account={trader.account}&symbol=ETH_USDC&interval=30m")
    other = visit(url)
    other.page.goto(shared)
    expect(other.page.locator("price-chart")).to_have_attribute("data-symbol", "ETH_USDC")
    expect(other.page.locator("price-chart")).to_have_attribute("data-interval", "30m")
    other.page.goto(f"{url}/?account={trader.account}&symbol=DOGE&interval=3m")
    other.expect_toast("No such market", "DOGE")
    other.expect_toast("No such interval", "3m")
    expect(other.page.locator("price-chart")).to_have_attribute("data-symbol", "ETH_USDC")
    expect(other.page.locator("price-chart")).to_have_attribute("data-interval", "30m")
    other.wait_for(lambda: "DOGE" not in other.page.url)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_first_click_on_the_colours_changes_them(visit: Visit, platform: PlatformThread, scheme: Any) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", color_scheme=scheme).arrive()
    ground = "getComputedStyle(document.body).backgroundColor"
    before = trader.page.evaluate(ground)
    trader.see("theme").click()
    assert trader.page.evaluate(ground) != before
    trader.see("theme").click()
    assert trader.page.evaluate(ground) == before


def test_the_last_24_hours_are_in_the_list_and_over_the_chart(trader: Trader, platform: PlatformThread) -> None:
    for bid, tone in (("140.00", "down"), ("170.00", "up")):
        platform.set_price(SOL, bid, bid)
        until(
            lambda: listed_day(platform)["low24h"] <= listed_day(platform)["price"] <= listed_day(platform)["high24h"]
        )
        day = listed_day(platform)
        change = (day["price"] - day["open24h"]) / day["open24h"] * 100
        text = f"{change:+.2f}%".replace("-", "\u2212")
        listed = trader.see(f"market-{SOL}")
        expect(listed.get_by_test_id("day-change")).to_have_text(text)
        expect(listed.get_by_test_id("day-change")).to_have_class(tone)
        expect(trader.see("chart-day-change")).to_contain_text(text)
        expect(trader.see("chart-day-change")).to_have_class(tone)
        expect(trader.see("chart-day-high")).to_have_text(f"{day['high24h']:.2f}")
        expect(listed.get_by_test_id("day-low")).to_have_text(f"{day['low24h']:.2f}")
    expect(trader.see("chart-day-volume")).to_contain_text("SOL")
    for width in (390, 1024, 1280, 1440):
        trader.page.set_viewport_size({"width": width, "height": 844})
        trader.picture(f"day-{width}")


def boxes(trader: Trader, *selectors: str) -> list[Any]:
    found = [trader.page.locator(selector).first.bounding_box() for selector in selectors]
    assert all(found)
    return found


def is_apart(one: Any, other: Any) -> bool:
    return bool(
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
    )


def test_on_a_phone_the_ticket_changes_the_market_and_no_message_lies_on_its_button(
    visit: Visit, platform: PlatformThread
) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", viewport=PHONE).arrive()
    trader.page.locator('nav.views button[data-view="trade"]').click()
    trader.see("ticket-market").select_option("ETH_USDC")
    expect(trader.see("submit")).to_contain_text("Buy ETH")
    trader.see("ticket-market").select_option(SOL)
    expect(trader.see("submit")).to_contain_text("Buy SOL")
    for _ in range(3):
        trader.submit()
        trader.expect_toast("Bought")
    toasts = [box for toast in trader.see("toast").all() if (box := toast.bounding_box())]
    assert toasts
    for box in toasts:
        assert all(is_apart(box, pressed) for pressed in boxes(trader, "#ticket-submit", ".side.buy", ".side.sell"))
    trader.picture("phone-toasts")


def test_on_a_phone_the_rows_of_the_history_have_no_gaps(visit: Visit, platform: PlatformThread) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", viewport=PHONE).arrive()
    for number in range(3):
        platform.post(
            "/api/v1/positions/open", {"asset": "SOL", "type": "long", "margin": 100 + number}, trader.account
        )
    platform.post("/api/v1/positions/close-all", {}, trader.account)
    trader.page.locator('nav.views button[data-view="positions"]').click()
    for width in (320, 360, 390, 412, 600, 760):
        trader.page.set_viewport_size({"width": width, "height": 844})
        trader.show("history")
        expect(trader.rows("history")).to_have_count(3)
        gaps = """rows => rows.map((row) => {
          const cells = [...row.cells].map((cell) => cell.getBoundingClientRect()).filter(({ height }) => height > 0);
          const box = row.getBoundingClientRect();
          const [top, bottom] = [cells.map((cell) => cell.top), cells.map((cell) => cell.bottom)];
          return Math.max(Math.min(...top) - box.top, box.bottom - Math.max(...bottom));
        })"""
        trader.wait_for(lambda: max(trader.rows("history").evaluate_all(gaps)) < 20)  # noqa: B023
        trader.picture(f"phone-history-{width}")


def test_the_ticket_says_what_is_held_and_what_a_move_of_one_dollar_is_worth(trader: Trader) -> None:
    expect(trader.see("ticket-held")).to_be_hidden()
    trader.fill_ticket(margin="150.1", leverage="10")
    expect(trader.see("quote-per-usd")).to_have_text("10.00 USD")
    trader.trade(margin="100", leverage="10")
    trader.trade("sell", margin="300", leverage="2")
    expect(trader.see("held-counts")).to_have_text("1 long, 1 short")
    expect(trader.see("held-leverage")).to_have_text("4.00\u00d7")
    expect(trader.see("held-share")).to_have_text("100.00%")
    trader.choose("ETH_USDC")
    expect(trader.see("ticket-held")).to_be_hidden()


def test_the_equity_tab_says_how_the_trades_went(trader: Trader, platform: PlatformThread) -> None:
    trader.page.locator("#tab-equity").click()
    expect(trader.see("panel-equity")).to_contain_text("No closed trades yet")
    for bid in ("160.00", "145.00", "150.00"):
        platform.post("/api/v1/positions/open", {"asset": "SOL", "type": "long", "margin": 1000}, trader.account)
        platform.set_price(SOL, bid, bid)
        platform.post("/api/v1/positions/close-all", {}, trader.account)
    trades = platform.get("/api/v1/trades", trader.account).json["trades"]
    nets = [trade["realizedPnL"] - trade["fee"] for trade in trades]
    expect(trader.see("performance-trades")).to_have_text("3")
    expect(trader.see("performance-net")).to_have_text(f"{shown_gain(sum(nets))} USD")
    won = sum(net > 0 for net in nets)
    expect(trader.see("performance-win-rate")).to_contain_text(f"{won} won, {3 - won} lost")
    expect(trader.see(f"performance-{SOL}")).to_contain_text(shown_gain(sum(nets)))
    expect(trader.see("performance-curve").locator("polyline")).to_have_count(1)
    for width in (390, 1024, 1440):
        trader.page.set_viewport_size({"width": width, "height": 844})
        if width == 390:
            trader.page.locator('nav.views button[data-view="positions"]').click()
        trader.picture(f"equity-{width}")


def test_notices_are_asked_for_and_come_while_nobody_looks(visit: Visit, platform: PlatformThread) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}")
    trader.page.add_init_script("""
      window.told = [];
      class Told extends EventTarget {
        static permission = 'default';
        static async requestPermission() { return (Told.permission = 'granted'); }
        constructor(title, options) { super(); window.told.push(title); }
        close() {}
      }
      window.Notification = Told;
      Document.prototype.hasFocus = () => window.isLookedAt ?? false;
    """)
    trader.arrive()
    stop = {"asset": "SOL", "type": "long", "margin": 1000, "leverage": 10, "stopLoss": 149}
    told = "window.told"
    platform.post("/api/v1/positions/open", stop, trader.account)
    platform.set_price(SOL, "148.00", "148.10")
    trader.expect_toast("Stop loss")
    assert trader.page.evaluate(told) == []
    trader.see("account-menu").click()
    trader.see("notices").check()
    platform.set_price(SOL, "150.00", "150.10")
    platform.post("/api/v1/positions/open", stop, trader.account)
    platform.set_price(SOL, "147.90", "148.00")
    trader.wait_for(lambda: trader.page.evaluate(told))
    assert [title.split(":")[0] for title in trader.page.evaluate(told)] == ["Stop loss"]
