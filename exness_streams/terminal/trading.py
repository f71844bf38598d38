"""The commands that trade at the market, and those of the account's money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from exness_streams.terminal.arguments import INSTRUMENT, NUMBER, POSITION_ID, PRICE, SIDE
from exness_streams.terminal.command import Command
from exness_streams.terminal.desk import Desk, at_a_desk

margin_option = click.option("--margin", type=NUMBER, required=True, help="The margin, in USD.")
leverage_option = click.option(
    "--leverage", type=NUMBER, default="1", show_default=True, help="How many times the margin is traded."
)
stop_loss_option = click.option(
    "--stop-loss", type=NUMBER, help="The price at which the position is closed with a loss."
)
take_profit_option = click.option(
    "--take-profit", type=NUMBER, help="The price at which the position is closed with a gain."
)
_slippage_option = click.option(
    "--slippage", type=NUMBER, help="How many percent worse than the price now are still taken."
)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given, as the API names them."""
    return {_camel(name): value for name, value in fields.items() if value is not None}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@click.command("open", cls=Command)
@click.argument("asset", type=INSTRUMENT)
@click.argument("side", type=SIDE)
@margin_option
@leverage_option
@_slippage_option
@stop_loss_option
@take_profit_option
@at_a_desk
def open_(desk: Desk, asset: str, side: str, **terms: Decimal | None) -> None:
    """Open a position at the market.

    ASSET is a base asset or a symbol, such as SOL or SOL_USDC, in any case. SIDE is long (or buy), or short (or sell).
    """
    from exness_streams.terminal.tables import show_opened

    fields = given(type=side, **terms)
    desk.order(asset, lambda client, name: client.open({"asset": name, **fields}), show_opened)


@click.command(cls=Command)
@click.argument("position_id", type=POSITION_ID)
@click.option("--quantity", type=NUMBER, help="Close only so much, in the base asset.")
@click.option("--percent", type=NUMBER, help="Close only so many percent of it.")
@_slippage_option
@at_a_desk
def close(
    desk: Desk, position_id: str, quantity: Decimal | None, percent: Decimal | None, slippage: Decimal | None
) -> None:
    """Close a position at the market, or a part of it.

    POSITION_ID is that of `state`, such as pos_0_67.
    """
    if quantity is not None and percent is not None:
        raise click.UsageError("--quantity or --percent, not both")
    from exness_streams.terminal.tables import show_closed

    fields = given(position_id=position_id, quantity=quantity, percentage=percent, slippage=slippage)
    desk.answer(lambda client: client.close(fields), show_closed)


@click.command("close-all", cls=Command)
@at_a_desk
def close_all(desk: Desk) -> None:
    """Close every position at the market. Exit code 1 when one stays open."""
    from exness_streams.terminal.tables import show_closed_all

    closed = desk.answer(lambda client: client.close_all(), show_closed_all)
    if not all(result.closed for result in closed.results):
        raise desk.failure("NOT_ALL_CLOSED", "not every position was closed")


@click.command(cls=Command)
@click.argument("position_id", type=POSITION_ID)
@click.option(
    "--stop-loss", type=PRICE, metavar="[NUMBER|none]", help="The price at which the position is closed with a loss."
)
@click.option(
    "--take-profit", type=PRICE, metavar="[NUMBER|none]", help="The price at which the position is closed with a gain."
)
@at_a_desk
def modify(desk: Desk, position_id: str, **triggers: Decimal | str | None) -> None:
    """Set a position's stop loss and take profit; `none` clears, what is left out stays.

    POSITION_ID is that of `state`, such as pos_0_67.
    """
    wanted = given(**triggers)
    if not wanted:
        raise click.UsageError("--stop-loss or --take-profit is needed")
    from exness_streams.terminal.tables import show_modified

    fields = {name: None if value == "none" else value for name, value in wanted.items()}
    fields["positionId"] = position_id
    desk.answer(lambda client: client.modify(fields), show_modified)


@click.command(cls=Command)
@click.argument("amount", type=NUMBER)
@at_a_desk
def deposit(desk: Desk, amount: Decimal) -> None:
    """Add USD to the account."""
    from exness_streams.terminal.tables import show_balance

    desk.answer(lambda client: client.deposit({"amount": amount}), show_balance)


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
@at_a_desk
def reset(desk: Desk, yes: bool) -> None:
    """Begin anew: drops positions and orders, and sets the balance to what it was at first."""
    if not yes and desk.as_json:
        raise click.UsageError("--json asks nothing: --yes is needed, too")
    if not yes:
        whose = "the account that is signed in" if desk.account is None else f"account {desk.account}"
        click.confirm(f"Drop every position and order of {whose}?", abort=True)
    from exness_streams.terminal.tables import show_balance

    desk.answer(lambda client: client.reset(), show_balance)
