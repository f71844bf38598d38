"""The grid of an instrument's prices: which prices an order, a stop loss or a take profit may have.

The exchange tells the tick size; until it has, every price is allowed.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from exness_streams.domain.money import ZERO, canonical, money_arithmetic


def nearest_on_grid(price: Decimal, tick_size: Decimal | None) -> list[Decimal]:
    """The allowed prices next to one that is not allowed, below and above it; none when it is a multiple of the tick.

    Below the first tick there is none but that.
    """
    if tick_size is None or tick_size <= ZERO:
        return []
    ticks = Fraction(price) / Fraction(tick_size)
    if ticks.denominator == 1:
        return []
    below = ticks.numerator // ticks.denominator
    with money_arithmetic():
        return [canonical(count * tick_size) for count in (below, below + 1) if count > 0]
