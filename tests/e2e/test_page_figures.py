"""No figure is cut or covered, at any width: a number that is cut is another number. Headers stand over their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from chromium import Trader
from platform_harness import PlatformThread, until
from playwright.sync_api import Page, Route, expect

from exness_streams.simulator import market as simulator_market

Visit = Callable[..., Trader]

WIDTHS = (390, 768, 1024, 1280, 1366, 1440, 1920)
LARGE = {
    "SHIB_USDC": ("0.00000098", "0.00000099"),
    "BTC_USDC": ("123456.12345678", "123456.12345679"),
    "SOL_USDC": ("150.00", "150.10"),
}
PLACES = {"SHIB_USDC": 8, "BTC_USDC": 8, "SOL_USDC": 2}
QUANTITY_PLACES = 8
"""As many as there can be: quantities are as long as the place for them has to be."""
PLAIN = {"SHIB_USDC": ("0.98", "0.99"), "BTC_USDC": ("65000.0", "65010.0"), "SOL_USDC": ("150.00", "150.10")}

FAULTS = """() => {
  const faults = [];
  const selector = 'td, .figures dd, .market .price, .side-price, .chart-price, .summary dd, .aside output, .count, '
    + '.history-sum, .spread, .chart-legend, #simulated';
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true })
    && element.textContent.trim() !== '';
  const say = (element, what) => faults.push(`${what}: ${element.dataset.label ?? element.dataset.testid ?? ''} `
    + `${element.textContent.trim()}`);
  for (const element of document.querySelectorAll(selector)) {
    if (!isShown(element) || element.closest('.gap') || element.closest('dialog')) continue;
    if (element.scrollWidth > element.clientWidth && getComputedStyle(element).display !== 'inline') {
      say(element, `cut (${element.scrollWidth} in ${element.clientWidth})`);
    }
    const range = document.createRange();
    range.selectNodeContents(element);
    const box = element.getBoundingClientRect();
    for (const part of range.getClientRects()) {
      if (part.width === 0) continue;
      if (part.left < box.left - 1 || part.right > box.right + 1) say(element, 'outside of its cell');
      if (part.left < 0 || part.right > innerWidth + 1) say(element, 'outside of the window');
      const scroller = element.closest('.scroller, watch-list, .ticket');
      const sight = scroller?.getBoundingClientRect() ?? { top: 0, bottom: innerHeight };
      const head = scroller?.querySelector('thead th')?.getBoundingClientRect();
      const top = Math.max(sight.top, scroller?.classList.contains('cards') ? 0 : (head?.bottom ?? 0));
      const button = scroller?.querySelector('.submit')?.getBoundingClientRect();
      const bottom = Math.min(sight.bottom, button ? button.top - 12 : Infinity);
      const y = (part.top + part.bottom) / 2;
      if (part.top < top || part.bottom > bottom) continue; // scrolled away, as a whole row
      for (const x of [part.left + 1, (part.left + part.right) / 2, part.right - 1]) {
        const found = document.elementFromPoint(x, y);
        if (found === null || !(element.contains(found) || found.contains(element) || found.matches('input, label')
            || (element.matches('.spread') && found.closest('.side')))) {
          say(element, `covered by ${found?.className ?? found?.tagName}`);
          break;
        }
      }
    }
  }
  for (const scroller of document.querySelectorAll('.scroller:not(.cards)')) {
    if (!scroller.checkVisibility()) continue;
    if (scroller.scrollWidth > scroller.clientWidth) faults.push('a table is wider than its place');
    const heads = [...scroller.querySelectorAll('th')];
    const cells = [...(scroller.querySelector('tbody tr:not(.gap)')?.children ?? [])];
    for (const [index, cell] of cells.entries()) {
      const one = heads[index].getBoundingClientRect();
      const other = cell.getBoundingClientRect();
      if (Math.abs(one.left - other.left) > 1 || Math.abs(one.right - other.right) > 1) {
        faults.push(`${heads[index].textContent} does not stand over its cells`);
      }
      if (heads[index].textContent !== cell.dataset.label)
        faults.push(`${heads[index].textContent} over ${cell.dataset.label}`);
      if (heads[index].scrollWidth > heads[index].clientWidth) faults.push(`${heads[index].textContent} is cut`);
    }
  }
  return [...new Set(faults)];
}"""


PRICES = {"plain": PLAIN, "large": LARGE}


@pytest.fixture(scope="module", params=PRICES)
def size(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, size: str) -> Iterator[PlatformThread]:
    known = {
        symbol.split("_")[0]: (Decimal(bid), PLACES[symbol], QUANTITY_PLACES, 5, 100_000)
        for symbol, (bid, _) in PRICES[size].items()
    }
    thread = PlatformThread(
        tmp_path_factory.mktemp("platform"),
        fee_rate="0.001",
        instruments=tuple(LARGE),
        starting_balance="4321987654.12",
        max_exposure="1000000000000",
    )
    thread.__class__ = Unpriced
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator_market, "_KNOWN", known)
        try:
            yield thread.start()
        finally:
            thread.stop()


class Unpriced(PlatformThread):
    """A platform with markets of its own: their prices are set by the tests."""

    def start(self) -> PlatformThread:
        self._thread.start()
        until(lambda: self._ready.is_set() or not self._thread.is_alive())
        if not self._ready.is_set():
            raise self.failed or RuntimeError("the platform has ended")
        return self


def set_prices(platform: PlatformThread, prices: dict[str, tuple[str, str]]) -> None:
    for symbol, (bid, ask) in prices.items():
        platform.set_price(symbol, bid, ask)


def trade(platform: PlatformThread, account: str, path: str = "/api/v1/positions/open", **body: Any) -> Any:
    reply = platform.post(path, body, account)
    assert reply.status in (200, 201), reply
    return reply.json


def say_simulated(page: Page) -> None:
    """Answers and frames name their source, whatever the server's version."""

    def markets(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        assert '"feed":{' in text
        told = text if '"source"' in text else text.replace('"feed":{', '"feed":{"source":"simulated",', 1)
        route.fulfill(response=answer, body=told)

    page.route("**/api/v1/markets", markets)


def examine(trader: Trader, name: str) -> None:
    """Every view and tab at every width."""
    faults: list[str] = []
    for width in WIDTHS:
        trader.page.set_viewport_size({"width": width, "height": 900})
        views = ("Markets", "Trade", "Positions", "Chart") if width < 1000 else (None,)
        for view in views:
            if view:
                trader.page.locator("nav.views").get_by_role("button", name=view).click()
            for tab in ("open", "pending", "history") if view in (None, "Positions") else (None,):
                if tab:
                    trader.show(tab)
                    expect(trader.rows(tab).first).to_be_visible()
                trader.page.wait_for_timeout(250)
                found = trader.page.evaluate(FAULTS)
                faults += [f"{width} px, {view or 'desk'}, {tab}: {fault}" for fault in found]
                trader.picture(f"figures-{name}-{width}-{view or 'desk'}-{tab}")
    assert faults == [], "\n".join(faults)


def test_no_figure_is_cut_or_covered(visit: Visit, platform: PlatformThread, account: str, size: str) -> None:
    prices, share = PRICES[size], {"plain": 1, "large": 1_000_000}[size]
    set_prices(platform, prices)
    for symbol, side, leverage in (("SHIB_USDC", "long", 2), ("BTC_USDC", "short", 12.5), ("SOL_USDC", "long", 5)):
        trade(platform, account, margin=123 * share + 0.25, asset=symbol, type=side, leverage=leverage)
        bid, ask = (Decimal(price) for price in prices[symbol])
        far = f"{bid / 2 if side == 'long' else ask * 2:f}"
        trade(
            platform, account, "/api/v1/orders/place", margin=11 * share, asset=symbol, type=side, kind="limit",
            price=far, leverage=2,
        )  # fmt: skip
    position = trade(platform, account, margin=9 * share, asset="SOL", type="long", leverage=10)
    platform.set_price("SOL_USDC", "149.00", "149.10")
    trade(platform, account, "/api/v1/positions/close", positionId=position["positionId"])
    trader = visit(f"http://127.0.0.1:{platform.port}")
    say_simulated(trader.page)
    trader.arrive()
    for symbol, (bid, ask) in prices.items():
        if symbol != "SOL_USDC":  # all digits are there
            shown = [trader.see(f"market-{symbol}").get_by_test_id(side).inner_text() for side in ("bid", "ask")]
            assert [Decimal(text.replace(",", "")) for text in shown] == [Decimal(bid), Decimal(ask)]
    trader.choose("BTC_USDC")
    expect(trader.see("simulated")).to_have_text("Simulated prices")
    examine(trader, size)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_simulated_prices_are_said_at_every_width(
    visit: Visit, platform: PlatformThread, size: str, scheme: str
) -> None:
    set_prices(platform, PRICES[size])
    trader = visit(f"http://127.0.0.1:{platform.port}", color_scheme=scheme)
    say_simulated(trader.page)
    trader.arrive()
    for width in (320, *WIDTHS):
        trader.page.set_viewport_size({"width": width, "height": 844})
        expect(trader.see("simulated")).to_be_visible()
        box = trader.see("simulated").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert trader.page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0, width
    assert Path(trader.picture(f"simulated-{scheme}")).is_file()


def test_another_source_has_no_badge(visit: Visit, platform: PlatformThread, size: str) -> None:
    trader = visit(f"http://127.0.0.1:{platform.port}")

    set_prices(platform, PRICES[size])

    def markets(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        route.fulfill(response=answer, json=body | {"feed": body["feed"] | {"source": "backpack"}})

    trader.page.route("**/api/v1/markets", markets)
    trader.page.route_web_socket("**/ws**", lambda socket: None)  # nothing is heard of the server's own source
    trader.page.goto(f"{trader.url}/?account={trader.account}")
    expect(trader.see("market-BTC_USDC")).to_be_visible()
    expect(trader.see("simulated")).to_be_hidden()
