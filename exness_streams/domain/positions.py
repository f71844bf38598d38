"""What opening, changing and closing a position does to an account row. Pure: row in, row and event out."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

import msgspec

from exness_streams.domain import formulas
from exness_streams.domain.account import AccountRow, Position
from exness_streams.domain.checks import (
    check_terms,
    market_price,
    refuse_funds,
    refuse_limits,
    refuse_slippage,
    refuse_small,
    refuse_spread,
    refuse_triggers,
)
from exness_streams.domain.commands import ClosePosition, ModifyPosition, OpenPosition
from exness_streams.domain.events import (
    CloseReason,
    PositionClosed,
    PositionModified,
    PositionOpened,
    Remainder,
    position_fields,
)
from exness_streams.domain.money import DOUBLE_ROUNDING, HUNDRED, ZERO, to_money, to_quantity
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.transition import JournalPlace, Transition


def open_position(
    row: AccountRow, command: OpenPosition, quote: Quote | None, at: JournalPlace
) -> Transition | Rejection:
    """Fill a market order that opens, or say why not."""
    refused = check_terms(command)
    if refused is not None:
        return refused
    entry = market_price(command, command.terms.symbol, quote, at, buys=command.side == "long", opens=True)
    if isinstance(entry, Rejection):
        return entry
    quote = cast(Quote, quote)  # market_price refuses an absent one
    position = _position_of(command, entry, at)
    refused = _refuse_opening(row, command, position, quote)
    if refused is not None:
        return refused
    return opened(row, position, quote.mark_price(position.side), at)


def _position_of(command: OpenPosition, entry: Decimal, at: JournalPlace) -> Position:
    terms, margin = command.terms, to_money(command.margin)
    quantity = formulas.opening_quantity(margin, command.leverage, entry, terms.quantity_step)
    return Position(
        position_id=at.position_id,
        symbol=terms.symbol,
        asset=command.asset,
        side=command.side,
        margin=margin,
        leverage=command.leverage,
        quantity=quantity,
        entry_price=entry,
        liquidation_price=formulas.liquidation_price(
            command.side, entry, command.leverage, terms.maintenance_margin_rate
        ),
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
        fee=formulas.fill_fee(quantity, entry, terms.fee_rate),
        opened_ms=at.time_ms,
        slippage=command.slippage_percent,
        stop_loss=command.stop_loss,
        take_profit=command.take_profit,
        quantity_step=terms.quantity_step,
    )


def _refuse_opening(row: AccountRow, command: OpenPosition, position: Position, quote: Quote) -> Rejection | None:
    long = position.side == "long"
    liquidation, mark = position.liquidation_price, quote.mark_price(position.side)
    return (
        refuse_spread(position.side, position.leverage, liquidation=liquidation, mark=mark)
        or refuse_small(position.quantity, position.entry_price, position.quantity_step)
        or refuse_triggers(
            position.side, position.stop_loss, position.take_profit, liquidation=liquidation, market=mark
        )
        or refuse_funds(row, to_money(position.margin + position.fee))
        or refuse_slippage(command, buys=long, fill=position.entry_price)
        or refuse_limits(row, command.limits, position.symbol, position.margin * position.leverage)
    )


def opened(
    row: AccountRow, position: Position, mark: Decimal, at: JournalPlace, order_id: str | None = None
) -> Transition:
    """The row with one position more: its margin is held, its fee paid."""
    event = PositionOpened(
        **at.head(row),  # type: ignore[arg-type]
        **position_fields(position),  # type: ignore[arg-type]
        mark_price=mark,
        balance=to_money(row.balance - position.fee),
        order_id=order_id,
    )
    changed = msgspec.structs.replace(
        row,
        cash=to_money(row.cash - position.margin - position.fee),
        fees=to_money(row.fees + position.fee),
        sequence=row.sequence + 1,
        positions={**row.positions, position.position_id: position},
    )
    return Transition(changed, event)


def close_position(
    row: AccountRow, position: Position, command: ClosePosition, quote: Quote | None, at: JournalPlace
) -> Transition | Rejection:
    """Fill a market order that closes a position or a part of it, or say why not."""
    price = market_price(command, position.symbol, quote, at, buys=position.side == "short", opens=False)
    if isinstance(price, Rejection):
        return price
    quantity = _closing_quantity(position, command)
    if isinstance(quantity, Rejection):
        return quantity
    refused = refuse_slippage(command, buys=position.side == "short", fill=price)
    if refused is not None:
        return refused
    return fill_close(row, position, price, "manual", at, quantity)


def _closing_quantity(position: Position, command: ClosePosition) -> Decimal | Rejection:
    """How much to close: rounded down to the step, a share at least to 8 places; what leaves too little margin closes
    all.

    So does the quantity as a double has it: a client in JavaScript was shown that.
    """
    whole, step = position.quantity, position.quantity_step
    if command.quantity is not None:
        field, asked = "quantity", command.quantity
        if command.forgives_rounding and abs(asked - whole) <= whole * DOUBLE_ROUNDING:
            return whole
        quantity = asked if step is None else to_quantity(asked, step)
    elif command.percentage is not None:
        field, asked = "percentage", whole * command.percentage / HUNDRED
        quantity = to_quantity(asked, step)
    else:
        return whole
    if quantity <= ZERO or asked > whole:
        smallest = {} if step is None else {"min": str(step)}
        return Rejection(RejectionCode.INVALID_REQUEST, details={"field": field, "max": str(whole), **smallest})
    left = position.margin - _share(position.margin, quantity, whole)
    return whole if left < command.margin_min else quantity


def _share(amount: Decimal, quantity: Decimal, whole: Decimal) -> Decimal:
    return to_money(amount if quantity == whole else amount * quantity / whole)


def fill_close(
    row: AccountRow,
    position: Position,
    price: Decimal,
    reason: CloseReason,
    at: JournalPlace,
    quantity: Decimal | None = None,
) -> Transition:
    """Close a quantity (or all) of a position at a price.

    The loss is capped at the margin of what is closed, the fee at what is left of it.
    """
    whole = position.quantity
    quantity = whole if quantity is None else quantity
    held, entry_fee = _share(position.margin, quantity, whole), _share(position.fee, quantity, whole)
    realized = formulas.realized_profit(position.side, position.entry_price, price, quantity, held)
    fee = min(formulas.fill_fee(quantity, price, position.fee_rate), to_money(held + realized))
    rest = None
    if quantity < whole:
        rest = msgspec.structs.replace(
            position,
            quantity=to_quantity(whole - quantity),
            margin=to_money(position.margin - held),
            fee=to_money(position.fee - entry_fee),
        )
    event = PositionClosed(
        **at.head(row),  # type: ignore[arg-type]
        position_id=position.position_id,
        symbol=position.symbol,
        asset=position.asset,
        side=position.side,
        margin=held,
        leverage=position.leverage,
        quantity=quantity,
        entry_price=position.entry_price,
        close_price=price,
        realized_pnl=realized,
        fee=fee,
        entry_fee=entry_fee,
        reason=reason,
        opened_at=position.opened_ms,
        balance=to_money(row.balance + realized - fee),
        remaining=None if rest is None else _remainder(rest, price),
    )
    positions = {name: each for name, each in row.positions.items() if name != position.position_id}
    if rest is not None:
        positions = {**row.positions, position.position_id: rest}
    closed = msgspec.structs.replace(
        row,
        cash=to_money(row.cash + held + realized - fee),
        realized_pnl=to_money(row.realized_pnl + realized),
        fees=to_money(row.fees + fee),
        sequence=row.sequence + 1,
        positions=positions,
    )
    return Transition(closed, event)


def _remainder(rest: Position, mark: Decimal) -> Remainder:
    return Remainder(
        quantity=rest.quantity,
        margin=rest.margin,
        fee=rest.fee,
        liquidation_price=rest.liquidation_price,
        mark_price=mark,
        slippage=rest.slippage,
        stop_loss=rest.stop_loss,
        take_profit=rest.take_profit,
    )


def modify_position(
    row: AccountRow, position: Position, command: ModifyPosition, quote: Quote | None, at: JournalPlace
) -> Transition | Rejection:
    """Set stop loss and take profit anew, or say why not. Only what is set is checked; clearing needs no market."""
    stop_loss = None if command.stop_loss is msgspec.UNSET else command.stop_loss
    take_profit = None if command.take_profit is msgspec.UNSET else command.take_profit
    if stop_loss is not None or take_profit is not None:
        market = market_price(command, position.symbol, quote, at, buys=position.side == "short", opens=False)
        if isinstance(market, Rejection):
            return market
        refused = refuse_triggers(
            position.side, stop_loss, take_profit, liquidation=position.liquidation_price, market=market
        )
        if refused is not None:
            return refused
    modified = msgspec.structs.replace(
        position,
        stop_loss=position.stop_loss if command.stop_loss is msgspec.UNSET else stop_loss,
        take_profit=position.take_profit if command.take_profit is msgspec.UNSET else take_profit,
    )
    event = PositionModified(
        **at.head(row),  # type: ignore[arg-type]
        **position_fields(modified),  # type: ignore[arg-type]
        mark_price=position.entry_price if quote is None else quote.mark_price(position.side),
        balance=row.balance,
        opened_at=position.opened_ms,
    )
    changed = msgspec.structs.replace(
        row, sequence=row.sequence + 1, positions={**row.positions, position.position_id: modified}
    )
    return Transition(changed, event)
