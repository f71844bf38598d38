"""Turns the domain's values into the public messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from exness_streams.domain.account import AccountRow, PendingOrder, Position, value_account
from exness_streams.domain.codec import CloseResult, PositionsClosed
from exness_streams.domain.events import (
    AccountReset,
    Deposited,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionModified,
    PositionOpened,
    Remainder,
)
from exness_streams.domain.formulas import opening_quantity, profit
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.instruments import Limits, Terms, base_of
from exness_streams.domain.market_facts import PriceBands
from exness_streams.domain.market_states import MarketState, MarketTold
from exness_streams.domain.money import ZERO, money_arithmetic, to_money
from exness_streams.domain.plain_numbers import in_plain_digits, plain
from exness_streams.domain.quotes import Quote
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.messages import (
    AccountMessage,
    BalanceMessage,
    CloseAllMessage,
    CloseAllResult,
    CloseMessage,
    MarketMessage,
    OrderMessage,
    PositionMessage,
    StateMessage,
)


def position_message(position: Position, mark_price: Decimal | None, *, stale: bool = False) -> PositionMessage:
    """A position valued at a mark price; without one its PnL is shown as 0."""
    return PositionMessage(
        position_id=position.position_id,
        asset=base_of(position.symbol),
        symbol=position.symbol,
        type=position.side,
        margin=position.margin,
        leverage=position.leverage,
        slippage=position.slippage,
        entry_price=position.entry_price,
        quantity=position.quantity,
        unrealized_pnl=ZERO if mark_price is None else position.unrealized_pnl(mark_price),
        timestamp=position.opened_ms,
        mark_price=mark_price,
        liquidation_price=position.liquidation_price,
        stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        fee=position.fee,
        stale=stale,
    )


def order_message(order: PendingOrder, status: str = "open") -> OrderMessage:
    """A pending order, or what became of it."""
    return OrderMessage(
        order_id=order.order_id,
        market=order.symbol,
        asset=base_of(order.symbol),
        kind=order.kind,
        type=order.side,
        side="buy" if order.side == "long" else "sell",
        price=order.price,
        quantity=order.quantity,
        margin=order.margin,
        leverage=order.leverage,
        reserved_margin=order.held,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
        expires_at=order.expires_ms,
        status=status,
        timestamp=order.placed_ms,
    )


def state_message(
    row: AccountRow, quotes: Mapping[str, Quote], margin_call_level: Decimal, stale: Collection[str] = ()
) -> StateMessage:
    """An account with its positions at the newest quotes. margin_call_level: percent. stale: symbols."""
    with money_arithmetic():
        positions = []
        for position in row.positions.values():
            quote = quotes.get(position.symbol)
            mark_price = None if quote is None else quote.mark_price(position.side)
            positions.append(position_message(position, mark_price, stale=position.symbol in stale))
        orders = [order_message(order) for order in row.orders.values()]
    return StateMessage(
        balances={"USD": row.cash, "SOL": ZERO},
        positions=positions,
        orders=orders,
        account=account_message(row, quotes, margin_call_level),
        sequence=row.sequence,
    )


def account_message(row: AccountRow, quotes: Mapping[str, Quote], margin_call_level: Decimal) -> AccountMessage:
    """An account's figures at the newest quotes."""
    value = value_account(row, quotes)
    return AccountMessage(
        account_id=row.account_id,
        balance=value.balance,
        equity=value.equity,
        used_margin=value.used_margin,
        free_margin=value.free_margin,
        margin_level=value.margin_level,
        margin_call=value.margin_level is not None and value.margin_level <= margin_call_level,
        unrealized_pnl=value.unrealized_pnl,
        realized_pnl=row.realized_pnl,
        fees=row.fees,
        deposited=row.deposited,
        starting_balance=row.starting_balance,
    )


def standing_message(event: PositionOpened | PositionModified) -> PositionMessage:
    """The answer to an open or a change: the position as it was in that moment, and told again as it was told.

    0.1.0 kept an asset as the client spelt it: so it stands in what it told.
    """
    with money_arithmetic():
        return replace(position_message(event.position, event.mark_price), asset=event.asset)


def order_event_message(event: OrderPlaced | OrderFilled | OrderCancelled | OrderExpired) -> OrderMessage:
    """The order that an event is about, with what became of it."""
    status = {OrderPlaced: "open", OrderFilled: "filled", OrderCancelled: "cancelled", OrderExpired: "expired"}
    with money_arithmetic():
        message = replace(order_message(event.order, status[type(event)]), asset=event.order.asset)
        if not isinstance(event, OrderFilled):
            return message
        quantity = opening_quantity(event.margin, event.leverage, event.fill_price, event.order.quantity_step)
    return replace(message, quantity=quantity, fill_price=event.fill_price, position_id=event.position_id)


