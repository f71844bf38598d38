"""The page by keyboard, for assistive technology, on a phone, in dark and light."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from chromium import AXE, PHONE, Trader
from platform_harness import PlatformThread
from playwright.sync_api import APIResponse, Page, Route, expect

Visit = Callable[..., Trader]

MISSING = "axe-core is not installed: npm ci"
REFUSED = {"error": "INVALID_REQUEST", "message": "as a test", "details": {}}
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def axe() -> str:
    """The checker's source."""
    if not AXE.is_file():
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    return AXE.read_text("utf-8")


def examine(trader: Trader, axe: str, where: str) -> None:
    """No serious finding. Lesser ones are printed."""
    page = trader.page
    page.wait_for_timeout(800)  # flashes of prices are over
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    for finding in found:
        targets = [node["target"] for node in finding["nodes"]][:3]
        print(f"{where}: {finding['impact']} {finding['id']}: {finding['help']} {targets}")
    assert not [finding["id"] for finding in found if finding["impact"] in SERIOUS], where


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_has_no_serious_finding(visit: Visit, platform: PlatformThread, axe: str, scheme: str) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}", color_scheme=scheme).arrive()
    examine(trader, axe, "empty")
    trader.trade("sell", "limit", margin="20", leverage="2", price="190")
    key = trader.trade(margin="100", leverage="5", stop_loss="140", take_profit="170")
    trader.fill_ticket(margin="nonsense")
    examine(trader, axe, "open positions")
    trader.picture(f"{scheme}-desk")
    trader.act(key, "edit")
    examine(trader, axe, "edit")
    trader.page.keyboard.press("Escape")
    trader.act(key, "reduce")
    examine(trader, axe, "close in part")
    trader.picture(f"{scheme}-close")
    trader.see("confirm-close").click()
    trader.show("pending")
    examine(trader, axe, "pending")
    trader.show("history")
    expect(trader.rows("history")).to_have_count(1)
    examine(trader, axe, "history")
    trader.see("account-menu").click()
    examine(trader, axe, "account")
    trader.picture(f"{scheme}-account")
    trader.page.keyboard.press("Escape")
    trader.page.keyboard.press("?")
    examine(trader, axe, "help")


def focused(trader: Trader) -> str:
    """What has the focus, by its id or name."""
    name: str = trader.page.evaluate("""() => {
      const at = document.activeElement;
      return at.id || at.dataset.symbol || at.value || at.textContent.trim();
    }""")
    return name


def test_a_position_is_opened_and_closed_by_keyboard_alone(trader: Trader, platform: PlatformThread) -> None:
    keys = trader.page.keyboard
    keys.press("/")
    keys.type("btc")
    keys.press("Enter")
    expect(trader.see("ticket-symbol")).to_have_text("BTC")
    keys.press("s")
    assert focused(trader) == "margin"
    expect(trader.see("side-sell")).to_be_checked()
    keys.type("125")
    keys.press("Enter")
    expect(trader.see("count-open")).to_have_text("1")
    # The event may come before the answer, and until that is there the fields are locked.
    expect(trader.page.locator("#margin"), "the focus is lost with the submit").to_be_focused()
    position = platform.state(trader.account)["positions"][0]
    assert (position["asset"], position["type"], position["margin"]) == ("BTC", "short", 125)
    keys.press("Escape")
    trader.page.locator("#tab-open").focus()
    keys.press("ArrowRight")
    expect(trader.see("panel-pending")).to_be_visible()
    keys.press("ArrowLeft")
    expect(trader.see("panel-open")).to_be_visible()
    trader.row(position["positionId"]).get_by_role("button", name="Close short BTC").focus()
    keys.press("Enter")
    expect(trader.see("close-dialog")).to_be_visible()
    keys.press("Enter")
    expect(trader.see("count-open")).to_have_text("0")


class Held:
    """Answers to what a page posts to one path: given by the platform, and kept back until they are let go."""

    def __init__(self, page: Page, path: str) -> None:
        self._held: list[tuple[Route, APIResponse]] = []
        page.route(f"**{path}", lambda route: self._held.append((route, route.fetch())))

    def let_go(self) -> None:
        for route, answer in self._held:
            route.fulfill(response=answer)
        self._held.clear()


def test_the_focus_is_back_however_late_the_answer_is(trader: Trader) -> None:
    margin = trader.page.locator("#margin")
    opening = Held(trader.page, "/api/v1/positions/open")
    margin.fill("20")
    margin.press("Enter")
    expect(trader.see("count-open")).to_have_text("1")
    expect(margin).to_be_disabled()
    opening.let_go()
    expect(margin).to_be_focused()

    trader.see("submit").press("Enter")
    expect(trader.see("count-open")).to_have_text("2")
    opening.let_go()
    expect(trader.see("submit")).to_be_focused()


