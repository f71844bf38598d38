"""Colour follows the sign: a figure with a plus is green, one with a minus red, one without of no colour."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chromium import Trader
from platform_harness import STARTED, PlatformThread
from playwright.sync_api import expect

Visit = Callable[..., Trader]

SIGNS = """() => {
  const probe = document.body.appendChild(document.createElement('i'));
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const [up, down] = [colour('up'), colour('down')];
  probe.remove();
  const seen = { up: 0, down: 0, none: 0 };
  const faults = [];
  for (const element of document.querySelectorAll('td, dd, output, .history-sum, .hint')) {
    const found = element.textContent.match(/^(?:PnL |PnL there: |\\d+: )?([+\u2212]?)[\\d,.]+(?:%| USD)?$/);
    if (!found || !element.checkVisibility()) continue;
    const sign = { '+': 'up', '\u2212': 'down', '': 'none' }[found[1]];
    seen[sign] += 1;
    const shown = getComputedStyle(element).color;
    const is = shown === up ? 'up' : shown === down ? 'down' : 'none';
    if (is !== sign) faults.push(`${element.dataset.label ?? element.dataset.testid} ${element.textContent}: ${is}`);
  }
  return { seen, faults };
}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_figure_with_a_sign_has_its_colour(
    visit: Visit, platform: PlatformThread, account: str, scheme: str
) -> None:
    for symbol, bid, ask in STARTED:
        platform.set_price(symbol, bid, ask)
    for asset, side in (("SOL", "long"), ("SOL", "short"), ("BTC", "long"), ("ETH", "short")):
        body = {"margin": 100, "asset": asset, "type": side, "leverage": 5}
        opened = platform.post("/api/v1/positions/open", body, account)
        half = {"positionId": opened.json["positionId"], "percentage": 50}
        assert platform.post("/api/v1/positions/close", half, account).status == 200
    platform.set_price("SOL_USDC", "155.00", "155.10")
    trader = visit(f"http://127.0.0.1:{platform.port}", color_scheme=scheme).arrive()
    expect(trader.see("count-open")).to_have_text("4")
    trader.fill_ticket("buy", take_profit="180", stop_loss="140")
    expect(trader.page.locator("#takeProfit-note")).to_contain_text("+")
    for panel in ("open", "history"):
        trader.show(panel)
        expect(trader.rows(panel).first).to_be_visible()
        found = trader.page.evaluate(SIGNS)
        assert found["faults"] == []
        assert found["seen"]["up"] >= 1
        assert found["seen"]["down"] >= 5
    trader.see("account-menu").click()
    expect(trader.see("total-realized")).to_contain_text("\u2212")
    assert trader.page.evaluate(SIGNS)["faults"] == []
