"""The tables: columns by priority, gain and return always in view, sorted by any column."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chromium import Trader
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import expect

Visit = Callable[..., Trader]

WIDTHS = (390, 1024, 1280, 1366, 1440, 1920)
SORTABLE = ("Market", "Quantity", "Margin", "Entry", "Mark", "Liquidation", "Stop loss", "Take profit", "PnL", "ROE")

SHOWN = """() => [...document.querySelectorAll('#panel-open tbody tr:not(.gap)')].map((row) =>
  Object.fromEntries([...row.cells].filter((cell) => cell.checkVisibility()).map((cell) => {
    const box = cell.getBoundingClientRect();
    return [cell.dataset.label, [box.left, box.right, cell.textContent]];
  })))"""


@pytest.fixture
def filled(visit: Visit, platform: PlatformThread, account: str) -> Trader:
    """A page with three positions, opened in this order."""
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)
    for asset, side, margin in (("SOL", "long", 300), ("BTC", "short", 100), ("ETH", "long", 200)):
        body = {"margin": margin, "asset": asset, "type": side, "leverage": 5}
        assert platform.post("/api/v1/positions/open", body, account).status == 201
    trader = visit(f"http://127.0.0.1:{platform.port}").arrive()
    expect(trader.see("count-open")).to_have_text("3")
    return trader


def markets(trader: Trader) -> str:
    """The first letters of the rows' markets, from the top."""
    found: list[str] = trader.rows().evaluate_all("rows => rows.map((row) => row.cells[0].textContent)")
    return "".join(text[0] for text in found)


@pytest.mark.parametrize("width", WIDTHS)
def test_gain_and_return_are_in_view_at_every_width(filled: Trader, width: int) -> None:
    filled.page.set_viewport_size({"width": width, "height": 900})
    if width < 1000:
        filled.page.locator("nav.views").get_by_role("button", name="Positions").click()
    scroller = filled.page.locator("#panel-open .scroller")
    is_table = width >= 1000
    filled.wait_for(lambda: ("cards" in (scroller.get_attribute("class") or "")) != is_table)
    rows = filled.wait_for(lambda: filled.page.evaluate(SHOWN))
    for row in rows:
        for name in ("Market", "PnL", "ROE", "Actions"):
            left, right, text = row[name]
            assert text
            assert 0 <= left < right <= width, name
        assert row["ROE"][2].endswith("%")
    box = filled.see("close-all").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
    heads = filled.page.locator("#panel-open th:visible")
    assert heads.all_inner_texts() == (list(rows[0]) if is_table else [])
    # What there is no room for is told of a row that is pointed at.
    if is_table:
        filled.rows().first.hover()
        told = filled.rows().first.get_attribute("title") or ""
        assert [line.split(": ")[0] for line in told.splitlines()] == [name for name in SORTABLE if name not in rows[0]]


def test_more_room_shows_more(filled: Trader) -> None:
    counts = []
    for width in (1024, 1280, 1920):
        filled.page.set_viewport_size({"width": width, "height": 900})
        filled.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        counts.append(filled.page.locator("#panel-open th:visible").count())
    assert counts == sorted(counts)
    assert counts[-1] == len(SORTABLE) + 1


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("Market", "BES", "SEB"),
        ("Margin", "SEB", "BES"),
        ("Entry", "BES", "SEB"),
        ("Quantity", "SEB", "BES"),
        ("Stop loss", "EBS", "EBS"),  # none has one: as they were given
    ],
)
def test_a_header_sorts_by_its_column(filled: Trader, column: str, first: str, second: str) -> None:
    filled.page.set_viewport_size({"width": 1920, "height": 900})
    head = filled.page.locator("#panel-open").get_by_role("columnheader", name=column, exact=True)
    button = head.get_by_role("button")
    expect(head).to_have_attribute("aria-sort", "none")
    assert markets(filled) == "EBS"
    is_text = column == "Market"
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending" if is_text else "descending")
    assert markets(filled) == first
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending" if is_text else "ascending")
    assert markets(filled) == second
    button.press("Space")
    expect(head).to_have_attribute("aria-sort", "none")
    assert markets(filled) == "EBS"


def test_every_column_sorts(filled: Trader) -> None:
    filled.page.set_viewport_size({"width": 1920, "height": 900})
    for panel, count in (("open", 10), ("pending", 10), ("history", 9)):
        filled.show(panel)
        heads = filled.page.locator(f"#panel-{panel} th[aria-sort] button")
        assert heads.count() == count


def test_rows_sorted_by_gain_follow_the_market(filled: Trader, platform: PlatformThread) -> None:
    filled.page.set_viewport_size({"width": 1920, "height": 900})
    filled.page.locator("#panel-open").get_by_role("columnheader", name="PnL").get_by_role("button").click()
    filled.page.mouse.move(5, 5)
    platform.set_price("SOL_USDC", "160.00", "160.10")
    filled.wait_for(lambda: markets(filled)[0] == "S")
    platform.set_price("BTC_USDC", "50000.0", "50010.0")
    filled.wait_for(lambda: markets(filled).startswith("BS"))


def test_cards_are_sorted_with_a_select(filled: Trader) -> None:
    filled.page.set_viewport_size({"width": 390, "height": 844})
    filled.page.locator("nav.views").get_by_role("button", name="Positions").click()
    select = filled.page.get_by_role("combobox", name="Sort open positions")
    select.select_option(label="Margin, highest first")
    filled.wait_for(lambda: markets(filled) == "SEB")
    select.select_option(label="Newest first")
    filled.wait_for(lambda: markets(filled) == "EBS")


FILLS = """() => { const scroller = document.querySelector('#panel-open .scroller');
  const head = scroller.querySelector('th:last-child').getBoundingClientRect();
  return Math.abs(head.right - scroller.getBoundingClientRect().left - scroller.clientWidth) <= 1; }"""


def test_a_table_fills_its_place(filled: Trader) -> None:
    for width in WIDTHS[1:]:
        filled.page.set_viewport_size({"width": width, "height": 900})
        filled.wait_for(lambda: filled.page.evaluate(FILLS))
