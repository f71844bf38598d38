"""The candles of one simulated market: made up before it began to move, recorded from then on. No clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exness_streams.simulator.market import Listing
from exness_streams.simulator.past import MINUTE_S, USUAL_RATE, Candle, InventedPast

PAST_MINUTES = 30 * 24 * 60
"""How long the markets have been listed when the simulator starts, unless it is told; more is not remembered."""

DAY_S = 86_400
_HOUR_MINUTES = 60


class SimulatedHistory:
    """The candles of one market. start_s: when it began to be simulated, seconds since the epoch.

    past_minutes: how long it had been listed by then. rate: steps a second, of the past as of the present.
    """

    def __init__(
        self,
        listing: Listing,
        seed: int,
        start_price: int,
        start_s: int,
        past_minutes: int = PAST_MINUTES,
        rate: float = USUAL_RATE,
    ) -> None:
        self._start_minute = start_s // MINUTE_S
        self._begin_minute = self._start_minute - past_minutes
        self._past = InventedPast(listing, seed, start_price, self._start_minute, rate)
        self._recorded: dict[int, Candle] = {}
        self._hours: dict[int, Candle | None] = {}
        self._newest_minute = self._start_minute
        self.record(start_price, 0, start_s)

    @property
    def begin_s(self) -> int:
        """Before it there was no market."""
        return self._begin_minute * MINUTE_S

    def record(self, price: int, quantity: int, time_s: int) -> None:
        """A trade, or with no quantity a price that was set."""
        minute = self._minute_of(time_s)
        candle, trades = self._recorded.get(minute), int(quantity > 0)
        if candle is None:
            self._recorded[minute] = Candle(price, price, price, price, quantity, price * quantity, trades)
            if len(self._recorded) > PAST_MINUTES:
                oldest = next(iter(self._recorded))
                del self._recorded[oldest]
                self._hours.pop(oldest // _HOUR_MINUTES, None)
            return
        self._recorded[minute] = Candle(
            candle.open,
            max(candle.high, price),
            min(candle.low, price),
            price,
            candle.volume + quantity,
            candle.quote_volume + price * quantity,
            candle.trades + trades,
        )

    def _minute_of(self, time_s: int) -> int:
        """The minute that a trade goes into. One that is over is not changed, unless the clock was set back to it."""
        minute = max(time_s // MINUTE_S, self._start_minute)
        if minute < self._newest_minute - 1:
            for ahead in [one for one in self._recorded if one > minute]:
                del self._recorded[ahead]
            self._hours.clear()
            self._newest_minute = minute
        self._newest_minute = max(minute, self._newest_minute)
        return self._newest_minute

    def candle(self, start_s: int, length_s: int) -> Candle | None:
        """What became of the market in that time; None when it had no price in it."""
        first, end = max(start_s // MINUTE_S, self._begin_minute), (start_s + length_s) // MINUTE_S
        return _merged(self._parts(first, end))

    def until(self, now_s: int, length_s: int = DAY_S) -> Candle | None:
        """What became of it in the whole minutes of that length which end with the present one."""
        end_s = (now_s // MINUTE_S + 1) * MINUTE_S
        return self.candle(end_s - length_s, length_s)

    def _parts(self, first: int, end: int) -> Iterator[Candle]:
        """Minutes, and hours that are over, in order."""
        minute = first
        while minute < end:
            hour, within = divmod(minute, _HOUR_MINUTES)
            whole = not within and minute + _HOUR_MINUTES <= min(end, self._newest_minute)
            candle = self._hour(hour) if whole else self._minute(minute)
            minute += _HOUR_MINUTES if whole else 1
            if candle is not None:
                yield candle

    def _hour(self, hour: int) -> Candle | None:
        if hour not in self._hours:
            minutes = range(hour * _HOUR_MINUTES, (hour + 1) * _HOUR_MINUTES)
            self._hours[hour] = _merged(candle for candle in map(self._minute, minutes) if candle is not None)
        return self._hours[hour]

    def _minute(self, minute: int) -> Candle | None:
        return self._past.candle(minute) if minute < self._start_minute else self._recorded.get(minute)


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
