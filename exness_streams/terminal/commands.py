"""The commands of a person at a terminal: looking at an account, trading, watching."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import click

from exness_streams.client.http import ApiClient, RequestFailed
from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma
from exness_streams.terminal.console import OneLine, console
from exness_streams.terminal.tables import (
    show_balance,
    show_closed,
    show_closed_all,
    show_modified,
    show_opened,
    show_order,
    show_orders,
    show_state,
    show_trades,
)

R = TypeVar("R")

_AGE = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Number(click.ParamType):
    """An exact number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(value)
        except (ArithmeticError, ValueError):
            number = Decimal("NaN")
        if not number.is_finite():
            comma = f": {DECIMAL_COMMA}" if has_decimal_comma(str(value)) else ""
            self.fail(f"{value} is not a number{comma}", param, ctx)
        return number


class Price(Number):
    """A price, or `none`, which clears what is set."""

    name = "price|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return "none" if value == "none" else super().convert(value, param, ctx)


class Age(click.ParamType):
    """A time from now on."""

    name = "30s|15m|8h|7d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _AGE.fullmatch(value)
        if found is None:
            self.fail(f"{value} is no time from now on, such as 30s, 15m, 8h or 7d", param, ctx)
        return int(found[1]) * _UNIT_MS[found[2]]


NUMBER, PRICE, AGE = Number(), Price(), Age()

_url_option = click.option("--url", envvar="EXNESS_URL", default="http://127.0.0.1:4000", show_default=True)
_account_option = click.option("--account", envvar="EXNESS_ACCOUNT", default="demo", show_default=True)
_slippage_option = click.option("--slippage", type=NUMBER, help="percent worse than the price now that is still taken")
_stop_loss_option = click.option("--stop-loss", type=NUMBER, help="price at which it is closed with a loss")
_take_profit_option = click.option("--take-profit", type=NUMBER, help="price at which it is closed with a gain")


def _asked(url: str, account: str, ask: Callable[[ApiClient], R]) -> R:
    try:
        return ask(ApiClient(url, account))
    except RequestFailed as error:
        raise OneLine(str(error)) from None


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that were given, as the API names them."""
    return {_camel(name): value for name, value in fields.items() if value is not None}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@click.command()
@_url_option
@_account_option
def state(url: str, account: str) -> None:
    """The account: balances, positions, orders, PnL."""
    show_state(console, _asked(url, account, ApiClient.state))


@click.command("open")
@click.argument("asset")
@click.argument("side", type=click.Choice(["long", "short"]))
@click.option("--margin", type=NUMBER, required=True, help="USD")
@click.option("--leverage", type=NUMBER, default="1", show_default=True)
@_slippage_option
@_stop_loss_option
@_take_profit_option
@_url_option
@_account_option
def open_(asset: str, side: str, url: str, account: str, **terms: Decimal | None) -> None:
    """Open a position at the market."""
    fields = _given(asset=asset, type=side, **terms)
    show_opened(console, _asked(url, account, lambda client: client.open(fields)))


@click.command()
@click.argument("position_id")
@click.option("--quantity", type=NUMBER, help="close only so much, in the base asset")
@click.option("--percent", type=NUMBER, help="close only so much of it")
@_slippage_option
@_url_option
@_account_option
def close(
    position_id: str,
    quantity: Decimal | None,
    percent: Decimal | None,
    slippage: Decimal | None,
    url: str,
    account: str,
) -> None:
    """Close a position at the market, or a part of it."""
    if quantity is not None and percent is not None:
        raise click.UsageError("--quantity or --percent, not both")
    fields = _given(position_id=position_id, quantity=quantity, percentage=percent, slippage=slippage)
    show_closed(console, _asked(url, account, lambda client: client.close(fields)))


@click.command("close-all")
@_url_option
@_account_option
def close_all(url: str, account: str) -> None:
    """Close every position at the market. Exit code 1 when one stays open."""
    closed = _asked(url, account, ApiClient.close_all)
    show_closed_all(console, closed)
    if not all(result.closed for result in closed.results):
        raise OneLine("not every position was closed")


@click.command()
@click.argument("position_id")
@click.option("--stop-loss", type=PRICE, help="price at which it is closed with a loss")
@click.option("--take-profit", type=PRICE, help="price at which it is closed with a gain")
@_url_option
@_account_option
def modify(position_id: str, url: str, account: str, **triggers: Decimal | str | None) -> None:
    """Set a position's stop loss and take profit; `none` clears, what is left out stays."""
    wanted = _given(**triggers)
    if not wanted:
        raise click.UsageError("--stop-loss or --take-profit is needed")
    fields = {name: None if value == "none" else value for name, value in wanted.items()}
    fields["positionId"] = position_id
    show_modified(console, _asked(url, account, lambda client: client.modify(fields)))


