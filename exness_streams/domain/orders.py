"""What placing, filling, cancelling and expiring a pending order does to an account row. Pure, as positions.py."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

import msgspec

from exness_streams.domain import formulas
from exness_streams.domain.account import AccountRow, PendingOrder, Position
from exness_streams.domain.checks import (
    check_terms,
    is_reached,
    market_price,
    refuse_entry,
    refuse_funds,
    refuse_limits,
    refuse_small,
    refuse_spread,
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
from exness_streams.domain.triggers import TriggerKind, first_exit

PlaceOf = Callable[[int], JournalPlace]
"""The place in the journal of the nth change from here."""


def place_order(row: AccountRow, command: PlaceOrder, quote: Quote | None, at: JournalPlace) -> Transition | Rejection:
    """Let an order wait for its price with margin and fee held, or say why not. Before rules.ORDERS_AT_MARKET."""
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
        refuse_small(order.quantity, order.price, order.quantity_step)
        or refuse_entry(order.side, order.kind, order.price, market)
        or refuse_triggers(order.side, order.stop_loss, order.take_profit, liquidation=liquidation, market=order.price)
        or refuse_funds(row, order.held)
        or refuse_limits(row, command.limits, order.symbol, order.margin * order.leverage)
    )
    if refused is not None:
        return refused
    return _placed(row, order, at)


def place_or_fill(
    row: AccountRow, command: PlaceOrder, quote: Quote | None, place_of: PlaceOf
) -> list[Transition] | Rejection:
    """Let an order wait for its price; fill a limit order at once whose price the market has reached; or say why not.

    Such a limit order is a market order that names the worst price it takes: it is filled at the market and checked as
    one. An order that waits is checked at its own price. Since rules.ORDERS_AT_MARKET.
    """
    refused = check_terms(command)
    if refused is not None:
        return refused
    market = market_price(command, command.terms.symbol, quote, place_of(0), buys=command.side == "long", opens=True)
    if isinstance(market, Rejection):
        return market
    quote = cast(Quote, quote)  # market_price refuses an absent one
    order = _order_of(command, place_of(0))
    at_market = order.kind == "limit" and is_reached(order.side, order.kind, order.price, market)
    entry, mark = (market if at_market else order.price), quote.mark_price(order.side)
    liquidation, liquidation_now = _liquidation(order, entry), _liquidation(order, market)
    refused = (
        refuse_spread(order.side, order.leverage, liquidation=liquidation_now, mark=mark)
        or refuse_small(_quantity(order, entry), entry, order.quantity_step)
        or refuse_entry(order.side, order.kind, order.price, market, at_market=at_market)
        or refuse_triggers(
            order.side,
            order.stop_loss,
            order.take_profit,
            liquidation=liquidation,
            market=mark if at_market else order.price,
        )
        or refuse_funds(row, order.held)
        or refuse_limits(row, command.limits, order.symbol, order.margin * order.leverage)
    )
    if refused is not None:
        return refused
    placed = _placed(row, order, place_of(0))
    if not at_market:
        return [placed]
    position = _position_of(order, market, place_of(0))
    return [placed, *_filled(placed.row, order, position, mark, lambda nth: place_of(nth + 1))]


def _liquidation(order: PendingOrder, entry: Decimal) -> Decimal:
    return formulas.liquidation_price(order.side, entry, order.leverage, order.maintenance_margin_rate)


def _placed(row: AccountRow, order: PendingOrder, at: JournalPlace) -> Transition:
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
        quantity=formulas.opening_quantity(margin, command.leverage, command.price, terms.quantity_step),
        # A quantity is rounded down, so no fill's notional is above margin × leverage, whatever its price.
        reserved_fee=to_money(margin * command.leverage * terms.fee_rate),
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
        placed_ms=at.time_ms,
        stop_loss=command.stop_loss,
        take_profit=command.take_profit,
        expires_ms=command.expires_ms,
        quantity_step=terms.quantity_step,
    )


def _quantity(order: PendingOrder, price: Decimal) -> Decimal:
    return formulas.opening_quantity(order.margin, order.leverage, price, order.quantity_step)


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
    row: AccountRow, order: PendingOrder, price: Decimal, quote: Quote, place_of: PlaceOf, *, looks: bool
) -> list[Transition]:
    """Turn an order into a position at the price of the tick that reached it.

    quote: the newest; of a frame, the last one. looks: whether to cancel what would be closed where it is opened, which
    is done since rules.ORDERS_AT_MARKET.
    """
    position = _position_of(order, price, place_of(1))
    if position.quantity <= ZERO:
        return [cancel_order(row, order, "unfillable", place_of(0))]
    reason = _stillborn(position, quote) if looks else None
    if reason is not None:
        return [cancel_order(row, order, reason, place_of(0))]
    return _filled(row, order, position, quote.mark_price(order.side), place_of)


def _stillborn(position: Position, quote: Quote) -> CancelReason | None:
    """Why a position would be closed where it is opened, None when it would not.

    The market has passed one of its own exits by the price of its fill: or by what it can be closed at, where only the
    spread lies between. That is so at the fill's own tick, and while the market's opening side is no worse later in the
    frame: a tick that is told by its step says nothing of the other side.
    """
    side, entry = position.side, position.entry_price
    worth = entry
    opening, closing = quote.opening_price(side), quote.closing_price(side)
    if opening is not None and closing is not None:
        long = side == "long"
        if opening >= entry if long else opening <= entry:
            worth = min(entry, closing) if long else max(entry, closing)
    passed = {first_exit(position, worth), first_exit(position, entry)} - {None}
    if not passed:
        return None
    return "liquidation" if TriggerKind.LIQUIDATION in passed else "exit_passed"


def _position_of(order: PendingOrder, price: Decimal, at: JournalPlace) -> Position:
    quantity = _quantity(order, price)
    return Position(
        position_id=order.position_id,
        symbol=order.symbol,
        asset=order.asset,
        side=order.side,
        margin=order.margin,
        leverage=order.leverage,
        quantity=quantity,
        entry_price=price,
        liquidation_price=_liquidation(order, price),
        fee_rate=order.fee_rate,
        maintenance_margin_rate=order.maintenance_margin_rate,
        fee=formulas.fill_fee(quantity, price, order.fee_rate),
        opened_ms=at.time_ms,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
        quantity_step=order.quantity_step,
    )


def _filled(
    row: AccountRow, order: PendingOrder, position: Position, mark: Decimal, place_of: PlaceOf
) -> list[Transition]:
    """mark: what the position could be closed at when it becomes live."""
    first, second = place_of(0), place_of(1)
    filled = OrderFilled(
        **first.head(row),  # type: ignore[arg-type]
        **order_fields(order),  # type: ignore[arg-type]
        balance=row.balance,
        position_id=order.position_id,
        fill_price=position.entry_price,
    )
    released = _without(row, order)
    return [Transition(released, filled), opened(released, position, mark, second, order.order_id)]
