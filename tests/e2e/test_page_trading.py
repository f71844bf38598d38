"""Trading on the page: each step as a trader takes it, its result held against the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from chromium import NOTHING, Trader, shown_exact, shown_gain, shown_money, shown_price
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import Route, expect


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> Iterator[None]:
    """Each test begins with the same prices."""
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)
    yield


def position_of(platform: PlatformThread, account: str, key: str) -> Any:
    """A position as the API shows it."""
    return next(p for p in platform.state(account)["positions"] if p["positionId"] == key)


def expect_same(trader: Trader, platform: PlatformThread) -> None:
    """The account strip and the rows of the open tab are the API's, to the last digit shown. Prices stand still."""
    state = platform.state(trader.account)
    figures = state["account"]
    for name, amount in (
        ("account-equity", figures["equity"]),
        ("account-balance", figures["balance"]),
        ("account-used-margin", figures["usedMargin"]),
        ("account-free-margin", figures["freeMargin"]),
    ):
        expect(trader.see(name)).to_have_text(shown_money(amount))
    expect(trader.see("account-pnl")).to_have_text(shown_gain(figures["unrealizedPnL"]))
    level = figures["marginLevel"]
    expect(trader.see("account-margin-level")).to_have_text(NOTHING if level is None else f"{shown_money(level)}%")
    trader.show("open")
    expect(trader.see("count-open")).to_have_text(str(len(state["positions"])))
    for position in state["positions"]:
        for label, shown in (
            ("Quantity", shown_exact(position["quantity"])),
            ("Margin", shown_money(position["margin"])),
            ("Entry", shown_price(position["entryPrice"])),
            ("Mark", shown_price(position["markPrice"])),
            ("Liquidation", shown_price(position["liquidationPrice"])),
            ("Stop loss", shown_price(position["stopLoss"])),
            ("Take profit", shown_price(position["takeProfit"])),
            ("PnL", shown_gain(position["unrealizedPnL"])),
            ("ROE", f"{shown_gain(position['unrealizedPnL'] / position['margin'] * 100)}%"),
        ):
            expect(trader.cell(position["positionId"], label)).to_have_text(shown)


def test_an_order_is_quoted_filled_and_followed(trader: Trader, platform: PlatformThread) -> None:
    trader.fill_ticket("buy", margin="1000", leverage="10")
    # 1000 × 10 / 150.10 = 66.622…, in steps of 0.01; it costs 9999.662, of which 0.1 % is the fee.
    expect(trader.see("quote-quantity")).to_have_text("66.62 SOL")
    expect(trader.see("quote-notional")).to_have_text("9,999.66 USD")
    expect(trader.see("quote-fee")).to_have_text("10.00 USD")
    expect(trader.see("quote-spread")).to_have_text("6.66 USD")
    expect(trader.see("quote-total")).to_have_text("1,010.00 USD")
    # 150.10 × (1 − 1/10 + 0.005) = 135.8405
    expect(trader.see("quote-liquidation")).to_have_text("135.84")
    expect(trader.see("submit")).to_have_text("Buy SOL at 150.10")
    trader.submit()
    trader.expect_toast("Bought 66.62 SOL at 150.10")
    expect(trader.see("count-open")).to_have_text("1")
    key = trader.keys()[0]
    expect_same(trader, platform)
    expect(trader.cell(key, "PnL")).to_have_text(shown_gain(Decimal("-6.662")))
    platform.set_price("SOL_USDC", "153.00", "153.10")
    # (153.00 − 150.10) × 66.62 = 193.198
    expect(trader.cell(key, "PnL")).to_have_text("+193.20")
    expect(trader.cell(key, "Mark")).to_have_text("153.00")
    expect(trader.page).to_have_title("153.00 SOL · Exness Streams")
    expect_same(trader, platform)


def test_the_page_shows_what_the_api_says_to_the_last_digit(trader: Trader, platform: PlatformThread) -> None:
    for symbol, side, margin, leverage in (
        ("SOL_USDC", "buy", "333.33333333", "7"),
        ("SOL_USDC", "sell", "17.01", "3"),
        ("BTC_USDC", "sell", "1234.5", "49"),
        ("BTC_USDC", "buy", "1", "1"),
        ("ETH_USDC", "buy", "99.99", "12.5"),
    ):
        trader.choose(symbol)
        trader.trade(side, margin=margin, leverage=leverage)
    expect_same(trader, platform)
    platform.set_price("SOL_USDC", "151.37", "151.41")
    platform.set_price("BTC_USDC", "65123.4", "65124.9")
    platform.set_price("ETH_USDC", "3499.87", "3500.01")
    expect_same(trader, platform)
    trader.page.reload()
    trader.expect_state("connected")
    expect_same(trader, platform)


