"""Commands: what a client asked for, completed at the edge with everything that decides the outcome."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.money import ONE
from exness_streams.domain.quotes import Side

OrderKind = Literal["limit", "stop"]


class IdempotencyKey(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A client's name for one request. fingerprint: digest of route and body, to tell a repeat from another use.

    version: of how fingerprints are made; another one is used only under rules of its own.
    """

    key: str
    fingerprint: str
    version: int = 1


class CommandBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every command carries.

    command_id: names the waiting client, nothing else. time_ms: when the edge took the request.
    starting_balance: USD, for an account that has no row yet.
    quote_age_ms_max: a quote older than this at time_ms fills nothing.
    credential: who acts, "session/<id>" or "key/<id>"; None for nobody in particular (identity.py).
    request_id: of the request that it was, for the events; None in older journals.
    """

    command_id: str
    account_id: str
    time_ms: int
    starting_balance: Decimal
    quote_age_ms_max: int
    limits: Limits = Limits()
    idempotency: IdempotencyKey | None = None
    credential: str | None = None
    request_id: str | None = None


class OpenPosition(CommandBase, frozen=True, kw_only=True, tag="OpenPosition"):
    """Open a position at the market. reference_price and slippage_percent only guard the fill, never set it."""

    asset: str
    terms: Terms
    side: Side
    margin: Decimal
    leverage: Decimal
    reference_price: Decimal | None = None
    slippage_percent: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


class ClosePosition(CommandBase, frozen=True, kw_only=True, tag="ClosePosition"):
    """Close a position at the market: the whole of it, a quantity, or a percentage.

    margin_min: USD; what would be left with less margin is closed, too. forgives_rounding: a quantity that differs
    from the position's by no more than a double's rounding means all of it; older journals have records without it.
    """

    position_id: str
    reference_price: Decimal | None = None
    slippage_percent: Decimal | None = None
    quantity: Decimal | None = None
    percentage: Decimal | None = None
    margin_min: Decimal = ONE
    forgives_rounding: bool = False


class CloseAllPositions(CommandBase, frozen=True, kw_only=True, tag="CloseAllPositions"):
    """Close each open position at the market; what has no market now stays open."""


class ModifyPosition(CommandBase, frozen=True, kw_only=True, tag="ModifyPosition"):
    """Set stop loss and take profit anew: None clears, unset leaves as it is."""

    position_id: str
    stop_loss: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    take_profit: Decimal | msgspec.UnsetType | None = msgspec.UNSET


class PlaceOrder(CommandBase, frozen=True, kw_only=True, tag="PlaceOrder"):
    """Open a position once the market reaches a price: a limit order at it or better, a stop order from it on.

    expires_ms: the order is dropped by the first journal record of that time or later; None: it stands until filled.
    """

    asset: str
    terms: Terms
    side: Side
    margin: Decimal
    leverage: Decimal
    kind: OrderKind
    price: Decimal
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    expires_ms: int | None = None


class CancelOrder(CommandBase, frozen=True, kw_only=True, tag="CancelOrder"):
    """Cancel a pending order."""

    order_id: str


class Deposit(CommandBase, frozen=True, kw_only=True, tag="Deposit"):
    """Add USD to an account."""

    amount: Decimal


class ResetAccount(CommandBase, frozen=True, kw_only=True, tag="ResetAccount"):
    """Begin anew: positions and orders are dropped, the balance is the starting balance again."""


Command = (
    OpenPosition
    | ClosePosition
    | CloseAllPositions
    | ModifyPosition
    | PlaceOrder
    | CancelOrder
    | Deposit
    | ResetAccount
)


def without_step(command: Command) -> Command:
    """A command as it was before rules.QUANTITY_STEPS, which knew of no step."""
    if not isinstance(command, OpenPosition | PlaceOrder) or command.terms.step_size is None:
        return command
    return msgspec.structs.replace(command, terms=msgspec.structs.replace(command.terms, step_size=None))
