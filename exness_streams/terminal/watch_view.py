"""How a Watch looks: a live table on a terminal, a line a second anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from exness_streams.terminal.tables import account_strip, money, orders_table, plain_table, positions_table, price
from exness_streams.terminal.watching import Watch

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


def picture(watch: Watch) -> RenderableType:
    """Connection, account, quotes, positions, orders and news, one below the other."""
    colour = "green" if watch.connection == "connected" else "yellow" if watch.connection == "connecting" else "red"
    mark = f" [bold yellow]{SIMULATED}[/]" if watch.is_simulated else ""
    head = f"[{colour}]●[/] {escape(watch.connection)} · feed {escape(watch.feed)}{mark} · {_now()} · Ctrl-C ends"
    parts: list[RenderableType] = [head]
    account = watch.account
    if account is not None and watch.state is not None:
        parts.append(account_strip(account, watch.state.balances["USD"]))
    if watch.quotes:
        parts += ["", _quotes_table(watch)]
    if watch.positions:
        parts += ["", positions_table(watch.positions)]
    if watch.state is not None and watch.state.orders:
        parts += ["", orders_table(watch.state.orders)]
    if watch.news:
        parts += ["", *(f"[dim]{escape(told)}[/]" for told in watch.news)]
    return Group(*parts)


def line(watch: Watch) -> str:
    """The same in one line of plain text."""
    parts = [_now(), watch.connection, f"feed {watch.feed}", *([SIMULATED] if watch.is_simulated else [])]
    if (account := watch.account) is not None:
        parts += [
            f"equity {money(account.equity)}",
            f"free {money(account.free_margin)}",
            f"PnL {account.unrealized_pnl:+,.2f}",
            f"positions {len(watch.positions)}",
        ]
    parts += [f"{quote.symbol} {price(quote.bid)}/{price(quote.ask)}" for quote in watch.quotes.values()]
    return "  ".join(parts)


def _quotes_table(watch: Watch) -> Table:
    table = plain_table(("Symbol", ""), ("Price", "Bid", "Ask"))
    for quote in watch.quotes.values():
        table.add_row(
            escape(quote.symbol), _ARROWS[quote.direction], price(quote.price), price(quote.bid), price(quote.ask)
        )
    return table


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().strftime("%H:%M:%S")
