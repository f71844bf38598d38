"""What the page says when things go wrong, and that several pages agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from chromium import LOST_SERVER, Trader, shown_money
from platform_harness import PlatformThread
from platform_process import PlatformProcess
from playwright.sync_api import Route, expect

Visit = Callable[..., Trader]


def ask(trader: Trader, path: str) -> Any:
    """GET as the page would."""
    answer = trader.context.request.get(trader.url + path, headers={"X-Account": trader.account})
    assert answer.ok
    return json.loads(answer.text(), parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize("way", ["SIGKILL", "SIGTERM"])
def test_a_page_outlives_its_server(visit: Visit, process: PlatformProcess, way: str) -> None:
    trader = visit(process.url).arrive()
    trader.tolerated = LOST_SERVER
    key = trader.trade(margin="250", leverage="3")
    order = trader.trade("buy", "limit", margin="40", leverage="2", price="50")
    balance = trader.see("account-balance").text_content()
    assert balance == shown_money(ask(trader, "/api/v1/state")["account"]["balance"])

    process.kill() if way == "SIGKILL" else process.terminate()
    trader.expect_state("disconnected")
    expect(trader.see("lost")).to_contain_text("What you see is not live")
    expect(trader.see("submit")).to_be_disabled()
    assert trader.page.title().startswith("(disconnected)")
    trader.picture(f"disconnected-{way}")

    process.start()
    trader.expect_state("connected")
    expect(trader.see("lost")).to_be_hidden()
    expect(trader.see("account-balance")).to_have_text(balance or "")
    trader.show("open")
    expect(trader.row(key)).to_have_count(1)
    trader.show("pending")
    expect(trader.row(order)).to_have_count(1)
    trader.wait_for(lambda: all(market["tradable"] for market in ask(trader, "/api/v1/markets")["markets"]))
    trader.trade(margin="10", leverage="2")
    assert len(ask(trader, "/api/v1/state")["positions"]) == 2


def test_an_order_sent_into_a_dead_server_happens_once_it_is_back(visit: Visit, process: PlatformProcess) -> None:
    trader = visit(process.url).arrive()
    trader.tolerated = LOST_SERVER
    held: list[Route] = []
    keys: list[str] = []

    def hold_the_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        held.append(route) if len(keys) == 1 else route.continue_()

    trader.page.route("**/positions/open", hold_the_first)
    trader.fill_ticket(margin="70", leverage="3")
    trader.submit()
    trader.wait_for(lambda: held)
    process.kill()
    held[0].continue_()
    expect(trader.see("ticket-status")).to_contain_text("it can't happen twice")
    process.start()
    trader.expect_state("connected")
    expect(trader.see("submit")).to_be_enabled()
    if trader.see("count-open").text_content() == "0":  # it gave up before the server was back: once more, same key
        trader.submit()
    expect(trader.see("count-open")).to_have_text("1")
    assert len(keys) > 1
    assert len(set(keys)) == 1
    assert len(ask(trader, "/api/v1/state")["positions"]) == 1


def test_a_silent_feed_is_shown_and_nothing_is_filled(trader: Trader, platform: PlatformThread) -> None:
    trader.tolerated = ("status of 503",)
    platform.call(setattr, platform.simulator.faults, "silent", True)
    try:
        trader.expect_state("stale")
        expect(trader.see("ticket-status")).to_contain_text("the platform does not fill on it")
        expect(trader.page.locator("#chart-stale")).to_contain_text("Not live: last price at")
        expect(trader.see("market-SOL_USDC")).to_have_class("market old")
        trader.picture("stale")
        trader.fill_ticket(margin="100", leverage="2")
        trader.submit()
        trader.expect_toast("Order refused")
        assert platform.state(trader.account)["positions"] == []
    finally:
        platform.call(setattr, platform.simulator.faults, "silent", False)
    trader.expect_state("connected")
    trader.trade(margin="100", leverage="2")


def test_a_feed_that_is_gone_is_named(trader: Trader, platform: PlatformThread) -> None:
    platform.call(setattr, platform.simulator.faults, "refuse", True)
    platform.call(platform.simulator.drop_connections)
    try:
        trader.expect_state("stale")
        expect(trader.see("connection")).to_contain_text("Price feed")
    finally:
        platform.call(setattr, platform.simulator.faults, "refuse", False)
    trader.expect_state("connected")


def test_two_tabs_of_an_account_agree_and_another_account_sees_nothing(
    visit: Visit, trader: Trader, platform: PlatformThread
) -> None:
    beside = visit(trader.url, trader.account, beside=trader).arrive()
    stranger = visit(trader.url, "stranger").arrive()
    key = trader.trade(margin="400", leverage="4")
    expect(beside.row(key)).to_be_visible()
    beside.expect_toast("Bought")
    beside.act(key, "edit")
    beside.page.locator("#edit-stop").fill("120")
    beside.see("edit-dialog").get_by_role("button", name="Save").click()
    expect(trader.cell(key, "Stop loss")).to_have_text("120.00")
    order = beside.trade("sell", "limit", margin="20", leverage="2", price="190")
    expect(trader.see("count-pending")).to_have_text("1")
    trader.show("pending")
    trader.act(order, "cancel")
    expect(beside.see("count-pending")).to_have_text("0")
    figures = platform.state(trader.account)["account"]
    for tab in (trader, beside):
        expect(tab.see("account-balance")).to_have_text(shown_money(figures["balance"]))
        expect(tab.see("account-used-margin")).to_have_text(shown_money(figures["usedMargin"]))
        expect(tab.see("account-equity")).to_have_text(shown_money(figures["equity"]))
    assert any('"PositionOpened"' in frame for frame in beside.heard)
    assert not any("eventId" in frame or key in frame for frame in stranger.heard)
    expect(stranger.see("count-open")).to_have_text("0")
    expect(stranger.see("toast")).to_have_count(0)
    expect(stranger.see("account-balance")).to_have_text("10,000.00")


def test_a_lost_event_is_noticed_and_made_good(trader: Trader, platform: PlatformThread) -> None:
    """The page's network loses one frame with an event: the next sequence tells."""
    lost: list[str] = []

    def relay(route: Any) -> None:
        server = route.connect_to_server()

        def pass_on(message: str) -> None:
            if '"PositionOpened"' in message and not lost:
                lost.append(message)
            else:
                route.send(message)

        server.on_message(pass_on)
        route.on_message(server.send)

    trader.page.route_web_socket("**/ws?*", relay)
    trader.page.reload()
    trader.expect_state("connected")
    for number in (1, 2):
        platform.post("/api/v1/positions/open", {"margin": 10 * number, "asset": "SOL", "type": "long"}, trader.account)
    expect(trader.see("count-open")).to_have_text("2")
    trader.wait_for(lambda: lost)
    expect(trader.rows()).to_have_count(2)
    assert set(trader.keys()) == {p["positionId"] for p in platform.state(trader.account)["positions"]}


def test_the_page_says_connecting_while_nobody_answers(visit: Visit, platform: PlatformThread) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}")
    trader.page.route_web_socket("**/ws?*", lambda route: None)  # the handshake succeeds, then silence
    trader.page.goto(trader.url)
    trader.expect_state("connecting")
    expect(trader.see("submit")).to_be_disabled()
