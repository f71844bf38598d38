"""The command of operators: what may be done in a market."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from exness_streams.terminal.arguments import INSTRUMENT, NUMBER, Word
from exness_streams.terminal.command import Command
from exness_streams.terminal.desk import Desk, at_a_desk

if TYPE_CHECKING:
    from exness_streams.client.http import ApiClient
    from exness_streams.client.market_states import MarketStatesSeen

_STATES = {
    "halt": "halted", "close_only": "close_only", "open": "open", "settle": "settled", "halted": "halted",
    "settled": "settled",
}  # fmt: skip
STATE = Word(_STATES, ("halt", "close-only", "open", "settle"), "state of a market")


@click.command(cls=Command)
@click.argument("symbol", type=INSTRUMENT, required=False)
@click.argument("state", type=STATE, required=False, metavar=f"[{STATE.name}]")
@click.option("--price", type=NUMBER, help="The price of a settlement, if another than the last one.")
@click.option("--yes", is_flag=True, help="Do not ask whether a settlement is meant.")
@at_a_desk
def market(desk: Desk, symbol: str | None, state: str | None, price: Decimal | None, yes: bool) -> None:
    """For operators: halt a market, let positions in it be closed only, open it again, or settle it.

    halt: nothing fills and nothing triggers. close-only: positions can be closed, and none opened. open: takes back
    what was decided; what the exchange or the price guard says stays. settle: closes every position in it at one price
    and cancels its orders, for good.

    SYMBOL is a symbol or a base asset, such as SOL_USDC or SOL. Without a state it is shown how the market is, without
    a symbol how all are. On a platform without sign-in the operator is whoever is at its machine.
    """
    from exness_streams.terminal.market_state_view import show_market_state, show_market_states

    if price is not None and state != "settled":
        raise click.UsageError("--price is of a settlement alone: market SYMBOL settle --price NUMBER")
    if symbol is None:
        desk.answer(lambda client: client.market_states(), show_market_states)
        return
    if state is None:
        name = symbol
        desk.answer(lambda client: _only(desk, name, client), show_market_states)
        return
    if state == "settled" and not yes and sys.stdin.isatty():
        at = "its last price" if price is None else f"{price:f}"
        click.confirm(f"Close every position in {symbol} at {at}, for good?", abort=True)
    fields = {"state": state} if price is None else {"state": state, "price": price}
    desk.order(symbol, lambda client, name: client.decide_market({"symbol": name, **fields}), show_market_state)


def _only(desk: Desk, name: str, client: ApiClient) -> MarketStatesSeen:
    from exness_streams.client.market_states import MarketStatesSeen
    from exness_streams.terminal.names import Ambiguous, did_you_mean, find

    seen = client.market_states().markets
    named = {one.symbol.split("_", 1)[0]: one for one in reversed(seen)} | {one.symbol: one for one in seen}
    try:
        meant = find(name, named)
    except Ambiguous as ambiguous:
        raise desk.failure("UNKNOWN_ASSET", str(ambiguous)) from None
    if meant is None:
        told = f"symbol must be one of {', '.join(one.symbol for one in seen)}"
        raise desk.failure("UNKNOWN_ASSET", f"{told}{did_you_mean(name, named)}")
    return MarketStatesSeen([named[meant]])
