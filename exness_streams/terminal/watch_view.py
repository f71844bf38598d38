"""How a Watch looks: a live table on a terminal, a line a second anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from exness_streams.terminal.fitting import Column, FittedPairs, FittedTable
from exness_streams.terminal.market_state_view import state_in_words
from exness_streams.terminal.tables import account_strip, money, orders_table, positions_table, price, signed
from exness_streams.terminal.watching import QuoteSeen, Watch

LINE_S = 1.0

_ARROWS = {1: "[green]▲[/]", -1: "[red]▼[/]", 0: " "}

Follow = Callable[[Callable[[], None]], None]


def show_live(console: Console, watch: Watch, follow: Follow) -> None:
    """Show it while `follow` keeps it up to date, until that raises."""
    if not console.is_terminal:
        follow(_Lines(console, watch).tick)
        return
    with Live(picture(watch), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        follow(lambda: live.update(picture(watch), refresh=True))


class _Lines:
    """Prints a line each second."""

    def __init__(self, console: Console, watch: Watch) -> None:
        self._console = console
        self._watch = watch
        self._next_s = 0.0

    def tick(self) -> None:
        """Print, if it is time and there is something to tell."""
        now_s = time.monotonic()
        if now_s < self._next_s or (self._watch.state is None and self._watch.connection == "connecting"):
            return
        self._next_s = now_s + LINE_S
        self._console.print(line(self._watch), markup=False, soft_wrap=True)
        self._console.file.flush()


SIMULATED = "SIMULATED PRICES"


class Picture:
    """Connection, account, quotes, positions, orders and news, one below the other, as much as the screen holds."""

    def __init__(self, watch: Watch) -> None:
        self._head = Text.from_markup(_head(watch), overflow="fold")
        self._parts: list[Text | FittedPairs | FittedTable] = []
        account = watch.account
        if account is not None and watch.state is not None:
            self._parts += [Text(f"account {account.account_id} (USD)", style="bold", overflow="fold")]
            self._parts += [account_strip(account, watch.state.balances["USD"])]
        self._tables = [_quotes_table(watch)] if watch.quotes else []
        if watch.positions:
            self._tables.append(positions_table(watch.positions))
        if watch.state is not None and watch.state.orders:
            self._tables.append(orders_table(watch.state.orders))
        self._news = [Text(told, style="dim", overflow="fold") for told in watch.news]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts: list[Text | FittedPairs | FittedTable] = [self._head, *self._parts]
        for table in self._tables:
            parts += [Text(), table]
        if self._news:
            parts += [Text(), *self._news]
        if console.is_terminal:
            for table in self._tables:
                table.rows_max = console.height
            self._shorten(sum(len(console.render_lines(part, options)) for part in parts) - console.height, options)
        yield from parts

    def _shorten(self, lines_over: int, options: ConsoleOptions) -> None:
        """Leave out rows, of the longest table first, until the picture is so many lines less."""
        for table in sorted(self._tables, key=lambda table: len(table.rows), reverse=True):
            if lines_over <= 0:
                return
            before = table.height(options.max_width)
            shown = min(len(table.rows), table.rows_max or len(table.rows))
            lines_a_row = max(1, before // (shown + 1))
            fewer = -(-(lines_over + 1) // lines_a_row)  # a line more, for the one that counts the others
            table.rows_max = max(ROWS_MIN, shown - fewer)
            lines_over -= before - table.height(options.max_width)


ROWS_MIN = 3
"""Rows of a table that are never left out."""


def picture(watch: Watch) -> Picture:
    """What is seen now."""
    return Picture(watch)


def _head(watch: Watch) -> str:
    colour = "green" if watch.connection == "connected" else "yellow" if watch.connection == "connecting" else "red"
    mark = f" [bold yellow]{SIMULATED}[/]" if watch.is_simulated else ""
    return f"[{colour}]●[/] {escape(watch.connection)} · feed {escape(watch.feed)}{mark} · {_now()} · Ctrl-C ends"


def line(watch: Watch) -> str:
    """The same in one line of plain text."""
    parts = [_now(), watch.connection, f"feed {watch.feed}", *([SIMULATED] if watch.is_simulated else [])]
    if (account := watch.account) is not None:
        parts += [
            f"equity {money(account.equity)}",
            f"free {money(account.free_margin)}",
            f"PnL {signed(account.unrealized_pnl)}",
            f"positions {len(watch.positions)}",
        ]
    parts += [
        f"{quote.symbol} {price(quote.bid)}/{price(quote.ask)}{_in_brackets(watch, quote.symbol)}"
        for quote in watch.quotes.values()
    ]
    parts += [f"{symbol}{_in_brackets(watch, symbol)}" for symbol in watch.states if symbol not in watch.quotes]
    return "  ".join(parts)


def _quotes_table(watch: Watch) -> FittedTable:
    columns = [
        Column("Symbol", is_figure=False),
        Column("", is_figure=False, goes=1),
        Column("Price", goes=2),
        Column("Bid"),
        Column("Ask"),
    ]
    if watch.states:
        columns.append(Column("State", is_figure=False))
    return FittedTable(columns, (_quote_row(watch, quote) for quote in watch.quotes.values()))


def _quote_row(watch: Watch, quote: QuoteSeen) -> tuple[str, ...]:
    row = (escape(quote.symbol), _ARROWS[quote.direction], price(quote.price), price(quote.bid), price(quote.ask))
    if not watch.states:
        return row
    seen = watch.states.get(quote.symbol)
    return (*row, "open" if seen is None else f"[red]{escape(state_in_words(seen.state, seen.state_reason))}[/]")


def _in_brackets(watch: Watch, symbol: str) -> str:
    seen = watch.states.get(symbol)
    return "" if seen is None else f" ({state_in_words(seen.state, seen.state_reason)})"


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().strftime("%H:%M:%S")
