"""The README's picture of the page: taken here, of a real platform with simulated prices."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from chromium import ROOT, Trader
from platform_process import PlatformProcess
from playwright.sync_api import expect

PICTURE = ROOT / "docs" / "page.png"
"""A copy of what this test takes: cp .artifacts/e2e/page.png docs/page.png"""


def size_of(png: Path) -> tuple[int, int]:
    """Width and height, px."""
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height


def test_the_readme_shows_the_page(visit: Callable[..., Trader], process: PlatformProcess) -> None:
    trader = visit(process.url, "demo", color_scheme="dark").arrive()
    for symbol, side, margin, leverage in (
        ("BTC_USDC", "sell", "1500", "20"),
        ("ETH_USDC", "buy", "800", "10"),
        ("SOL_USDC", "buy", "1000", "25"),
    ):
        trader.choose(symbol)
        trader.trade(side, margin=margin, leverage=leverage)
    trader.act(trader.keys()[0], "edit")
    trader.page.locator("#edit-stop").fill("149.2")
    trader.page.locator("#edit-take").fill("151.2")
    trader.see("edit-dialog").get_by_role("button", name="Save").click()
    expect(trader.see("edit-dialog")).to_be_hidden()
    trader.trade("buy", "limit", margin="500", leverage="10", price="148.8")
    trader.show("open")
    trader.fill_ticket("buy", margin="250", leverage="10")
    trader.page.mouse.move(1, 1)
    trader.page.wait_for_timeout(5_000)  # the messages have gone
    taken = trader.picture("page")
    assert f"docs/{PICTURE.name}" in (ROOT / "README.md").read_text("utf-8")
    assert size_of(PICTURE) == size_of(taken)
