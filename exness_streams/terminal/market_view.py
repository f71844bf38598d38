"""How the instruments on offer look."""

from __future__ import annotations

import time
from decimal import Decimal

from rich.console import Console
from rich.markup import escape

from exness_streams.client.http import MarketsSeen
from exness_streams.messages import MarketMessage
from exness_streams.terminal.fitting import Column, FittedTable
from exness_streams.terminal.market_state_view import state_in_words
from exness_streams.terminal.tables import price, show

_SIMULATED = "[bold yellow]SIMULATED PRICES[/]"


def show_markets(console: Console, seen: MarketsSeen) -> None:
    """Where the prices come from, then a row an instrument."""
    feed = seen.feed
    source = _SIMULATED if feed.source == "simulated" else f"prices of {escape(feed.source)}"
    why = f": {escape(feed.reason)}" if feed.reason else ""
    show(console, f"feed {escape(feed.status)}{why}, {source}")
    show(console, markets_table(seen.markets, int(time.time() * 1000)) if seen.markets else "nothing is on offer")


def markets_table(markets: list[MarketMessage], now_ms: int) -> FittedTable:
    """Bid, ask and their difference, the last price, how old the quote is, whether it can be traded."""
    columns = (
        Column("Symbol", is_figure=False),
        Column("Bid"),
        Column("Ask"),
        Column("Spread", goes=4),
        Column("%", goes=5),
        Column("Last", goes=3),
        Column("Age", goes=2),
        Column("Max leverage", goes=6),
        Column("Tradable", is_figure=False, goes=1),
    )
    return FittedTable(
        columns,
        (
            (
                escape(market.symbol),
                price(market.bid),
                price(market.ask),
                *_spread(market),
                price(market.price),
                age(market.timestamp, now_ms),
                f"{market.max_leverage:f}x",
                "[green]yes[/]" if market.tradable else f"[red]no: {_why_not(market)}[/]",
            )
            for market in markets
        ),
    )


def _spread(market: MarketMessage) -> tuple[str, str]:
    """In the quote currency, and in percent of the middle."""
    if market.bid is None or market.ask is None:
        return "-", "-"
    spread, middle = market.ask - market.bid, (market.ask + market.bid) / 2
    return price(spread), f"{spread / middle * 100:.4f}" if middle else "-"


def age(timestamp_ms: int | None, now_ms: int) -> str:
    """How old a quote is; a clock that is behind the exchange's makes it 0."""
    if timestamp_ms is None:
        return "-"
    seconds = Decimal(max(0, now_ms - timestamp_ms)) / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def _why_not(market: MarketMessage) -> str:
    if market.state != "open":
        return escape(state_in_words(market.state, market.state_reason))
    if market.price is None:
        return "no price yet"
    return "a side is empty" if market.bid is None or market.ask is None else "stale"
