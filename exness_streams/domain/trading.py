"""What each command and each crossed trigger does to one account row. Pure: row in, row and event out."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from exness_streams.domain import margin as formulas
from exness_streams.domain.account import AccountRow, Position
from exness_streams.domain.commands import ClosePosition, Command, OpenPosition
from exness_streams.domain.events import CloseReason, Event, PositionClosed, PositionOpened
from exness_streams.domain.instruments import Terms
from exness_streams.domain.money import AMOUNT_MAX, ONE, ZERO, to_money
from exness_streams.domain.quotes import Quote, Side
from exness_streams.domain.rejections import Rejection, RejectionCode


class Change(NamedTuple):
    """A row after one event."""

    row: AccountRow
    event: Event


class Moment(NamedTuple):
    """Where in the journal something happens: ids are made of it."""

    partition: int
    offset: int
    nth: int
    time_ms: int

    @property
    def event_id(self) -> str:
        return f"{self.partition}-{self.offset}-{self.nth}"

    @property
    def position_id(self) -> str:
        return f"pos_{self.partition}_{self.offset}"


def check_terms(command: Command) -> Rejection | None:
    """The checks that need neither account nor market; the edge makes them before it writes to the journal."""
    if isinstance(command, ClosePosition):
        return None
    terms = command.terms
    ceiling = leverage_ceiling(terms)
    if not (command.leverage.is_finite() and ONE <= command.leverage <= ceiling):
        return Rejection(
            RejectionCode.INVALID_LEVERAGE,
            f"leverage must be from 1 to {ceiling} for {terms.symbol}",
            {"field": "leverage", "min": "1", "max": str(ceiling)},
        )
    if not (command.margin.is_finite() and terms.margin_min <= command.margin <= AMOUNT_MAX):
        return Rejection(
            RejectionCode.INVALID_MARGIN,
            f"margin must be at least {terms.margin_min} USD",
            {"field": "margin", "min": str(terms.margin_min)},
        )
    return None


def leverage_ceiling(terms: Terms) -> Decimal:
    """The highest leverage on offer: above 1 / maintenance rate a position would be born in liquidation."""
    rate = terms.maintenance_margin_rate
    if rate <= ZERO or ONE / rate > terms.leverage_max:
        return terms.leverage_max
    return max(ONE, (ONE / rate).to_integral_value("ROUND_CEILING") - ONE)


def open_position(row: AccountRow, command: OpenPosition, quote: Quote | None, moment: Moment) -> Change | Rejection:
    """Fill a market order that opens, or say why not."""
    refused = check_terms(command)
    if refused is not None:
        return refused
    terms, side = command.terms, command.side
    entry = _tradable_price(command, terms.symbol, quote, opens=side)
    if isinstance(entry, Rejection):
        return entry
    assert quote is not None
    margin = to_money(command.margin)
    quantity = formulas.opening_quantity(margin, command.leverage, entry)
    liquidation = formulas.liquidation_price(side, entry, command.leverage, terms.maintenance_margin_rate)
    fee = formulas.fill_fee(quantity, entry, terms.fee_rate)
    mark = quote.mark_price(side)
    refused = _refuse_opening(row, command, margin, quantity, entry, liquidation, mark, fee)
    if refused is not None:
        return refused
    event = PositionOpened(
        event_id=moment.event_id,
        account_id=row.account_id,
        sequence=row.sequence + 1,
        timestamp=moment.time_ms,
        position_id=moment.position_id,
        symbol=terms.symbol,
        asset=command.asset,
        side=side,
        margin=margin,
        leverage=command.leverage,
        quantity=quantity,
        entry_price=entry,
        liquidation_price=liquidation,
        mark_price=mark,
        fee=fee,
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
        slippage=command.slippage_percent,
        balance=to_money(row.balance - fee),
    )
    position = event.position
    opened = msgspec.structs.replace(
        row,
        cash=to_money(row.cash - position.margin - fee),
        fees=to_money(row.fees + fee),
        sequence=row.sequence + 1,
        positions={**row.positions, position.position_id: position},
    )
    return Change(opened, event)


def _refuse_opening(
    row: AccountRow,
    command: OpenPosition,
    margin: Decimal,
    quantity: Decimal,
    entry: Decimal,
    liquidation: Decimal,
    mark: Decimal,
    fee: Decimal,
) -> Rejection | None:
    long = command.side == "long"
    if liquidation > ZERO and (mark <= liquidation if long else mark >= liquidation):
        return Rejection(
            RejectionCode.INVALID_LEVERAGE,
            f"at leverage {command.leverage} the spread alone would liquidate the position at once",
            {"field": "leverage"},
        )
    if quantity <= ZERO:
        return Rejection(
            RejectionCode.INVALID_MARGIN,
            f"margin is too small to buy anything at {entry}",
            {"field": "margin"},
        )
    needed = to_money(margin + fee)
    if needed > row.cash:
        return Rejection(
            RejectionCode.INSUFFICIENT_MARGIN,
            f"{needed} USD needed (margin and fee), {row.cash} USD free",
            {"required": str(needed), "available": str(row.cash)},
        )
    refused = _refuse_slippage(command, buys=long, fill=entry)
    if refused is not None:
        return refused
    limit = command.limits.open_positions_max
    if len(row.positions) >= limit:
        return Rejection(
            RejectionCode.LIMIT_REACHED, f"at most {limit} positions may be open at a time", {"max": limit}
        )
    return None


def close_position(row: AccountRow, command: ClosePosition, quote: Quote | None, moment: Moment) -> Change | Rejection:
    """Fill a market order that closes, or say why not."""
    position = row.positions.get(command.position_id)
    if position is None:
        return position_not_found(command.position_id)
    price = _tradable_price(command, position.symbol, quote, closes=position.side)
    if isinstance(price, Rejection):
        return price
    refused = _refuse_slippage(command, buys=position.side == "short", fill=price)
    if refused is not None:
        return refused
    return fill_close(row, position, price, "manual", moment)


def fill_close(row: AccountRow, position: Position, price: Decimal, reason: CloseReason, moment: Moment) -> Change:
    """Close a position at a price: the loss is capped at the margin, the fee at what is left of it."""
    side, quantity, held = position.side, position.quantity, position.margin
    realized = formulas.realized_profit(side, position.entry_price, price, quantity, held)
    fee = min(formulas.fill_fee(quantity, price, position.fee_rate), to_money(held + realized))
    event = PositionClosed(
        event_id=moment.event_id,
        account_id=row.account_id,
        sequence=row.sequence + 1,
        timestamp=moment.time_ms,
        position_id=position.position_id,
        symbol=position.symbol,
        asset=position.asset,
        side=side,
        margin=held,
        leverage=position.leverage,
        quantity=quantity,
        entry_price=position.entry_price,
        close_price=price,
        realized_pnl=realized,
        fee=fee,
        reason=reason,
        opened_at=position.opened_ms,
        balance=to_money(row.balance + realized - fee),
    )
    closed = msgspec.structs.replace(
        row,
        cash=to_money(row.cash + held + realized - fee),
        realized_pnl=to_money(row.realized_pnl + realized),
        fees=to_money(row.fees + fee),
        sequence=row.sequence + 1,
        positions={name: p for name, p in row.positions.items() if name != position.position_id},
    )
    return Change(closed, event)


def position_not_found(position_id: str) -> Rejection:
    """No such position is open: never was, or is closed by now."""
    return Rejection(RejectionCode.POSITION_NOT_FOUND, f"no open position {position_id}", {"positionId": position_id})


def price_unavailable(symbol: str, why: str) -> Rejection:
    """The market of a symbol can't be traded on now."""
    return Rejection(RejectionCode.PRICE_UNAVAILABLE, f"no price to trade {symbol} on: {why}", {"symbol": symbol})


