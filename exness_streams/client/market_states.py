"""How markets are, and what operators have decided of them, as the API tells it."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class DecisionSeen(msgspec.Struct, frozen=True):
    """What an operator has decided. since: ms since the epoch. price: of a settlement."""

    state: str
    since: int
    price: Decimal | None = None


class MarketStateSeen(msgspec.Struct, frozen=True, rename="camel"):
    """How one market is; state_reason, state_since: None where it is open. decided: None when nothing was."""

    symbol: str
    state: str
    state_reason: str | None = None
    state_since: int | None = None
    settlement_price: Decimal | None = None
    decided: DecisionSeen | None = None


class MarketStatesSeen(msgspec.Struct, frozen=True):
    """Those on offer first."""

    markets: list[MarketStateSeen]
