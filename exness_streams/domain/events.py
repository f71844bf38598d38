"""Events: what happened to an account. Public, on `trading-events` (key: account id), in order per account."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from exness_streams.domain.account import Position
from exness_streams.domain.quotes import Side

CloseReason = Literal["manual", "stop_loss", "take_profit", "liquidation"]


class EventBase(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type"):
    """event_id: `<partition>-<offset>-<n>` of the journal record. sequence: counts the account's events from 1.

    timestamp: ms since the epoch, from the record that caused it.
    """

    event_id: str
    account_id: str
    sequence: int
    timestamp: int


class PositionOpened(EventBase, frozen=True, kw_only=True, tag="PositionOpened"):
    """A market order filled. mark_price: what the position could be closed at in that moment."""

    position_id: str
    symbol: str
    asset: str
    side: Side
    margin: Decimal
    leverage: Decimal
    quantity: Decimal
    entry_price: Decimal
    liquidation_price: Decimal
    mark_price: Decimal
    fee: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    slippage: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    balance: Decimal

    @property
    def position(self) -> Position:
        """The position as it stood when it was opened."""
        return Position(
            position_id=self.position_id,
            symbol=self.symbol,
            asset=self.asset,
            side=self.side,
            margin=self.margin,
            leverage=self.leverage,
            quantity=self.quantity,
            entry_price=self.entry_price,
            liquidation_price=self.liquidation_price,
            fee_rate=self.fee_rate,
            maintenance_margin_rate=self.maintenance_margin_rate,
            fee=self.fee,
            opened_ms=self.timestamp,
            slippage=self.slippage,
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
        )


class PositionClosed(EventBase, frozen=True, kw_only=True, tag="PositionClosed"):
    """A position was closed: by its owner, or by the market at a trigger.

    margin: USD released. fee: USD of this fill. balance: free cash plus held margins afterwards.
    """

    position_id: str
    symbol: str
    asset: str
    side: Side
    margin: Decimal
    leverage: Decimal
    quantity: Decimal
    entry_price: Decimal
    close_price: Decimal
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    fee: Decimal
    reason: CloseReason
    opened_at: int
    balance: Decimal


Event = PositionOpened | PositionClosed