def closed_message(event: PositionClosed) -> CloseMessage:
    """The answer to a close."""
    return CloseMessage(
        message="Position closed successfully" if event.remaining is None else "Position closed in part",
        position_id=event.position_id,
        quantity=event.quantity,
        realized_pnl=event.realized_pnl,
        close_price=event.close_price,
        fee=event.fee,
        position=_rest_message(event, event.remaining) if event.remaining else None,
    )


def _rest_message(event: PositionClosed, left: Remainder) -> PositionMessage:
    with money_arithmetic():
        loss_capped = max(profit(event.side, event.entry_price, left.mark_price, left.quantity), -left.margin)
    return PositionMessage(
        position_id=event.position_id,
        asset=event.asset,
        symbol=event.symbol,
        type=event.side,
        margin=left.margin,
        leverage=event.leverage,
        slippage=left.slippage,
        entry_price=event.entry_price,
        quantity=left.quantity,
        unrealized_pnl=loss_capped,
        timestamp=event.opened_at,
        mark_price=left.mark_price,
        liquidation_price=left.liquidation_price,
        stop_loss=left.stop_loss,
        take_profit=left.take_profit,
        fee=left.fee,
    )


def close_all_message(outcome: PositionsClosed) -> CloseAllMessage:
    """The answer to a close-all."""
    results = [_close_all_result(result) for result in outcome.results]
    closed = sum(result.closed for result in results)
    with money_arithmetic():
        realized = to_money(sum((result.realized_pnl for result in results if result.realized_pnl is not None), ZERO))
    return CloseAllMessage(
        message=f"{closed} of {len(results)} positions closed", realized_pnl=realized, results=results
    )


def _close_all_result(result: CloseResult) -> CloseAllResult:
    outcome = result.outcome
    if isinstance(outcome, PositionClosed):
        return CloseAllResult(
            position_id=result.position_id,
            closed=True,
            realized_pnl=outcome.realized_pnl,
            close_price=outcome.close_price,
            fee=outcome.fee,
        )
    return CloseAllResult(
        position_id=result.position_id,
        closed=False,
        error=outcome.code.value,
        message=in_plain_digits(outcome.words),
    )


def balance_message(event: Deposited | AccountReset) -> BalanceMessage:
    """The answer to a deposit or a reset."""
    message = f"{plain(event.amount)} USD deposited" if isinstance(event, Deposited) else "Account reset"
    return BalanceMessage(message=message, balance=event.balance, sequence=event.sequence)


def state_fields(told: MarketTold | None) -> dict[str, Any]:
    """state, state_reason and state_since of a message about a market. told: None, it is open. Since 0: not known."""
    if told is None:
        return {"state": MarketState.OPEN.value, "state_reason": None, "state_since": None}
    return {"state": told.state.value, "state_reason": told.reason.value, "state_since": told.since_ms or None}


def market_message(
    terms: Terms,
    quote: Quote | None,
    limits: Limits,
    day: DayFigures | None = None,
    listed: MarketInfo | None = None,
    *,
    is_fresh: bool,
    told: MarketTold | None = None,
) -> MarketMessage:
    """An instrument with its terms, its newest quote, its last 24 hours, what the exchange says of it, and its state.

    told: None, it is open.
    """
    return MarketMessage(
        symbol=terms.symbol,
        asset=base_of(terms.symbol),
        price=quote.price if quote else None,
        bid=quote.bid if quote else None,
        ask=quote.ask if quote else None,
        volume=quote.volume if quote else None,
        timestamp=quote.time_ms if quote else None,
        tradable=told is None and quote is not None and is_fresh and quote.is_two_sided,
        max_leverage=terms.leverage_max,
        min_margin=terms.margin_min,
        max_exposure=limits.exposure_max,
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
        spread_rate=terms.spread_rate,
        tick_size=terms.tick_size,
        step_size=terms.step_size,
        open24h=day.first if day else None,
        high24h=day.high if day else None,
        low24h=day.low if day else None,
        quote_volume24h=day.quote_volume if day else None,
        visible=listed.is_visible if listed else None,
        price_bands=listed.bands if listed and listed.bands != PriceBands() else None,
        funding_interval=listed.funding_interval_ms if listed else None,
        imf_function=listed.initial_margin if listed else None,
        mmf_function=listed.maintenance_margin if listed else None,
        **state_fields(told),
    )
