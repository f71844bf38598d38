"""What placing, filling, cancelling and expiring a pending order does to an account row. Pure, as positions.py."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from exness_streams.domain import formulas
from exness_streams.domain.account import AccountRow, PendingOrder, Position
from exness_streams.domain.checks import (
    check_terms,
    market_price,
    refuse_entry,
    refuse_funds,
    refuse_limits,
    refuse_small,
    refuse_triggers,
)
from exness_streams.domain.commands import PlaceOrder
from exness_streams.domain.events import (
    CancelReason,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    order_fields,
)
from exness_streams.domain.money import ZERO, to_money
from exness_streams.domain.positions import opened
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.transition import JournalPlace, Transition


def place_order(row: AccountRow, command: PlaceOrder, quote: Quote | None, at: JournalPlace) -> Transition | Rejection:
    """Let an order wait for its price with margin and fee held, or say why not."""
    refused = check_terms(command)
    if refused is not None:
        return refused
    market = market_price(command, command.terms.symbol, quote, at, buys=command.side == "long", opens=True)
    if isinstance(market, Rejection):
        return market
    order = _order_of(command, at)
    terms = command.terms
    liquidation = formulas.liquidation_price(order.side, order.price, order.leverage, terms.maintenance_margin_rate)
    refused = (
        refuse_small(order.quantity, order.price)
        or refuse_entry(order.side, order.kind, order.price, market)
        or refuse_triggers(order.side, order.stop_loss, order.take_profit, liquidation=liquidation, market=order.price)
        or refuse_funds(row, order.held)
        or refuse_limits(row, command.limits, order.symbol, order.margin * order.leverage)
    )
    if refused is not None:
        return refused
    event = OrderPlaced(**at.head(row), **order_fields(order), balance=row.balance)  # type: ignore[arg-type]
    placed = msgspec.structs.replace(
        row,
        cash=to_money(row.cash - order.held),
        sequence=row.sequence + 1,
        orders={**row.orders, order.order_id: order},
    )
    return Transition(placed, event)


def _order_of(command: PlaceOrder, at: JournalPlace) -> PendingOrder:
    terms, margin = command.terms, to_money(command.margin)
    return PendingOrder(
        order_id=at.order_id,
        symbol=terms.symbol,
        asset=command.asset,
        side=command.side,
        kind=command.kind,
        price=command.price,
        margin=margin,
        leverage=command.leverage,
        quantity=formulas.opening_quantity(margin, command.leverage, command.price),
        # A quantity is rounded down, so no fill's notional is above margin × leverage, whatever its price.
        reserved_fee=to_money(margin * command.leverage * terms.fee_rate),
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
        placed_ms=at.time_ms,
        stop_loss=command.stop_loss,
        take_profit=command.take_profit,
        expires_ms=command.expires_ms,
    )


def _without(row: AccountRow, order: PendingOrder) -> AccountRow:
    return msgspec.structs.replace(
        row,
        cash=to_money(row.cash + order.held),
        sequence=row.sequence + 1,
        orders={name: each for name, each in row.orders.items() if name != order.order_id},
    )


def cancel_order(row: AccountRow, order: PendingOrder, reason: CancelReason, at: JournalPlace) -> Transition:
    """Take an order out; what it held is free again."""
    event = OrderCancelled(
        **at.head(row),  # type: ignore[arg-type]
        **order_fields(order),  # type: ignore[arg-type]
        balance=row.balance,
        reason=reason,
    )
    return Transition(_without(row, order), event)


def expire_order(row: AccountRow, order: PendingOrder, at: JournalPlace) -> Transition:
    """Take an order out whose time is over."""
    event = OrderExpired(**at.head(row), **order_fields(order), balance=row.balance)  # type: ignore[arg-type]
    return Transition(_without(row, order), event)


def fill_order(
    row: AccountRow, order: PendingOrder, price: Decimal, mark: Decimal, place_of: Callable[[int], JournalPlace]
) -> list[Transition]:
    """Turn an order into a position at the price of the tick that reached it.

    mark: what the position could be closed at when it becomes live. place_of: the place of the nth change from here.
    """
    quantity = formulas.opening_quantity(order.margin, order.leverage, price)
    if quantity <= ZERO:
        return [cancel_order(row, order, "unfillable", place_of(0))]
    first, second = place_of(0), place_of(1)
    filled = OrderFilled(
        **first.head(row),  # type: ignore[arg-type]
        **order_fields(order),  # type: ignore[arg-type]
        balance=row.balance,
        position_id=order.position_id,
        fill_price=price,
    )
    position = Position(
        position_id=order.position_id,
        symbol=order.symbol,
        asset=order.asset,
        side=order.side,
        margin=order.margin,
        leverage=order.leverage,
        quantity=quantity,
        entry_price=price,
        liquidation_price=formulas.liquidation_price(order.side, price, order.leverage, order.maintenance_margin_rate),
        fee_rate=order.fee_rate,
        maintenance_margin_rate=order.maintenance_margin_rate,
        fee=formulas.fill_fee(quantity, price, order.fee_rate),
        opened_ms=second.time_ms,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
    )
    released = _without(row, order)
    return [Transition(released, filled), opened(released, position, mark, second, order.order_id)]
