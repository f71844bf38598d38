"""Which of the klines that the exchange tells can be believed. Pure.

A kline's prices must be near those of the klines around it, and within reach of the price that is known now. So a
single absurd one is left out, whichever of its prices is absurd, and a whole page of them is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from statistics import median_low

from exness_streams.market_data.rest import Kline

NEIGHBOURS = 15
"""So many before and after it are looked at."""
NEAR_FACTOR = Decimal(10)
"""Of the median of their last prices. No market moves so far in a candle and stays one."""
REACH_FACTOR = Decimal(1_000)
"""Of the price known now: the oldest klines are a year old."""


def believed(klines: Sequence[Kline], known: Decimal) -> list[Kline]:
    """Those that can be believed, in their order. known: the price now, quote currency."""
    reached = [kline for kline in klines if _is_within(kline, known, REACH_FACTOR)]
    lasts = [kline.close for kline in reached]
    return [
        kline
        for nth, kline in enumerate(reached)
        if _is_within(kline, median_low(lasts[max(0, nth - NEIGHBOURS) : nth + NEIGHBOURS + 1]), NEAR_FACTOR)
    ]


def _is_within(kline: Kline, price: Decimal, factor: Decimal) -> bool:
    # Multiplied, not divided: nothing is rounded. low and high hold all of its prices.
    return kline.low * factor >= price and kline.high <= price * factor
