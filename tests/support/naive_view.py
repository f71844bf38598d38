"""What happened to a cell, in the terms of the naive reference; and a run's inputs through that reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from naive_reference import Reference
from naive_rules import (
    Closing,
    Effect,
    Exits,
    NaiveOrder,
    NaivePosition,
    Opening,
    Placing,
    Tick,
    liquidation_of,
)

from exness_streams.domain.account import AccountRow, PendingOrder, Position
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    Deposit,
    ModifyPosition,
    OpenPosition,
    PlaceOrder,
    ResetAccount,
)
from exness_streams.domain.events import (
    AccountReset,
    Deposited,
    Event,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionModified,
    PositionOpened,
)
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection

if TYPE_CHECKING:
    from history_run import Run

Amount = Decimal | int | None
Told = tuple[str, Decimal | int, Decimal | int, Decimal | int, Sequence[Amount]]


class Ticks(NamedTuple):
    """What one frame was made of. time_ms: None when nothing had moved and there was no frame."""

    time_ms: int | None
    ticks: list[tuple[str, Quote]]


def fraction(amount: Decimal | str | int | None) -> Fraction | None:
    return None if amount is None else Fraction(amount)


def tick_of(symbol: str, quote: Quote) -> Tick:
    return Tick(symbol, fraction(quote.bid), fraction(quote.ask), Fraction(quote.price))


def naive_position(birth: int, position: Position) -> NaivePosition:
    return NaivePosition(
        birth,
        position.symbol,
        position.side == "long",
        Fraction(position.margin),
        Fraction(position.quantity),
        Fraction(position.entry_price),
        Fraction(position.liquidation_price),
        Fraction(position.fee_rate),
        fraction(position.stop_loss),
        fraction(position.take_profit),
        Fraction(position.leverage),
        Fraction(position.fee),
        fraction(position.quantity_step),
    )


def naive_order(birth: int, order: PendingOrder) -> NaiveOrder:
    return NaiveOrder(
        birth,
        order.symbol,
        order.side == "long",
        order.kind == "limit",
        Fraction(order.price),
        Fraction(order.margin),
        Fraction(order.leverage),
        Fraction(order.reserved_fee),
        Fraction(order.fee_rate),
        Fraction(order.maintenance_margin_rate),
        order.expires_ms,
        Exits(fraction(order.stop_loss), fraction(order.take_profit)),
        fraction(order.quantity_step),
    )


def check_row(row: AccountRow) -> None:
    """What holds in every account after every record."""
    assert row.is_conserved, row
    assert row.cash >= 0
    assert row.balance >= 0
    for position in row.positions.values():
        assert position.margin > 0
        assert position.quantity > 0
        assert position.fee >= 0
        assert position.quantity_step is None or Fraction(position.quantity) % Fraction(position.quantity_step) == 0
        assert Fraction(position.liquidation_price) == liquidation_of(
            position.side == "long",
            Fraction(position.entry_price),
            Fraction(position.leverage),
            Fraction(position.maintenance_margin_rate),
        )


def item_of(event: Event) -> str:
    """The id of the position or order that an event is about, empty when it is about neither."""
    if isinstance(event, PositionOpened | PositionModified | PositionClosed):
        return event.position_id
    return "" if isinstance(event, Deposited | AccountReset) else event.order_id


def told(event: Event) -> Told:
    """(kind, price, amount, fee, rest), as in Effect."""
    match event:
        case PositionOpened():
            rest: Sequence[Amount] = (event.margin, event.liquidation_price, event.stop_loss, event.take_profit)
            return "opened", event.entry_price, event.quantity, event.fee, rest
        case PositionModified():
            rest = (event.stop_loss, event.take_profit, event.liquidation_price)
            return "modified", event.entry_price, event.quantity, event.fee, rest
        case PositionClosed():
            left = event.remaining
            remaining = (0, 0, 0) if left is None else (left.quantity, left.margin, left.fee)
            rest = (event.quantity, event.margin, event.entry_fee, *remaining)
            return event.reason, event.close_price, event.realized_pnl, event.fee, rest
        case Deposited():
            return "deposited", 0, event.amount, 0, ()
        case AccountReset():
            return "reset", 0, 0, 0, (len(event.positions_dropped), len(event.orders_dropped))
    return _told_of_order(event)


def _told_of_order(event: OrderPlaced | OrderFilled | OrderCancelled | OrderExpired) -> Told:
    match event:
        case OrderPlaced():
            kind, price = "placed", event.price
        case OrderFilled():
            kind, price = "filled", event.fill_price
        case OrderCancelled():
            kind, price = event.reason, event.price
        case OrderExpired():
            kind, price = "expired", event.price
    return kind, price, event.margin, 0, ()


def close_all_text(outcomes: Sequence[object]) -> str:
    """How a close-all went, in one line."""
    return "close-all " + " ".join(
        one.code.value if isinstance(one, Rejection) else one if isinstance(one, str) else "closed" for one in outcomes
    )


def naive_run(run: Run, starting_balance: Decimal, open_max: int, exposure_max: Decimal) -> NaiveRun:
    """What a run was given, through the reference: the ticks of each frame one by one, as they came."""
    reference = Reference(Fraction(starting_balance), open_max, Fraction(exposure_max))
    effects: list[Effect | str] = []
    births = 0
    for item in run.inputs:
        if item.time_ms is not None:
            effects.extend(reference.expire(item.time_ms))
        if isinstance(item, Ticks):
            effects.extend(reference.frame(tick_of(symbol, quote) for symbol, quote in item.ticks))
        else:
            effects.extend(effects_of(run, reference, item, births))
            births += 1
    return NaiveRun(reference, effects)


class NaiveRun(NamedTuple):
    reference: Reference
    effects: list[Effect | str]


def effects_of(run: Run, reference: Reference, command: Command, birth: int) -> Iterator[Effect | str]:
    """What a command does. birth: its number, by which what it opens is known. run: tells numbers of names."""
    name = command.account_id
    match command:
        case OpenPosition():
            yield reference.open(_opening(command), birth)
        case PlaceOrder():
            waiting = Placing(_opening(command), command.kind == "limit", Fraction(command.price), command.expires_ms)
            yield from reference.place(waiting, birth, command.time_ms)
        case ClosePosition():
            guard = fraction(command.reference_price), fraction(command.slippage_percent)
            part = fraction(command.quantity), fraction(command.percentage)
            yield reference.close(Closing(name, run.birth(command.position_id), *guard, *part))
        case ModifyPosition():
            changes = {
                field: fraction(price)
                for field, price in (("stop_loss", command.stop_loss), ("take_profit", command.take_profit))
                if not isinstance(price, msgspec.UnsetType)
            }
            yield reference.modify(name, run.birth(command.position_id), changes)
        case CancelOrder():
            yield reference.cancel(name, run.birth(command.order_id))
        case CloseAllPositions():
            results = reference.close_all(name)
            yield from (result for result in results if isinstance(result, Effect))
            yield close_all_text(results)
        case Deposit():
            yield reference.deposit(name, Fraction(command.amount))
        case ResetAccount():
            yield reference.reset(name)


def _opening(command: OpenPosition | PlaceOrder) -> Opening:
    reference, slippage = None, None
    if isinstance(command, OpenPosition):
        reference, slippage = fraction(command.reference_price), fraction(command.slippage_percent)
    return Opening(
        command.account_id,
        command.terms.symbol,
        command.side == "long",
        Fraction(command.margin),
        Fraction(command.leverage),
        reference,
        slippage,
        Fraction(command.terms.fee_rate),
        Fraction(command.terms.maintenance_margin_rate),
        Exits(fraction(command.stop_loss), fraction(command.take_profit)),
        fraction(command.terms.step_size),
    )