def refuse_stale(quote: Quote | None, symbol: str, time_ms: int, age_ms_max: int) -> Rejection | None:
    """Whether a quote may fill orders at `time_ms`; asked by the edge beforehand and by the fold, which decides."""
    if quote is None:
        return price_unavailable(symbol, "no quote has arrived yet")
    if not quote.is_fresh(time_ms, age_ms_max):
        age = time_ms - quote.time_ms
        return price_unavailable(symbol, f"the last quote is {age} ms old, at most {age_ms_max} ms is allowed")
    return None


def _tradable_price(
    command: Command,
    symbol: str,
    quote: Quote | None,
    *,
    opens: Side | None = None,
    closes: Side | None = None,
) -> Decimal | Rejection:
    refused = refuse_stale(quote, symbol, command.time_ms, command.quote_age_ms_max)
    if refused is not None:
        return refused
    assert quote is not None
    price = quote.opening_price(opens) if opens else quote.closing_price(closes or "long")
    if price is None:
        buys = opens == "long" or closes == "short"
        return price_unavailable(symbol, f"the market has no {'ask' if buys else 'bid'}")
    return price


def _refuse_slippage(command: OpenPosition | ClosePosition, *, buys: bool, fill: Decimal) -> Rejection | None:
    reference, tolerance = command.reference_price, command.slippage_percent
    if reference is None or tolerance is None:
        return None
    if not formulas.is_beyond_slippage(buys, fill, reference, tolerance):
        return None
    return Rejection(
        RejectionCode.SLIPPAGE_EXCEEDED,
        f"the market is at {fill}, more than {tolerance} % worse than {reference}",
        {"price": str(fill), "referencePrice": str(reference), "slippage": str(tolerance)},
    )
