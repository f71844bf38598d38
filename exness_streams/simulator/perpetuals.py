"""What a simulated perpetual has besides its prices: funding rates and open interest. Pure.

Index and mark price are the last trade's: the simulator invents one market, not several.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

from exness_streams.simulator.market import Listing

FUNDING_INTERVAL_S = 3_600
OPEN_INTEREST_S = 60
"""Open interest changes, and is told, so often."""

_RATE_PLACES = 28
"""As many as the exchange's own rates have."""
_RATE_MAX = Decimal("0.0000125")


def next_funding_s(now_s: int) -> int:
    """When funding is due next: at the full hour."""
    return (now_s // FUNDING_INTERVAL_S + 1) * FUNDING_INTERVAL_S


def funding_rate(symbol: str, end_s: int) -> Decimal:
    """The rate of the interval that ends there: a fraction of 28 decimals, one of four below zero."""
    share = Decimal(_noise(f"{symbol}/funding/{end_s}") % 10**21).scaleb(-21)
    return (_RATE_MAX * (share - Decimal("0.25"))).quantize(Decimal(1).scaleb(-_RATE_PLACES))


def open_interest(listing: Listing, now_s: int) -> int:
    """Contracts that are open, in steps of the quantity: about a tenth of a day's volume."""
    tenth = max(1, listing.daily_volume * listing.unit // 10)
    return tenth + _noise(f"{listing.symbol}/interest/{now_s // OPEN_INTEREST_S}") % (tenth // 10 + 1)


def _noise(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