def test_large_figures_are_not_cut_off(trader: Trader, platform: PlatformThread) -> None:
    platform.post("/api/v1/account/deposit", {"amount": 90_000}, trader.account)
    trader.choose("BTC_USDC")
    key = trader.trade(margin="30000", leverage="12.5", stop_loss="60500", take_profit="140000")
    trader.choose("SOL_USDC")
    trader.trade("sell", margin="12345.67", leverage="2")
    platform.set_price("BTC_USDC", "130000.0", "130010.0")
    expect(trader.cell(key, "Mark")).to_have_text("130,000.00")
    expect_same(trader, platform)
    assert trader.cut_off() == []
    trader.page.set_viewport_size({"width": 1100, "height": 800})
    trader.page.wait_for_timeout(200)
    assert trader.cut_off() == []
    trader.see("close-all").click()
    trader.see("confirm").click()
    expect(trader.see("count-open")).to_have_text("0")
    trader.show("history")
    expect(trader.rows("history")).to_have_count(2)
    assert trader.cut_off() == []


def test_a_stop_loss_and_a_take_profit_are_set_and_cleared(trader: Trader, platform: PlatformThread) -> None:
    key = trader.trade(margin="500", leverage="5", take_profit="170")
    dialog = trader.see("edit-dialog")
    trader.act(key, "edit")
    dialog.locator("#edit-stop").fill("151")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator("#edit-stop-error")).to_be_visible()  # on the wrong side of the market
    assert position_of(platform, trader.account, key)["stopLoss"] is None
    dialog.locator("#edit-stop").fill("145.5")
    dialog.locator("#edit-take").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    trader.expect_toast("stop loss 145.50", "take profit cleared")
    expect_same(trader, platform)
    stored = position_of(platform, trader.account, key)
    assert (stored["stopLoss"], stored["takeProfit"]) == (Decimal("145.5"), None)
    platform.set_price("SOL_USDC", "145.20", "145.30")
    trader.expect_toast("Stop loss:", "At 145.20")
    expect(trader.see("count-open")).to_have_text("0")


def test_a_part_is_closed_and_then_the_rest(trader: Trader, platform: PlatformThread) -> None:
    key = trader.trade(margin="1000", leverage="10")
    whole = position_of(platform, trader.account, key)["quantity"]
    trader.act(key, "reduce")
    dialog = trader.see("close-dialog")
    dialog.locator('[data-percent="25"]').click()
    # 66.62 × 25 % = 16.655, rounded down to a step
    expect(dialog.locator("#close-quantity")).to_have_text("16.65 SOL")
    trader.see("confirm-close").click()
    expect(dialog).to_be_hidden()
    trader.expect_toast("Closed 16.65 SOL in part")
    expect(trader.cell(key, "Quantity")).to_have_text("49.97")
    assert position_of(platform, trader.account, key)["quantity"] == whole - Decimal("16.65")
    expect_same(trader, platform)
    trader.act(key, "close")
    trader.see("confirm-close").click()
    expect(trader.see("count-open")).to_have_text("0")
    expect_same(trader, platform)


def test_a_share_that_comes_to_nothing_is_said_and_one_that_leaves_nothing_closes_all(
    trader: Trader, platform: PlatformThread
) -> None:
    key = trader.trade(margin="100", leverage="2")  # 1.33 SOL
    trader.act(key, "reduce")
    dialog, button = trader.see("close-dialog"), trader.see("confirm-close")
    share = dialog.locator("#close-percent")
    share.fill("0.7")
    expect(dialog.locator("#close-error")).to_have_text("Less than one step of 0.01 SOL: at least 0.76%.")
    expect(dialog.locator("#close-quantity")).to_have_text("0 SOL")
    button.click()
    expect(dialog).to_be_visible()
    assert platform.state(trader.account)["sequence"] == 1
    share.fill("0.76")
    expect(dialog.locator("#close-error")).to_be_hidden()
    expect(button).to_have_text("Close 0.01 SOL")
    share.fill("99.3")  # 1.32 SOL; 100 / 133 USD would be left, and 1 is the least
    expect(button).to_have_text("Close all 1.33 SOL")
    button.click()
    expect(dialog).to_be_hidden()
    expect(trader.see("count-open")).to_have_text("0")
    trader.expect_toast("Closed 1.33 SOL")


