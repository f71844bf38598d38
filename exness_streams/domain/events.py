"""Events: what happened to an account. Public, on `trading-events` (key: account id), in order per account."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from exness_streams.domain.account import PendingOrder, Position
from exness_streams.domain.commands import OrderKind
from exness_streams.domain.money import ZERO
from exness_streams.domain.quotes import Side

CloseReason = Literal["manual", "stop_loss", "take_profit", "liquidation", "settlement"]
CancelReason = Literal["client", "unfillable", "close_only", "settlement", "exit_passed", "liquidation"]
Cause = str | msgspec.UnsetType | None
Step = Decimal | msgspec.UnsetType


class EventBase(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type"):
    """event_id: `<partition>-<offset>-<n>` of the journal record. sequence: counts the account's events from 1.

    timestamp: ms since the epoch, from the record that caused it. caused_by: the id (X-Request-Id) of the request that
    caused it, null when the market or the time did; absent in records of releases before it was told.
    """

    event_id: str
    account_id: str
    sequence: int
    timestamp: int
    caused_by: Cause = msgspec.UNSET


class PositionEvent(EventBase, frozen=True, kw_only=True):
    """A position as it stands after the event. mark_price: what it could be closed at in that moment.

    fee: USD paid at open, of what is still open. balance: free cash plus held margins. quantity_step: base asset, what
    is closed of it is a multiple of that; absent when none is known, and in records of releases before it was told.
    """

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
    quantity_step: Step = msgspec.UNSET

    def position_since(self, opened_ms: int) -> Position:
        """The position that the event describes."""
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
            opened_ms=opened_ms,
            slippage=self.slippage,
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            quantity_step=_known(self.quantity_step),
        )


class PositionOpened(PositionEvent, frozen=True, kw_only=True, tag="PositionOpened"):
    """A market order filled, or a pending one (order_id)."""

    order_id: str | None = None

    @property
    def position(self) -> Position:
        """The position as it stood when it was opened."""
        return self.position_since(self.timestamp)


class PositionModified(PositionEvent, frozen=True, kw_only=True, tag="PositionModified"):
    """Stop loss or take profit were set anew. opened_at: ms since the epoch."""

    opened_at: int

    @property
    def position(self) -> Position:
        """The position as it stands now."""
        return self.position_since(self.opened_at)


class Remainder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of a position that was closed in part. Entry, leverage, liquidation price stay what they were."""

    quantity: Decimal
    margin: Decimal
    fee: Decimal
    liquidation_price: Decimal
    mark_price: Decimal
    slippage: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


class PositionClosed(EventBase, frozen=True, kw_only=True, tag="PositionClosed"):
    """A position was closed, in whole or in part: by its owner, or by the market at a trigger.

    margin, quantity: what was closed; margin USD is released. fee: USD of this fill. entry_fee: USD, that part of
    the fee paid at open which belongs to what was closed. balance: free cash plus held margins afterwards.
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
    entry_fee: Decimal = ZERO
    reason: CloseReason
    opened_at: int
    balance: Decimal
    remaining: Remainder | None = None


class OrderEvent(EventBase, frozen=True, kw_only=True):
    """A pending order as it was placed. price: where it fills, or beyond. margin, reserved_fee: USD it holds.

    quantity: base asset, if filled at that price. placed_at, expires_at: ms since the epoch. quantity_step: as in
    PositionEvent.
    """

    order_id: str
    symbol: str
    asset: str
    side: Side
    kind: OrderKind
    price: Decimal
    margin: Decimal
    leverage: Decimal
    quantity: Decimal
    reserved_fee: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    placed_at: int
    expires_at: int | None = None
    balance: Decimal
    quantity_step: Step = msgspec.UNSET

    @property
    def order(self) -> PendingOrder:
        """The order as it was placed."""
        return PendingOrder(
            order_id=self.order_id,
            symbol=self.symbol,
            asset=self.asset,
            side=self.side,
            kind=self.kind,
            price=self.price,
            margin=self.margin,
            leverage=self.leverage,
            quantity=self.quantity,
            reserved_fee=self.reserved_fee,
            fee_rate=self.fee_rate,
            maintenance_margin_rate=self.maintenance_margin_rate,
            placed_ms=self.placed_at,
            stop_loss=self.stop_loss,
            take_profit=self.take_profit,
            expires_ms=self.expires_at,
            quantity_step=_known(self.quantity_step),
        )


class OrderPlaced(OrderEvent, frozen=True, kw_only=True, tag="OrderPlaced"):
    """A limit or stop order waits for its price. A limit order whose price the market has reached is filled next."""


class OrderFilled(OrderEvent, frozen=True, kw_only=True, tag="OrderFilled"):
    """The market reached it: the account's next event is the PositionOpened that it became."""

    position_id: str
    fill_price: Decimal


class OrderCancelled(OrderEvent, frozen=True, kw_only=True, tag="OrderCancelled"):
    """Taken back, or not filled where the market reached it.

    unfillable: the margin buys nothing at that price, or less than one step. exit_passed, liquidation: the position
    would have been closed where it was opened, by its own stop loss or take profit, or by liquidation.
    """

    reason: CancelReason


class OrderExpired(OrderEvent, frozen=True, kw_only=True, tag="OrderExpired"):
    """Its time was over before the market reached it."""


class Deposited(EventBase, frozen=True, kw_only=True, tag="Deposited"):
    """USD were added. balance: afterwards."""

    amount: Decimal
    balance: Decimal


class AccountReset(EventBase, frozen=True, kw_only=True, tag="AccountReset"):
    """The account began anew: its positions and orders are gone without a trade, its totals are zero."""

    balance: Decimal
    positions_dropped: list[str]
    orders_dropped: list[str]


Event = (
    PositionOpened
    | PositionModified
    | PositionClosed
    | OrderPlaced
    | OrderFilled
    | OrderCancelled
    | OrderExpired
    | Deposited
    | AccountReset
)


def order_fields(order: PendingOrder) -> dict[str, object]:
    """The fields that every event of an order carries."""
    return {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "asset": order.asset,
        "side": order.side,
        "kind": order.kind,
        "price": order.price,
        "margin": order.margin,
        "leverage": order.leverage,
        "quantity": order.quantity,
        "reserved_fee": order.reserved_fee,
        "fee_rate": order.fee_rate,
        "maintenance_margin_rate": order.maintenance_margin_rate,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
        "placed_at": order.placed_ms,
        "expires_at": order.expires_ms,
        "quantity_step": _told(order.quantity_step),
    }


def position_fields(position: Position) -> dict[str, object]:
    """The fields that every event of a standing position carries."""
    return {
        "position_id": position.position_id,
        "symbol": position.symbol,
        "asset": position.asset,
        "side": position.side,
        "margin": position.margin,
        "leverage": position.leverage,
        "quantity": position.quantity,
        "entry_price": position.entry_price,
        "liquidation_price": position.liquidation_price,
        "fee": position.fee,
        "fee_rate": position.fee_rate,
        "maintenance_margin_rate": position.maintenance_margin_rate,
        "slippage": position.slippage,
        "stop_loss": position.stop_loss,
        "take_profit": position.take_profit,
        "quantity_step": _told(position.quantity_step),
    }


def _told(step: Decimal | None) -> Step:
    return msgspec.UNSET if step is None else step


def _known(step: Step) -> Decimal | None:
    return None if step is msgspec.UNSET else step
