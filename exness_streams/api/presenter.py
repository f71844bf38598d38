"""From the domain's values to the public messages."""

from __future__ import annotations

from decimal import Decimal

from exness_streams.domain.account import AccountRow, Position, value_account
from exness_streams.domain.events import PositionClosed, PositionOpened
from exness_streams.domain.instruments import Terms, base_of
from exness_streams.domain.money import ZERO, money_arithmetic
from exness_streams.domain.quotes import Quote
from exness_streams.messages import AccountMessage, CloseMessage, MarketMessage, PositionMessage, StateMessage


def position_message(position: Position, mark_price: Decimal | None) -> PositionMessage:
    """A position valued at a mark price; without one its PnL is shown as 0."""
    return PositionMessage(
        position_id=position.position_id,
        asset=position.asset,
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
    )


def state_message(row: AccountRow, quotes: dict[str, Quote]) -> StateMessage:
    """An account with its positions at the newest quotes."""
    with money_arithmetic():
        positions = []
        for position in row.positions.values():
            quote = quotes.get(position.symbol)
            positions.append(position_message(position, None if quote is None else quote.mark_price(position.side)))
        value = value_account(row, quotes)
    return StateMessage(
        balances={"USD": row.cash, "SOL": ZERO},
        positions=positions,
        orders=[],
        account=AccountMessage(
            account_id=row.account_id,
            balance=value.balance,
            equity=value.equity,
            used_margin=value.used_margin,
            free_margin=value.free_margin,
            margin_level=value.margin_level,
            unrealized_pnl=value.unrealized_pnl,
            realized_pnl=row.realized_pnl,
        ),
        sequence=row.sequence,
    )


def opened_message(event: PositionOpened) -> PositionMessage:
    """The answer to an open: the position as it was in that moment."""
    with money_arithmetic():
        return position_message(event.position, event.mark_price)


def closed_message(event: PositionClosed) -> CloseMessage:
    """The answer to a close."""
    return CloseMessage(
        message="Position closed",
        position_id=event.position_id,
        realized_pnl=event.realized_pnl,
        close_price=event.close_price,
        fee=event.fee,
        position=None,
    )


def market_message(terms: Terms, quote: Quote | None, *, is_fresh: bool) -> MarketMessage:
    """An instrument with its terms and its newest quote."""
    two_sided = quote is not None and quote.bid is not None and quote.ask is not None
    return MarketMessage(
        symbol=terms.symbol,
        asset=base_of(terms.symbol),
        price=quote.price if quote else None,
        bid=quote.bid if quote else None,
        ask=quote.ask if quote else None,
        volume=quote.volume if quote else None,
        timestamp=quote.time_ms if quote else None,
        tradable=is_fresh and two_sided,
        max_leverage=terms.leverage_max,
        min_margin=terms.margin_min,
        fee_rate=terms.fee_rate,
        maintenance_margin_rate=terms.maintenance_margin_rate,
    )
