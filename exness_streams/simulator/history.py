"""The past of an invented market, minute by minute: made up before the start, recorded from then on. No clock.

What lies before the start depends on seed, symbol and time alone, but for the last hour, which leads to the price
that the market starts with: so a chart has a past, the same whoever asks, in any interval and after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exness_streams.simulator.market import Listing

MINUTE_S = 60
PAST_MINUTES = 30 * 24 * 60
"""How long the markets have been listed when the simulator starts, unless it is told; more is not remembered."""

_DAY_MINUTES = 24 * 60
_BLOCK_MINUTES = 4 * 60
"""Made up at a time."""
_BLEND_MINUTES = 60
_PPM = 1_000_000
_WAVES = ((1, 150), (8, 500), (64, 1_500), (512, 5_000), (4_096, 15_000))
"""Minutes between two random heights, and the largest of them in millionths of the price."""
_WICK_PPM = 200


class Candle(NamedTuple):
    """Prices in ticks, volume in steps, quote_volume in ticks × steps. trades 0: nothing was traded."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int


class SimulatedHistory:
    """The candles of one market. start_s: when it began to be simulated, seconds since the epoch.

    past_minutes: how long it had been listed by then.
    """

    def __init__(
        self, listing: Listing, seed: int, start_price: int, start_s: int, past_minutes: int = PAST_MINUTES
    ) -> None:
        self._listing = listing
        self._name = f"{seed}/{listing.symbol}/history"
        self._start_price = start_price
        self._start_minute = start_s // MINUTE_S
        self._begin_minute = self._start_minute - past_minutes
        self._blocks: dict[int, list[Candle]] = {}
        self._heights: dict[tuple[int, int], int] = {}
        self._recorded: dict[int, Candle] = {}
        self.record(start_price, 0, start_s)

    @property
    def begin_s(self) -> int:
        """Before it there was no market."""
        return self._begin_minute * MINUTE_S

    def record(self, price: int, quantity: int, time_s: int) -> None:
        """A trade, or with no quantity a price that was set."""
        minute = max(time_s // MINUTE_S, self._start_minute)
        candle = self._recorded.get(minute)
        if candle is None:
            self._recorded[minute] = Candle(price, price, price, price, quantity, price * quantity, 1)
            if len(self._recorded) > PAST_MINUTES:
                del self._recorded[next(iter(self._recorded))]
            return
        self._recorded[minute] = Candle(
            candle.open,
            max(candle.high, price),
            min(candle.low, price),
            price,
            candle.volume + quantity,
            candle.quote_volume + price * quantity,
            candle.trades + 1,
        )

    def candle(self, start_s: int, length_s: int) -> Candle | None:
        """What became of the market in that time; None when nothing was traded."""
        first = max(start_s // MINUTE_S, self._begin_minute)
        return _merged(self._minutes(first, (start_s + length_s) // MINUTE_S))

    def _minutes(self, first: int, end: int) -> Iterator[Candle]:
        for minute in range(first, min(end, self._start_minute)):
            yield self._invented(minute)
        for minute in range(max(first, self._start_minute), end):
            candle = self._recorded.get(minute)
            if candle is not None:
                yield candle

    def _invented(self, minute: int) -> Candle:
        block, nth = divmod(minute, _BLOCK_MINUTES)
        candles = self._blocks.get(block)
        if candles is None:
            first = block * _BLOCK_MINUTES
            levels = [self._level(one) for one in range(first, first + _BLOCK_MINUTES + 1)]
            candles = self._blocks[block] = [self._bar(first + n, *levels[n : n + 2]) for n in range(_BLOCK_MINUTES)]
        return candles[nth]

    def _bar(self, minute: int, first: int, last: int) -> Candle:
        noise = self._noise("bar", minute)
        wick = max(1, first * _WICK_PPM // _PPM)
        high = max(first, last) + noise % (wick + 1)
        low = max(1, min(first, last) - (noise >> 16) % (wick + 1))
        usual = max(1, self._listing.daily_volume * 10**self._listing.quantity_places // _DAY_MINUTES)
        volume = 1 + (noise >> 32) % (2 * usual)
        return Candle(first, high, low, last, volume, volume * (first + last) // 2, 1 + noise % 50)

    def _level(self, minute: int) -> int:
        """The price at a minute's beginning."""
        height = sum(self._height(period, minute) * size for period, size in _WAVES) // _PPM
        before_start = min(max(self._start_minute - minute, 0), _BLEND_MINUTES)
        height = height * before_start // _BLEND_MINUTES
        return max(2, self._start_price * (_PPM + height) // _PPM)

    def _height(self, period: int, minute: int) -> int:
        """One wave, from -1 to 1 in millionths: straight lines between random heights."""
        step, within = divmod(minute, period)
        left = self._random_height(period, step)
        if not within:
            return left
        return left + (self._random_height(period, step + 1) - left) * within // period

    def _random_height(self, period: int, step: int) -> int:
        height = self._heights.get((period, step))
        if height is None:
            height = self._noise(str(period), step) % (2 * _PPM) - _PPM
            if period > 1:
                self._heights[period, step] = height
        return height

    def _noise(self, kind: str, number: int) -> int:
        text = f"{self._name}/{kind}/{number}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _merged(candles: Iterable[Candle]) -> Candle | None:
    whole: Candle | None = None
    for candle in candles:
        if whole is None:
            whole = candle
            continue
        whole = Candle(
            whole.open,
            max(whole.high, candle.high),
            min(whole.low, candle.low),
            candle.close,
            whole.volume + candle.volume,
            whole.quote_volume + candle.quote_volume,
            whole.trades + candle.trades,
        )
    return whole
