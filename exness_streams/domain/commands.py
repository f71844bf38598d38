"""Commands: what a client asked for, completed at the edge with everything that decides the outcome."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.quotes import Side


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A client's name for one request. fingerprint: digest of route and body, to tell a repeat from another use."""

    key: str
    fingerprint: str


class CommandBase(msgspec.Struct, frozen=True, kw_only=True):
    """What every command carries.

    command_id: names the waiting client, nothing else. time_ms: when the edge took the request.
    starting_balance: USD, for an account that has no row yet.
    quote_age_ms_max: a quote older than this at time_ms fills nothing.
    """

    command_id: str
    account_id: str
    time_ms: int
    starting_balance: Decimal
    quote_age_ms_max: int
    limits: Limits = Limits()
    idempotency: IdempotencyKey | None = None


class OpenPosition(CommandBase, frozen=True, kw_only=True, tag="OpenPosition"):
    """Open a position at the market. reference_price and slippage_percent only guard the fill, never set it."""

    asset: str
    terms: Terms
    side: Side
    margin: Decimal
    leverage: Decimal
    reference_price: Decimal | None = None
    slippage_percent: Decimal | None = None


class ClosePosition(CommandBase, frozen=True, kw_only=True, tag="ClosePosition"):
    """Close a whole position at the market."""

    position_id: str
    reference_price: Decimal | None = None
    slippage_percent: Decimal | None = None


Command = OpenPosition | ClosePosition
