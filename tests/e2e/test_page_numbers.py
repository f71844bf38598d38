"""Numbers as they are typed in browsers of several places: the value typed is the value sent, or none is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from chromium import Trader
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import expect

Visit = Callable[..., Trader]

TICKETS = [
    ("de-DE", "112,5", "2,5", "155,5", "140,25", "1,5"),
    ("fr-FR", "1\u202f012,5", "2,5", "155,5", "140,25", "1,5"),
    ("hi-IN", "1,012.5", "2.5", "155.5", "140.25", "1.5"),
    ("en-US", "1,012.5", "2.5", "155.5", "140.25", "1.5"),
    ("de-CH", "1\u2019012.5", "2.5", "155.5", "140.25", "1.5"),
    (
        "ar-EG",
        "\u0661\u0661\u0662\u066b\u0665",
        "2.5",
        "\u0661\u0665\u0665\u066b\u0665",
        "140.25",
        "\u0661\u066b\u0665",
    ),
]
"""Locale; margin, leverage, take profit, stop loss, slippage."""

REFUSED = [
    ("en-US", "1,5", "decimal point"),
    ("en-US", "155,5", "decimal point"),
    ("en-US", "1.234,5", "decimal point"),
    ("en-US", "1e3", "digits"),
    ("en-US", "1_000", "digits"),
    ("de-DE", "150.5", "decimal comma"),
    ("de-DE", "1.234", "could mean 1234 or 1,234"),
    ("de-DE", "1,234.5", "decimal comma"),
    ("fr-FR", "150.5", "decimal comma"),
    ("hi-IN", "150,5", "decimal point"),
]


@pytest.fixture(autouse=True)
def _prices(platform: PlatformThread) -> None:
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)


def arrive(visit: Visit, platform: PlatformThread, locale: str) -> tuple[Trader, list[Any]]:
    """A page of a browser of that place, and the bodies that it sends."""
    sent: list[Any] = []
    trader = visit(f"http://127.0.0.1:{platform.port}", locale=locale)
    trader.page.on("request", lambda request: sent.append(request.post_data_json) if request.method == "POST" else None)
    return trader.arrive(), sent


@pytest.mark.parametrize(("locale", "margin", "leverage", "take", "stop", "slippage"), TICKETS)
def test_what_is_typed_is_what_is_sent(
    visit: Visit, platform: PlatformThread, locale: str, margin: str, leverage: str, take: str, stop: str, slippage: str
) -> None:
    trader, sent = arrive(visit, platform, locale)
    value = "112.5" if len(margin) == 5 else "1012.5"
    key = trader.trade("buy", margin=margin, leverage=leverage, take_profit=take, stop_loss=stop, slippage=slippage)
    body = sent[-1]
    typed = {name: body[name] for name in ("margin", "leverage", "takeProfit", "stopLoss", "slippage")}
    assert typed == {
        "margin": value,
        "leverage": "2.5",
        "takeProfit": "155.5",
        "stopLoss": "140.25",
        "slippage": "1.5",
    }
    # What a dialog puts into its fields is read back as the same: saving it changes nothing.
    trader.act(key, "edit")
    assert trader.page.locator("#edit-take").input_value() == take
    count = len(sent)
    trader.see("edit-dialog").get_by_role("button", name="Save").click()
    expect(trader.see("edit-dialog")).to_be_hidden()
    assert len(sent) == count
    trader.act(key, "reduce")
    trader.page.locator("#close-percent").fill(leverage)
    trader.see("confirm-close").click()
    expect(trader.see("close-dialog")).to_be_hidden()
    assert sent[-1]["percentage"] == "2.5"
    trader.see("account-menu").click()
    trader.see("deposit-amount").fill(margin)
    trader.see("deposit").click()
    trader.wait_for(lambda: "amount" in sent[-1])
    assert sent[-1]["amount"] == value
    trader.wait_for(lambda: platform.state(trader.account)["account"]["deposited"] == Decimal(value))


@pytest.mark.parametrize(("locale", "text", "words"), REFUSED)
def test_what_is_not_a_number_there_is_refused_in_words(
    visit: Visit, platform: PlatformThread, locale: str, text: str, words: str
) -> None:
    trader, sent = arrive(visit, platform, locale)
    for name in ("margin", "leverage", "take-profit", "stop-loss", "slippage"):
        before = trader.see(name).input_value()
        trader.see(name).fill(text)
        trader.submit()
        error = trader.page.locator(f"#{trader.see(name).get_attribute('id')}-error")
        expect(error).to_contain_text(words)
        trader.see(name).fill(before)
    trader.fill_ticket("buy", "limit", price=text)
    trader.submit()
    expect(trader.page.locator("#price-error")).to_contain_text(words)
    trader.see("account-menu").click()
    trader.see("deposit-amount").fill(text)
    trader.see("deposit").click()
    expect(trader.page.locator("#deposit-error")).to_contain_text(words)
    trader.page.keyboard.press("Escape")
    assert sent == []
    key = platform.post("/api/v1/positions/open", {"margin": 50, "asset": "SOL", "type": "long"}, trader.account).json[
        "positionId"
    ]
    trader.act(key, "edit")
    trader.page.locator("#edit-take").fill(text)
    trader.see("edit-dialog").get_by_role("button", name="Save").click()
    expect(trader.page.locator("#edit-take-error")).to_contain_text(words)
    trader.page.keyboard.press("Escape")
    trader.act(key, "reduce")
    trader.page.locator("#close-percent").fill(text)
    trader.see("confirm-close").click()
    expect(trader.page.locator("#close-error")).to_contain_text(words)
    assert sent == []


def test_the_share_buttons_write_what_is_read(visit: Visit, platform: PlatformThread) -> None:
    trader, sent = arrive(visit, platform, "de-DE")
    trader.fill_ticket("buy", leverage="12,5")
    trader.page.locator('[data-share="25"]').click()
    assert trader.see("margin").input_value() == "2469,13"  # 10 000 × 25 % / (1 + 12.5 × 0.001), cut to the cent
    expect(trader.see("ticket-free")).to_have_text("10.000,00 USD")
    trader.submit()
    expect(trader.see("count-open")).to_have_text("1")
    assert sent[-1]["margin"] == "2469.13"


def test_a_field_shows_how_it_was_read(visit: Visit, platform: PlatformThread) -> None:
    trader, _ = arrive(visit, platform, "en-US")
    trader.see("margin").fill("1,234")
    trader.see("leverage").focus()
    assert trader.see("margin").input_value() == "1234"
