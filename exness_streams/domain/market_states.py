"""What may be done in a market, when it is not open: told in the frames by the ticks' owner, kept by every cell.

A list of them is told whole and again and again, so that a cell that missed one comes to it by the next. It says how
things stand at the end of its frame.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import msgspec


class MarketState(str, Enum):
    """The values are stable: they are in the journal, and public.

    CLOSE_ONLY: positions may be closed, and none opened. SUSPENDED: the newest prices are not believed yet. HALTED:
    nothing is traded. In these two nothing is filled or triggered, either. SETTLED: every position was closed at one
    price, for good.
    """

    OPEN = "open"
    CLOSE_ONLY = "close_only"
    SUSPENDED = "suspended"
    HALTED = "halted"
    SETTLED = "settled"


class StateReason(str, Enum):
    """Who says so; the values are stable."""

    OPERATOR = "operator"
    EXCHANGE = "exchange"
    PRICE_GUARD = "price_guard"
    NOT_OFFERED = "not_offered"


class MarketTold(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A market that is not open. since_ms: by the clock of the ticks' owner. price: of a settlement, quote currency."""

    symbol: str
    state: MarketState
    reason: StateReason
    since_ms: int
    price: Decimal | None = None


def is_traded(told: MarketTold | None) -> bool:
    """Whether anything fills in a market, if only closes. told: None, it is open."""
    return told is None or told.state in (MarketState.OPEN, MarketState.CLOSE_ONLY)


Markets = tuple[MarketTold, ...]
"""All markets that are not open, by symbol."""
