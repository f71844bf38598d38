"""What is made up of a market before it began to be simulated: the same walk that it then plays. No clock.

The live market takes random steps and is drawn back to an anchor, so its prices have a spread of their own and forget
where they were after `PULL_STEPS` steps. The past has the same: points so far apart are independent, of that spread,
and what lies between two of them is a Brownian bridge with the live steps' variance. The last bridge ends at the price
of the start. A bridge is filled by halves, so each minute depends on seed, symbol and time alone, whoever asks.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import NamedTuple

from exness_streams.simulator.market import PULL_STEPS, TRADE_EVERY, Listing, step_width

MINUTE_S = 60
USUAL_RATE = 10.0
"""Steps a second that are assumed of a market that stands still."""

_BLOCK_MINUTES = 4 * 60
"""Made up at a time."""
_SPARSE_EXTREMES = 0.5826
"""A walk that is seen at n points misses its extremes by this, in standard deviations of one of n parts (Broadie,
Glasserman and Kou 1997)."""


class Candle(NamedTuple):
    """Prices in ticks, volume in steps, quote_volume in ticks × steps. trades 0: nothing was traded."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int


class InventedPast:
    """The minutes before `start_minute`, of a market that then stands at `start_price` and takes `rate` steps a second.

    Prices are made with floats, since nothing is computed with them but candles, and rounded to ticks.
    """

    def __init__(self, listing: Listing, seed: int, start_price: int, start_minute: int, rate: float) -> None:
        self._listing = listing
        self._name = f"{seed}/{listing.symbol}/past"
        self._start_price = start_price
        self._start_minute = start_minute
        self._steps = MINUTE_S * (rate or USUAL_RATE)
        width = step_width(start_price)
        step_variance = width * (width + 1) / 3
        self._spread = math.sqrt(step_variance * PULL_STEPS / 2)
        self._variance = min(step_variance * self._steps, self._spread**2)
        self._apart = max(1, round(PULL_STEPS / self._steps))
        last = (start_minute - (self._apart + 1) // 2) // self._apart
        self._last_point = last * self._apart
        self._offsets: dict[int, float] = {start_minute: 0.0}
        self._blocks: dict[int, list[Candle]] = {}

    def candle(self, minute: int) -> Candle:
        """The candle of a minute before the start."""
        block, nth = divmod(minute, _BLOCK_MINUTES)
        candles = self._blocks.get(block)
        if candles is None:
            first = block * _BLOCK_MINUTES
            minutes = range(first, min(first + _BLOCK_MINUTES, self._start_minute))
            candles = self._blocks[block] = [self._made_up(one) for one in minutes]
        return candles[nth]

    def _made_up(self, minute: int) -> Candle:
        first, last = self._offset(minute), self._offset(minute + 1)
        up, down, count, amount = self._noise("bar", minute)
        sparse = _SPARSE_EXTREMES * math.sqrt(self._variance * TRADE_EVERY / self._steps)
        high = max(first, last, self._extreme(first, last, up) - sparse)
        low = min(first, last, first + last - self._extreme(first, last, down) + sparse)
        opened, closed = self._price(first), self._price(last)
        trades = self._steps / TRADE_EVERY
        trades = max(1, round(trades + math.sqrt(trades * (1 - 1 / TRADE_EVERY)) * _normal(count)))
        largest = self._listing.trade_quantity_max
        volume = trades * (1 + largest) / 2 + largest * math.sqrt(trades / 12) * _normal(amount)
        volume = max(trades, round(volume))
        return Candle(
            opened,
            max(opened, closed, self._price(high)),
            min(opened, closed, self._price(low)),
            closed,
            volume,
            volume * (opened + closed) // 2,
            trades,
        )

    def _extreme(self, first: float, last: float, noise: int) -> float:
        """The highest point of a bridge of one minute, as it is distributed."""
        uniform = (noise + 1) / (1 << 64)
        return (first + last + math.sqrt((last - first) ** 2 - 2 * self._variance * math.log(uniform))) / 2

    def _price(self, offset: float) -> int:
        return max(2, self._start_price + round(offset))

    def _offset(self, minute: int) -> float:
        """How far from the price of the start it stood at the beginning of a minute, in ticks."""
        known = self._offsets.get(minute)
        if known is not None:
            return known
        if minute > self._last_point:
            low, high = self._last_point, self._start_minute
        else:
            low = minute // self._apart * self._apart
            high = low + self._apart
        while True:
            for end in (low, high):
                if end not in self._offsets:
                    self._offsets[end] = self._spread * _normal(self._noise("point", end)[0])
            if minute in (low, high):
                return self._offsets[minute]
            low, high = self._half(low, high, minute)

    def _half(self, low: int, high: int, minute: int) -> tuple[int, int]:
        """The half of a bridge with the minute in it; the point between the halves is known from now on."""
        middle = (low + high) // 2
        if middle not in self._offsets:
            share = (middle - low) / (high - low)
            deviation = math.sqrt(self._variance * (middle - low) * (1 - share))
            mean = self._offsets[low] * (1 - share) + self._offsets[high] * share
            self._offsets[middle] = mean + deviation * _normal(self._noise(f"{low}-{high}", middle)[0])
        return (low, middle) if minute <= middle else (middle, high)

    def _noise(self, kind: str, number: int) -> tuple[int, ...]:
        text = f"{self._name}/{kind}/{number}"
        return struct.unpack("<4Q", hashlib.blake2b(text.encode(), digest_size=32).digest())


def _normal(noise: int) -> float:
    """64 random bits as a number of a nearly normal distribution, the same on every machine."""
    # Eight bytes, each uniform on -0.5 to 0.5 with a variance of 1/12.
    return (sum(noise.to_bytes(8, "little")) / 256 - 8 * 255 / 512) * math.sqrt(12 / 8)
