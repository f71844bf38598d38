"""Closed trades on the page: filter, sums, histogram, and the CSV file."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

from chromium import Trader, shown_gain, shown_price
from platform_harness import PlatformThread
from playwright.sync_api import expect


def trade_a_little(trader: Trader, platform: PlatformThread) -> None:
    """Four trades: two by hand, a take profit, a liquidation."""
    for symbol in ("SOL_USDC", "BTC_USDC"):
        trader.choose(symbol)
        key = trader.trade(margin="200", leverage="5")
        trader.act(key, "close")
        trader.see("confirm-close").click()
        expect(trader.see("count-open")).to_have_text("0")
    trader.choose("SOL_USDC")
    trader.trade(margin="100", leverage="10", take_profit="155")
    trader.trade("sell", margin="50", leverage="20", take_profit="")
    platform.set_price("SOL_USDC", "158.00", "158.10")
    expect(trader.see("count-open")).to_have_text("0")
    platform.set_price("SOL_USDC", "150.00", "150.10")


def test_trades_are_listed_filtered_and_saved(trader: Trader, platform: PlatformThread, tmp_path: Path) -> None:
    trade_a_little(trader, platform)
    trades = platform.get("/api/v1/trades", trader.account).json["trades"]
    assert len(trades) == 4
    trader.show("history")
    expect(trader.rows("history")).to_have_count(4)
    assert trader.keys("history") == [trade["tradeId"] for trade in trades]
    for trade in trades:
        key = trade["tradeId"]
        expect(trader.cell(key, "PnL")).to_have_text(shown_gain(trade["realizedPnL"]))
        expect(trader.cell(key, "Entry")).to_have_text(shown_price(trade["entryPrice"]))
        expect(trader.cell(key, "Close")).to_have_text(shown_price(trade["closePrice"]))
    largest = max(abs(trade["realizedPnL"]) for trade in trades)
    total = sum((trade["realizedPnL"] for trade in trades), Decimal(0))
    expect(trader.see("history-sum")).to_have_text(f"4: {shown_gain(total)} USD")
    expect(trader.see("pnl-histogram").locator("svg")).to_have_attribute(
        "aria-label", f"PnL of 4 trades: 1 gained, 3 lost, the largest {largest:.2f} USD"
    )
    trader.picture("history")

    with trader.page.expect_download() as saved:
        trader.see("history-csv").click()
    assert saved.value.suggested_filename == "trades.csv"
    saved.value.save_as(tmp_path / "trades.csv")
    with (tmp_path / "trades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tradeId"] for row in rows] == [trade["tradeId"] for trade in trades]
    assert [Decimal(row["realizedPnL"]) for row in rows] == [trade["realizedPnL"] for trade in trades]

    trader.see("history-reason").select_option("liquidation")
    expect(trader.rows("history")).to_have_count(1)
    trader.see("history-symbol").select_option("BTC_USDC")
    expect(trader.rows("history")).to_have_count(0)
    expect(trader.see("panel-history")).to_contain_text("No trade matches the filter.")
    trader.see("history-reason").select_option("")
    expect(trader.rows("history")).to_have_count(1)
    expect(trader.rows("history")).to_contain_text("BTC")


def test_a_trade_appears_while_the_history_is_looked_at(trader: Trader, platform: PlatformThread) -> None:
    key = trader.trade(margin="100", leverage="2")
    trader.show("history")
    expect(trader.see("panel-history")).to_contain_text("No closed trades yet.")
    answer = platform.post("/api/v1/positions/close", {"positionId": key}, trader.account)
    assert answer.status == 200
    expect(trader.rows("history")).to_have_count(1)


def test_a_long_history_comes_page_by_page(trader: Trader, platform: PlatformThread) -> None:
    platform.post("/api/v1/account/deposit", {"amount": 100_000}, trader.account)
    for _ in range(130):
        opened = platform.post("/api/v1/positions/open", {"margin": 10, "asset": "SOL", "type": "long"}, trader.account)
        platform.post("/api/v1/positions/close", {"positionId": opened.json["positionId"]}, trader.account)
    trader.show("history")
    expect(trader.see("history-sum")).to_contain_text("newest 100:")
    assert len(trader.keys("history")) < 60, "rows out of sight exist"
    scroller = trader.see("panel-history").locator(".scroller")

    def is_all_there() -> bool:
        scroller.evaluate("element => element.scrollTo(0, element.scrollHeight)")
        return (trader.see("history-sum").text_content() or "").startswith("130:")

    trader.wait_for(is_all_there)
    oldest = json.loads(platform.get("/api/v1/trades?limit=500", trader.account).body)["trades"][-1]["tradeId"]
    scroller.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    expect(trader.row(oldest)).to_be_visible()