@click.group(invoke_without_command=True)
@_url_option
@_account_option
@click.pass_context
def orders(context: click.Context, url: str, account: str) -> None:
    """The pending orders; `orders place` and `orders cancel` change them."""
    context.obj = (url, account)
    if context.invoked_subcommand is None:
        show_orders(console, _asked(url, account, ApiClient.state).orders)


@orders.command()
@click.argument("asset")
@click.argument("side", type=click.Choice(["long", "short"]))
@click.option("--kind", type=click.Choice(["limit", "stop"]), default="limit", show_default=True)
@click.option("--price", type=NUMBER, required=True, help="where it fills, or beyond")
@click.option("--margin", type=NUMBER, required=True, help="USD")
@click.option("--leverage", type=NUMBER, default="1", show_default=True)
@_stop_loss_option
@_take_profit_option
@click.option("--expires-in", type=AGE, help="drop it when this time is over")
@_url_option
@_account_option
def place(asset: str, side: str, expires_in: int | None, url: str, account: str, **terms: Any) -> None:
    """Place an order that waits for its price."""
    expires_at = None if expires_in is None else int(time.time() * 1000) + expires_in
    fields = _given(asset=asset, type=side, expires_at=expires_at, **terms)
    show_order(console, _asked(url, account, lambda client: client.place(fields)))


@orders.command()
@click.argument("order_id")
@_url_option
@_account_option
def cancel(order_id: str, url: str, account: str) -> None:
    """Take a pending order back."""
    show_order(console, _asked(url, account, lambda client: client.cancel(order_id)))


@click.command()
@click.option("--csv", "as_csv", is_flag=True, help="all of them, as CSV on standard output")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="of the table")
@click.option("--symbol", help="only those of SOL_USDC, for example")
@click.option("--reason", type=click.Choice(["manual", "stop_loss", "take_profit", "liquidation"]))
@_url_option
@_account_option
def trades(as_csv: bool, limit: int, url: str, account: str, **filters: str | None) -> None:
    """The closed trades, newest first."""
    wanted = {name: value for name, value in filters.items() if value is not None}
    if as_csv:
        _asked(url, account, lambda client: _write_csv(client, wanted))
        return
    show_trades(console, _asked(url, account, lambda client: list(client.trades(limit, wanted))))


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


@click.command()
@click.argument("amount", type=NUMBER)
@_url_option
@_account_option
def deposit(amount: Decimal, url: str, account: str) -> None:
    """Add USD to the account."""
    show_balance(console, _asked(url, account, lambda client: client.deposit({"amount": amount})))


@click.command()
@click.option("--yes", is_flag=True, help="do not ask")
@_url_option
@_account_option
def reset(yes: bool, url: str, account: str) -> None:
    """Begin anew: drops positions and orders, and sets the balance to what it was at first."""
    if not yes:
        click.confirm(f"Drop every position and order of account {account}?", abort=True)
    show_balance(console, _asked(url, account, ApiClient.reset))


@click.command()
@_url_option
@_account_option
def watch(url: str, account: str) -> None:
    """Quotes, positions and PnL as they change; a line a second when the output is no terminal. Ctrl-C ends it."""
    from exness_streams.client.stream import follow
    from exness_streams.terminal.watch_view import show_live
    from exness_streams.terminal.watching import Watch

    seen = Watch(account)
    try:
        show_live(console, seen, lambda on_tick: follow(url, seen, on_tick))
    except RequestFailed as error:
        raise OneLine(str(error)) from None
    except KeyboardInterrupt:
        return


CLIENT_COMMANDS = (state, open_, close, close_all, modify, orders, trades, deposit, reset, watch)
"""For `main`, which lists its commands by name."""