def test_a_liquidation_is_seen_as_it_happens(trader: Trader, platform: PlatformThread) -> None:
    key = trader.trade("sell", margin="2000", leverage="20")
    # 150.00 × (1 + 1/20 − 0.005) = 156.75
    expect(trader.cell(key, "Liquidation")).to_have_text("156.75")
    platform.set_price("SOL_USDC", "156.00", "156.10")
    expect(trader.cell(key, "Liquidation")).to_have_class(re.compile("near"))
    trader.picture("near-liquidation")
    platform.set_price("SOL_USDC", "158.00", "158.10")
    trader.expect_toast("Liquidated:", "PnL")
    expect(trader.row(key)).to_have_count(0)
    trader.show("history")
    expect(trader.rows("history")).to_have_count(1)
    expect(trader.rows("history").locator('td[data-label="Closed by"]')).to_have_text("Liquidated")
    expect_same(trader, platform)


def test_a_pending_order_waits_and_is_filled(trader: Trader, platform: PlatformThread) -> None:
    key = trader.trade("buy", "limit", margin="300", leverage="4", price="148.5", stop_loss="140", take_profit="155")
    order = platform.state(trader.account)["orders"][0]
    assert order["orderId"] == key
    expect(trader.cell(key, "Order")).to_have_text("Buy limit")
    expect(trader.cell(key, "Price")).to_have_text("148.50")
    expect(trader.see("account-free-margin")).to_have_text(
        shown_money(platform.state(trader.account)["account"]["freeMargin"])
    )
    platform.set_price("SOL_USDC", "148.30", "148.40")
    trader.expect_toast("Bought", "at 148.40", "A pending order was filled")
    expect(trader.see("count-pending")).to_have_text("0")
    expect(trader.see("count-open")).to_have_text("1")
    expect_same(trader, platform)
    stop = trader.trade("sell", "stop", margin="50", leverage="2", price="147", stop_loss="", take_profit="")
    trader.act(stop, "cancel")
    trader.expect_toast("Order cancelled")
    expect(trader.see("count-pending")).to_have_text("0")
    assert platform.state(trader.account)["orders"] == []


def test_a_limit_order_at_the_market_is_filled_as_it_is_placed(trader: Trader, platform: PlatformThread) -> None:
    trader.fill_ticket("buy", "limit", margin="300", leverage="4", price="160", take_profit="155")
    expect(trader.see("takeProfit-error")).to_be_hidden()  # above the market, though below what is paid at most
    trader.submit()
    trader.expect_toast("Bought", "at 150.10", "The limit order was filled at once")
    expect(trader.see("count-open")).to_have_text("1")
    expect(trader.see("count-pending")).to_have_text("0")
    expect_same(trader, platform)


