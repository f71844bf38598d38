"""A trader at the page, in a real Chromium. What no page may do is noted while it does everything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

if "CI" not in os.environ:  # there a missing part is a failure
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / ".artifacts" / "e2e"
"""Screenshots of every test's end, for a person to look at."""

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP: Any = {"width": 1440, "height": 900}
PHONE: Any = {"width": 390, "height": 844}
WAIT_MS = 20_000

MINUS = "\u2212"
NOTHING = "\u2013"
LOST_SERVER = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_FAILED", "WebSocket")
"""What the browser itself says of a server that is gone."""

expect.set_options(timeout=WAIT_MS)


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine.

    The headless shell is the same browser without windows, which are most of what a page costs: a fifth of the CPU.
    """
    shells = ("chromium-headless-shell", "chrome-headless-shell")
    names = (*shells, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


def shown_money(amount: Decimal) -> str:
    """As the page shows an amount of USD: to the cent, half-even, with separators and a real minus."""
    text = f"{amount.quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}"
    return text.replace("-", "") if Decimal(text.replace(",", "")) == 0 else text.replace("-", MINUS)


def shown_gain(amount: Decimal) -> str:
    """An amount with a sign before gains, too."""
    text = shown_money(amount)
    return f"+{text}" if amount > 0 and text.strip("0.") else text


def shown_price(price: Decimal | None, places: int = 2) -> str:
    """As the page shows a price."""
    return NOTHING if price is None else f"{price.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,}"


def shown_exact(value: Decimal) -> str:
    """All digits that the API gives."""
    return f"{value.normalize():,f}"


class Trader:
    """One page of one account. tolerated: what its console may say, as parts of the text."""

    def __init__(self, context: BrowserContext, url: str, account: str) -> None:
        self.context, self.url, self.account = context, url, account
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.tolerated: tuple[str, ...] = ()
        self.heard: list[str] = []
        """Frames that its WebSockets got."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self._check_origin(request.url))
        self.page.on("websocket", lambda socket: socket.on("framereceived", lambda data: self.heard.append(str(data))))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _check_origin(self, asked: str) -> None:
        if urlsplit(asked).scheme not in ("data", "blob") and urlsplit(asked).netloc != urlsplit(self.url).netloc:
            self.faults.append(f"asked another origin: {asked}")

    @property
    def unexpected(self) -> list[str]:
        """What the page did and must not do."""
        return [fault for fault in self.faults if not any(part in fault for part in self.tolerated)]

    def arrive(self) -> Trader:
        """Open the page, and wait until it shows the account at live prices."""
        self.page.goto(f"{self.url}/?account={self.account}")
        self.expect_state("connected")
        expect(self.see("account-balance")).not_to_have_text(NOTHING)
        expect(self.see("buy-price")).not_to_have_text(NOTHING)
        return self

    def see(self, test_id: str) -> Locator:
        """An element by its test id."""
        return self.page.get_by_test_id(test_id)

    def expect_state(self, state: str) -> None:
        """What the header says of the connection."""
        expect(self.see("connection")).to_have_attribute("data-state", state)

    # -- the ticket

    def choose(self, symbol: str) -> None:
        """A market, in the watch list."""
        self.see(f"market-{symbol}").click()
        expect(self.see("ticket-symbol")).to_have_text(symbol.split("_")[0])

    def fill_ticket(self, side: str = "buy", kind: str = "market", **fields: str) -> None:
        """Fields by their test ids, with hyphens as underscores."""
        self.page.locator(f'input[name="kind"][value="{kind}"]').check(force=True)
        self.see(f"side-{side}").check(force=True)
        for name, value in fields.items():
            self.see(name.replace("_", "-")).fill(value)

    def submit(self) -> None:
        """Send the ticket."""
        self.see("submit").click()

    def trade(self, side: str = "buy", kind: str = "market", **fields: str) -> str:
        """Fill, send, and wait for the row. Its position or order id."""
        panel = "open" if kind == "market" else "pending"
        known = set(self.keys(panel))
        self.fill_ticket(side, kind, **fields)
        self.submit()
        # int() reads the digits of every place.
        self.wait_for(lambda: int(self.see(f"count-{panel}").inner_text()) == len(known) + 1)
        self.show(panel)
        return self.wait_for(lambda: set(self.keys(panel)) - known).pop()

    # -- the tables

    def show(self, panel: str) -> None:
        """One of the tabs open, pending, history."""
        self.page.locator(f"#tab-{panel}").click()
        expect(self.see(f"panel-{panel}")).to_be_visible()

    def rows(self, panel: str = "open") -> Locator:
        """The rows that exist in a tab's table: those in sight."""
        return self.see(f"panel-{panel}").get_by_test_id("row")

    def keys(self, panel: str = "open") -> list[str]:
        """The ids of these rows."""
        found: list[str] = self.rows(panel).evaluate_all("rows => rows.map((row) => row.dataset.key)")
        return found

    def row(self, key: str) -> Locator:
        """A row by its position, order or trade id."""
        return self.page.locator(f'tr[data-key="{key}"]')

    def cell(self, key: str, label: str) -> Locator:
        """A cell by its column's label."""
        return self.row(key).locator(f'td[data-label="{label}"]')

    def cut_off(self) -> list[str]:
        """Cells of the tables whose text does not fit."""
        found: list[str] = self.page.locator("td").evaluate_all("""cells => cells
          .filter((cell) => cell.scrollWidth > cell.clientWidth)
          .map((cell) => `${cell.dataset.label}: ${cell.textContent}`)""")
        return found

    def act(self, key: str, action: str) -> None:
        """Press a button of a row: edit, reduce, close, cancel."""
        self.row(key).locator(f'button[data-action="{action}"]').click()

    def expect_toast(self, *parts: str) -> None:
        """A message with all these words comes."""
        toasts = self.see("toast")
        for part in parts:
            toasts = toasts.filter(has_text=part)
        expect(toasts.first).to_be_visible()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives once it is true."""
        for _ in range(WAIT_MS // 50):
            if found := condition():
                return found
            self.page.wait_for_timeout(50)
        raise TimeoutError("it never came true")

    def picture(self, name: str) -> Path:
        """A screenshot among the artefacts."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path
