"""The commands of pending orders."""

from __future__ import annotations

import time
from typing import Any

import click

from exness_streams.terminal.arguments import AGE, INSTRUMENT, KIND, NUMBER, ORDER_ID, SIDE
from exness_streams.terminal.command import Command, Group
from exness_streams.terminal.desk import Desk, at_a_desk
from exness_streams.terminal.trading import (
    given,
    leverage_option,
    margin_option,
    stop_loss_option,
    take_profit_option,
)


@click.group(cls=Group, invoke_without_command=True)
@at_a_desk
def orders(desk: Desk) -> None:
    """Show the pending orders; `orders place` and `orders cancel` change them."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    from exness_streams.client.documents import orders_document
    from exness_streams.terminal.tables import show_orders

    state, document = desk.ask(lambda client: (client.state(), client.answered))
    desk.tell(state.orders, show_orders, orders_document(document))


@orders.command()
@click.argument("asset", type=INSTRUMENT)
@click.argument("side", type=SIDE)
@click.option(
    "--kind",
    type=KIND,
    metavar="[limit|stop]",
    default="limit",
    show_default=True,
    help="Whether it waits for a better price (limit) or a worse one (stop).",
)
@click.option("--price", type=NUMBER, required=True, help="The price at which it is filled, or beyond.")
@margin_option
@leverage_option
@stop_loss_option
@take_profit_option
@click.option("--expires-in", type=AGE, metavar="[30s|15m|8h|7d]", help="Drop it when this time is over.")
@at_a_desk
def place(desk: Desk, asset: str, side: str, expires_in: int | None, **terms: Any) -> None:
    """Place an order that waits for its price. A limit order whose price the market has reached is filled at once.

    ASSET is a base asset or a symbol, such as SOL or SOL_USDC, in any case. SIDE is long (or buy), or short (or sell).
    """
    from exness_streams.terminal.tables import show_order

    expires_at = None if expires_in is None else int(time.time() * 1000) + expires_in
    fields = given(type=side, expires_at=expires_at, **terms)
    desk.order(asset, lambda client, name: client.place({"asset": name, **fields}), show_order)


@orders.command()
@click.argument("order_id", type=ORDER_ID)
@at_a_desk
def cancel(desk: Desk, order_id: str) -> None:
    """Cancel a pending order.

    ORDER_ID is that of `orders`, such as ord_0_2.
    """
    from exness_streams.terminal.tables import show_order

    desk.answer(lambda client: client.cancel(order_id), show_order)


@click.command("cancel-all", cls=Command)
@click.argument("asset", type=INSTRUMENT, required=False)
@at_a_desk
def cancel_all(desk: Desk, asset: str | None) -> None:
    """Take every pending order back, or every one of an instrument. Exit code 1 when one stays.

    ASSET is a base asset or a symbol, such as SOL or SOL_USDC, in any case.
    """
    from exness_streams.client.cancelling import cancel_all as cancel_each
    from exness_streams.messages import json_encoder
    from exness_streams.terminal.tables import show_cancelled_all

    symbol = None if asset is None else desk.symbol_of(asset)
    waiting = desk.ask(lambda client: client.state()).orders
    order_ids = [order.order_id for order in waiting if symbol in (None, order.market)]
    done = desk.ask(lambda client: cancel_each(client, order_ids))
    desk.tell(done, show_cancelled_all, json_encoder.encode(done))
    if not done.is_complete:
        raise desk.failure("NOT_ALL_CANCELLED", "not every order was cancelled")