def test_close_all_asks_first(trader: Trader, platform: PlatformThread) -> None:
    for symbol in ("SOL_USDC", "BTC_USDC", "ETH_USDC", "SOL_USDC"):
        trader.choose(symbol)
        trader.trade(margin="100", leverage="3")
    trader.see("close-all").click()
    dialog = trader.see("confirm-dialog")
    expect(dialog).to_contain_text("All 4 open positions")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(platform.state(trader.account)["positions"]) == 4
    trader.see("close-all").click()
    trader.see("confirm").click()
    expect(trader.see("count-open")).to_have_text("0")
    trader.expect_toast("4 positions closed")
    expect(trader.see("close-all")).to_be_disabled()
    expect_same(trader, platform)


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"margin": "20000"}, "margin-error", "free"),
        ({"margin": "0.5"}, "margin-error", "1"),
        ({"margin": "1", "leverage": "1"}, "margin-error", "one step of 0.01 SOL at 150.10: at least 1.51 USD"),
        ({"margin": "ten"}, "margin-error", "Enter an amount"),
        ({"leverage": "51"}, "leverage-error", "50"),
        ({"stop_loss": "151"}, "stopLoss-error", "150.00"),
        ({"stop_loss": "100"}, "stopLoss-error", "135.84"),
        ({"take_profit": "149"}, "takeProfit-error", "150.00"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(
    trader: Trader, platform: PlatformThread, fields: dict[str, str], where: str, words: str
) -> None:
    trader.fill_ticket(**{"margin": "100", "leverage": "10", **fields})
    trader.submit()
    expect(trader.page.locator(f"#{where}")).to_contain_text(words)
    assert platform.state(trader.account)["sequence"] == 0
    trader.fill_ticket(margin="100", leverage="10", stop_loss="", take_profit="")
    trader.submit()
    expect(trader.see("count-open")).to_have_text("1")


def test_a_refusal_by_the_platform_is_told_in_words(trader: Trader, platform: PlatformThread) -> None:
    trader.tolerated = ("status of 400",)
    answer = '{"message":"exposure in SOL_USDC would be above 5 USD","error":"LIMIT_REACHED","details":{}}'
    trader.page.route(
        "**/positions/open", lambda route: route.fulfill(status=400, content_type="application/json", body=answer)
    )
    trader.fill_ticket(margin="100", leverage="10")
    trader.submit()
    trader.expect_toast("Order refused", "Exposure in SOL_USDC would be above 5 USD.")
    expect(trader.see("submit")).to_be_enabled()


def test_an_order_in_flight_is_sent_once(trader: Trader, platform: PlatformThread) -> None:
    held: list[Route] = []
    trader.page.route("**/positions/open", lambda route: held.append(route))
    trader.fill_ticket(margin="100", leverage="2")
    trader.submit()
    expect(trader.see("submit")).to_be_disabled()
    expect(trader.see("submit")).to_have_text("Sending…")
    expect(trader.see("margin")).to_be_disabled()
    trader.see("submit").click(force=True)
    trader.page.keyboard.press("Enter")
    trader.page.wait_for_timeout(300)
    assert len(held) == 1
    held[0].continue_()
    expect(trader.see("count-open")).to_have_text("1")
    expect(trader.see("submit")).to_be_enabled()
    assert len(platform.state(trader.account)["positions"]) == 1


def test_a_lost_answer_is_asked_for_again_with_the_same_key(trader: Trader, platform: PlatformThread) -> None:
    trader.tolerated = ("ERR_FAILED",)
    keys: list[str] = []

    def lose_the_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()  # the platform does it, and the answer is lost on the way
            route.abort()
        else:
            route.continue_()

    trader.page.route("**/positions/open", lose_the_first)
    trader.fill_ticket(margin="100", leverage="2")
    trader.submit()
    trader.wait_for(lambda: len(keys) == 2)
    expect(trader.see("submit")).to_be_enabled()
    expect(trader.see("count-open")).to_have_text("1")
    assert keys[0] == keys[1]
    assert len(platform.state(trader.account)["positions"]) == 1


def test_a_margin_call_is_shown_and_goes(trader: Trader, platform: PlatformThread) -> None:
    trader.trade(margin="9000", leverage="10")
    expect(trader.see("margin-call")).to_be_hidden()
    # Equity − margin call level: 9,910 − 9,000 × 0.6 = 4,510 may be lost; at 142.00 it is 8.1 × 599.6 = 4,857.
    platform.set_price("SOL_USDC", "142.00", "142.10")
    expect(trader.see("margin-call")).to_contain_text("at or below 60%")
    trader.picture("margin-call")
    platform.set_price("SOL_USDC", "150.00", "150.10")
    expect(trader.see("margin-call")).to_be_hidden()


def test_an_account_is_paid_into_reset_and_changed(trader: Trader, platform: PlatformThread, account: str) -> None:
    trader.trade(margin="100", leverage="2")
    trader.see("account-menu").click()
    trader.see("deposit-amount").fill("250.5")
    trader.see("deposit").click()
    trader.expect_toast("Deposited 250.50 USD")
    expect(trader.see("total-deposited")).to_have_text("250.50")
    assert platform.state(account)["account"]["deposited"] == Decimal("250.5")
    expect(trader.see("reset")).to_be_disabled()
    trader.see("reset-confirm").fill("RESET")
    trader.see("reset").click()
    expect(trader.see("account-dialog")).to_be_hidden()
    expect(trader.see("count-open")).to_have_text("0")
    expect(trader.see("account-equity")).to_have_text("10,000.00")
    trader.see("account-menu").click()
    trader.see("switch-account").fill(f"{account}-second")
    trader.page.locator("#switch-form button").click()
    expect(trader.see("account-name")).to_have_text(f"{account}-second")
