"""The commands that look at the market and at an account."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from exness_streams.terminal.arguments import INSTRUMENT, REASON
from exness_streams.terminal.command import Command
from exness_streams.terminal.console import EXIT_FAILED, console
from exness_streams.terminal.desk import Desk, at_a_desk, write

if TYPE_CHECKING:
    from exness_streams.client.http import ApiClient


@click.command(cls=Command)
@click.argument("asset", type=INSTRUMENT, required=False)
@at_a_desk
def markets(desk: Desk, asset: str | None) -> None:
    """Show what is on offer: prices, spread, how old they are and where they come from.

    ASSET, a base asset or a symbol, shows one instrument alone.
    """
    from exness_streams.client.documents import markets_document
    from exness_streams.terminal.market_view import show_markets

    seen, document = desk.ask(lambda client: (client.markets(), client.answered))
    if asset is None:
        desk.tell(seen, show_markets, document)
        return
    symbol = desk.symbol_among(asset, seen.markets)
    document, seen = markets_document(document, symbol)
    desk.tell(seen, show_markets, document)


@click.command(cls=Command)
@at_a_desk
def state(desk: Desk) -> None:
    """Show the account: balances, positions, orders, PnL."""
    from exness_streams.terminal.tables import show_state

    desk.answer(lambda client: client.state(), show_state)


@click.command(cls=Command)
@click.option("--csv", "as_csv", is_flag=True, help="Write all of them as CSV to standard output.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many are shown, the newest first."
)
@click.option("--symbol", type=INSTRUMENT, help="Show only those of an instrument, such as SOL or SOL_USDC.")
@click.option(
    "--reason", type=REASON, metavar=f"[{REASON.name}]", help="Show only those that were closed for this reason."
)
@at_a_desk
def trades(desk: Desk, as_csv: bool, limit: int, symbol: str | None, reason: str | None) -> None:
    """Show the closed trades, newest first."""
    if as_csv and desk.as_json:
        raise click.UsageError("--csv or --json, not both")
    filters = {} if reason is None else {"reason": reason}
    if symbol is not None:
        filters["symbol"] = desk.symbol_of(symbol, may_be_gone=True)
    if as_csv:
        desk.ask(lambda client: _write_csv(client, filters))
    elif desk.as_json:
        write(desk.ask(lambda client: _as_one_document(client, limit, filters)))
    else:
        from exness_streams.terminal.tables import show_trades

        show_trades(console(), desk.ask(lambda client: list(client.trades(limit, filters))))


def _as_one_document(client: ApiClient, limit: int, filters: dict[str, str]) -> bytes:
    from exness_streams.client.documents import trades_document

    return trades_document([client.answered for _ in client.trade_pages(limit, filters)])


def _write_csv(client: ApiClient, filters: dict[str, str]) -> None:
    from exness_streams.api.views.csv_trades import header_line, trade_lines

    output, pages = click.get_binary_stream("stdout"), client.trades(None, filters)
    first = next(pages, None)  # a refusal comes before the first line
    output.write(header_line())
    if first is not None:
        output.write(trade_lines([first]))
    for trade in pages:
        output.write(trade_lines([trade]))
    output.flush()


def _write_line(line: bytes) -> None:
    try:
        write(line)
    except BrokenPipeError:
        # Who read it has gone, not the stream. What is still buffered can't be written when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None


def _complain(why: str) -> None:
    from exness_streams.messages import ErrorMessage, json_encoder

    click.echo(json_encoder.encode(ErrorMessage(f"disconnected: {why}", "DISCONNECTED")), err=True)


@click.command(cls=Command)
@at_a_desk
def watch(desk: Desk) -> None:
    """Show quotes, positions and PnL as they change. Ctrl-C ends it.

    When the output is no terminal, a line a second. With --json, each message of the live stream as a line.
    """
    from exness_streams.client.refusals import RequestFailed
    from exness_streams.client.stream import Follower, follow
    from exness_streams.terminal.watch_view import show_live
    from exness_streams.terminal.watching import JsonLines, Watch

    def live(follower: Follower, on_tick: Callable[[], None]) -> None:
        follow(desk.url, follower, on_tick, token=desk.token, is_plain_allowed=desk.is_plain_allowed)

    try:
        if desk.as_json:
            live(JsonLines(desk.account, _write_line, _complain), lambda: None)
        else:
            seen = Watch(desk.account)
            show_live(console(), seen, lambda on_tick: live(seen, on_tick))
    except RequestFailed as failed:
        raise desk.fault(failed) from None
    except KeyboardInterrupt:
        return