def test_the_focus_stays_where_it_went_before_the_answer_came(trader: Trader) -> None:
    opening = Held(trader.page, "/api/v1/positions/open")
    margin, elsewhere = trader.page.locator("#margin"), trader.page.locator("#watch-filter")
    margin.fill("20")
    margin.press("Enter")
    expect(trader.see("count-open")).to_have_text("1")
    elsewhere.focus()
    opening.let_go()
    expect(margin).to_be_enabled()
    expect(elsewhere).to_be_focused()


def test_a_button_that_waits_for_its_answer_has_the_focus_again(trader: Trader) -> None:
    deposits = Held(trader.page, "/api/v1/account/deposit")
    before = trader.see("account-balance").inner_text()
    trader.see("account-menu").click()
    trader.see("deposit").press("Enter")
    expect(trader.see("deposit")).to_be_disabled()
    expect(trader.see("account-balance")).not_to_have_text(before)
    deposits.let_go()
    expect(trader.see("deposit")).to_be_enabled()
    expect(trader.see("deposit")).to_be_focused()


def test_a_refusal_in_a_dialog_gives_the_focus_back(trader: Trader) -> None:
    key = trader.trade(margin="50", leverage="2")
    trader.tolerated = ("status of 400",)
    trader.page.route("**/api/v1/positions/close", lambda route: route.fulfill(status=400, json=REFUSED))
    trader.act(key, "close")
    trader.page.keyboard.press("Enter")
    expect(trader.see("close-dialog")).to_contain_text("As a test")
    expect(trader.see("confirm-close")).to_be_focused()


def test_the_focus_goes_through_the_page_in_its_order(trader: Trader) -> None:
    seen: list[str] = []
    outlines: list[str] = []
    trader.page.locator("body").evaluate(
        "body => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }"
    )
    for _ in range(40):
        trader.page.keyboard.press("Tab")
        seen.append(focused(trader))
        outlines.append(trader.page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
    stops = ["Skip to the order ticket", "open-account", "theme", "watch-filter", "SOL_USDC", "margin", "ticket-submit"]
    places = [seen.index(stop) for stop in stops]
    assert places == sorted(places), seen
    for stop in ("open-account", "theme", "SOL_USDC", "ticket-submit"):
        assert outlines[seen.index(stop)] != "none", f"the focus can't be seen on {stop}"


def test_the_skip_link_leads_to_the_ticket(trader: Trader) -> None:
    trader.page.locator("a.skip").focus()
    trader.page.keyboard.press("Enter")
    assert focused(trader) == "ticket"


def test_the_colours_are_chosen_and_kept(trader: Trader) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    colours = {trader.page.evaluate(ground)}
    for theme in ("dark", "light"):
        trader.see("theme").click()
        expect(trader.see("theme")).to_have_attribute("aria-label", f"Colours: {theme}")
        colours.add(trader.page.evaluate(ground))
    assert len(colours) == 2
    before = trader.page.evaluate(ground)
    trader.page.reload()
    assert trader.page.evaluate(ground) == before


def overflow_px(trader: Trader) -> int:
    """How much wider than the screen the page is."""
    wider: int = trader.page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    return wider


def test_a_phone_has_all_of_it(visit: Visit, platform: PlatformThread, axe: str) -> None:
    url = f"http://127.0.0.1:{platform.port}"
    trader = visit(url, viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2).arrive()
    nav = trader.page.locator("nav.views")
    for view in ("Markets", "Trade", "Positions", "Chart"):
        nav.get_by_role("button", name=view).tap()
        assert overflow_px(trader) <= 0, f"{view} is wider than the phone"
        examine(trader, axe, f"phone: {view}")
        trader.picture(f"phone-{view}")
    nav.get_by_role("button", name="Markets").tap()
    trader.see("market-ETH_USDC").tap()
    expect(trader.see("chart-symbol")).to_have_text("ETH / USDC")
    expect(trader.see("chart")).to_be_visible()
    nav.get_by_role("button", name="Trade").tap()
    trader.fill_ticket("sell", margin="150", leverage="6")
    trader.see("submit").tap()
    nav.get_by_role("button", name="Positions").tap()
    expect(trader.rows()).to_have_count(1)
    key = trader.keys()[0]
    for label in ("Margin", "Entry", "Mark", "Liquidation", "PnL"):
        expect(trader.cell(key, label)).to_be_visible()
    assert overflow_px(trader) <= 0
    examine(trader, axe, "phone: a position")
    trader.picture("phone-position")
    trader.row(key).locator('button[data-action="close"]').tap()
    trader.see("confirm-close").tap()
    expect(trader.rows()).to_have_count(0)
    assert platform.state(trader.account)["positions"] == []
