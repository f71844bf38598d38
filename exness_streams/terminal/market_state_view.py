"""How the states of markets look."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from exness_streams.client.market_states import MarketStateSeen, MarketStatesSeen
from exness_streams.terminal.fitting import Column, FittedTable
from exness_streams.terminal.tables import moment, price, sentence, show

_WHO = {
    "operator": "an operator",
    "exchange": "the exchange",
    "price_guard": "the price guard",
    "not_offered": "not offered any more",
}


def words_of(state: str) -> str:
    """A state for a person."""
    return state.replace("_", "-")


def who_says(reason: str | None) -> str:
    """Who holds a market back, for a person."""
    return "" if reason is None else _WHO.get(reason, reason)


def state_in_words(state: str, reason: str | None) -> str:
    """A state and who says so, as short as can be."""
    return words_of(state) if reason is None else f"{words_of(state)}: {who_says(reason)}"


def show_market_state(console: Console, seen: MarketStateSeen) -> None:
    """What became of a decision. Another may hold the market back more than this one does."""
    at = "" if seen.settlement_price is None else f" at {price(seen.settlement_price)}"
    sentence(console, f"{escape(seen.symbol)} is [bold]{escape(words_of(seen.state))}[/]{at}")
    decided = "open" if seen.decided is None else seen.decided.state
    if decided != seen.state:
        who = escape(who_says(seen.state_reason))
        sentence(console, f"decided is {escape(words_of(decided))}, but {who} holds it back")


def show_market_states(console: Console, seen: MarketStatesSeen) -> None:
    """A market a row."""
    columns = (
        Column("Symbol", is_figure=False),
        Column("State", is_figure=False),
        Column("By", is_figure=False),
        Column("Since", is_figure=False, goes=1),
        Column("Decided", is_figure=False, goes=2),
    )
    rows = (
        (
            escape(one.symbol),
            escape(words_of(one.state))
            + ("" if one.settlement_price is None else f" at {price(one.settlement_price)}"),
            escape(who_says(one.state_reason)),
            "" if one.state_since is None else moment(one.state_since),
            "" if one.decided is None else escape(words_of(one.decided.state)),
        )
        for one in seen.markets
    )
    show(console, FittedTable(columns, rows))
