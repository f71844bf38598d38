"""The API's own page: documents to read, and requests that are tried from there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from chromium import Trader
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import Locator, expect

OPEN = "#operations-positions-openPosition"


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> Iterator[None]:
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)
    yield


@pytest.fixture
def reader(visit: object, platform: PlatformThread) -> Trader:
    """Somebody at /docs. What the page may not do is noted: a breach of its policy is told on the console."""
    return visit(f"http://127.0.0.1:{platform.port}")  # type: ignore[operator, no-any-return]


def unfolded(reader: Trader, operation: str) -> Locator:
    """An operation of the viewer, ready to be tried."""
    found = reader.page.locator(operation)
    found.locator(".opblock-summary-control").click()
    expect(found.locator(".execute")).to_be_visible()
    return found


def execute(operation: Locator, status: str) -> None:
    """Send what is filled in, and see the answer's status."""
    operation.locator(".execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_have_text(re.compile(status))


def test_a_position_is_opened_from_there(reader: Trader, platform: PlatformThread, account: str) -> None:
    reader.page.goto(f"{reader.url}/docs")
    operation = unfolded(reader, OPEN)
    operation.locator('tr[data-param-name="X-Account"] input').fill(account)
    execute(operation, "201")
    expect(operation.locator(".live-responses-table")).to_contain_text("positionId")
    (position,) = platform.state(account)["positions"]
    assert position["asset"] == "SOL"
    # The same again is another order: no key is sent that nobody has chosen.
    operation.locator(".btn-clear").click()
    execute(operation, "201")
    assert len(platform.state(account)["positions"]) == 2


def test_a_refusal_is_shown_as_it_is(reader: Trader, platform: PlatformThread, account: str) -> None:
    reader.tolerated = ("400 (Bad Request)",)
    reader.page.goto(f"{reader.url}/docs")
    operation = unfolded(reader, OPEN)
    operation.locator("textarea.body-param__text").fill('{"margin": -1, "asset": "SOL", "type": "long"}')
    execute(operation, "400")
    expect(operation.locator(".live-responses-table")).to_contain_text("margin")


def test_every_message_of_the_stream_and_the_topics_can_be_read(reader: Trader) -> None:
    reader.page.goto(f"{reader.url}/docs#messages")
    expect(reader.see("channel-stream")).to_contain_text("/ws")
    expect(reader.see("channel-marketUpdates")).to_contain_text("backpack-market-updates")
    closed = reader.see("channel-accountEvents").get_by_test_id("message-PositionClosedRecord")
    closed.locator("summary").click()
    for words in ("schemaVersion", "causedBy", "realizedPnL", "content-type", "liquidation"):
        expect(closed).to_contain_text(words)
    reader.see("docs-http").click()
    expect(reader.page.locator(OPEN)).to_be_visible()
    expect(reader.see("channel-stream")).to_be_hidden()


def test_without_its_viewer_the_document_can_be_read(reader: Trader) -> None:
    reader.tolerated = ("ERR_FAILED",)
    reader.page.route("**/vendor/*", lambda route: route.abort())
    reader.page.goto(f"{reader.url}/docs")
    expect(reader.page.get_by_role("status")).to_contain_text("install Node.js")
    operation = reader.see("operation-openPosition")
    operation.locator("summary").click()
    for words in ("margin", "leverage", "slippage", "positionId", "INSUFFICIENT_MARGIN"):
        expect(operation).to_contain_text(words)


def test_the_trading_page_leads_there(trader: Trader) -> None:
    trader.page.keyboard.press("?")
    link = trader.see("api-docs")
    expect(link).to_be_visible()
    link.click()
    expect(trader.page).to_have_title(re.compile("API"))
    expect(trader.page.locator(OPEN)).to_be_visible()
