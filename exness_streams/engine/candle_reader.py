"""Reading candles: of what is stored, of any interval, and of the minute that still grows.

What was read of the table is kept until the symbol's next minute is stored: so a chart that asks every second costs
next to nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from exness_streams.domain import candles
from exness_streams.domain.candles import (
    HOUR_S,
    INTERVALS_S,
    Bucket,
    Candle,
    Observed,
    Told,
    aggregate,
    next_start,
    shown,
    start_of,
)
from exness_streams.engine.candles import END_S, CandleHost, OwnedCandles, candles_of
from exness_streams.engine.history import NotOwned

LIMIT_MAX = 1_000

READ_MAX = 500
"""Entries read in one go, a few milliseconds, after which others get the event loop."""


class _Stored(NamedTuple):
    """The newest candles of one interval that minutes before end_s give, and the symbol's changes before reading."""

    changes: int
    end_s: int
    found: list[Candle]


class CandleReader:
    """Reads the candles that `host` keeps."""

    def __init__(self, host: CandleHost) -> None:
        self._host = host
        self._of: OwnedCandles | None = None
        self._stored: dict[tuple[str, str], _Stored] = {}
        self._reading: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def newest(self, symbol: str, interval: str, limit: int) -> list[Candle]:
        """The newest candles of a symbol, LIMIT_MAX at most, oldest first. interval: one of INTERVALS_S. NotOwned."""
        owned = self._host.owned
        async with self._reading[symbol, interval]:  # who waits finds what the one before has read
            self._check(owned)
            stored = self._known(owned, symbol, interval)
            if stored is None:
                stored = await self._read(owned, symbol, interval)
        self._check(owned)
        newest = aggregate([*stored.found[-1:], *self._tail(owned, symbol, stored.end_s)], INTERVALS_S[interval])
        return [*stored.found[:-1], *newest][-limit:]

    async def before(self, symbol: str, interval: str, before_s: int, limit: int) -> list[Candle]:
        """The newest candles that begin before a time (seconds since the epoch), oldest first, LIMIT_MAX at most.

        They are read anew each time: older ones are asked for seldom. NotOwned.
        """
        newest = await self.newest(symbol, interval, LIMIT_MAX)
        found = [candle for candle in newest if candle.time_s < before_s]
        if len(found) < limit and len(newest) == LIMIT_MAX:  # with fewer, these are all that there are
            length_s = INTERVALS_S[interval]
            to_s = min(newest[0].time_s, next_start(before_s, length_s))
            older = await self._back_from(self._host.owned, symbol, to_s, length_s, limit - len(found))
            found = [*older, *found]
        return found[-limit:]

    def told(self, symbol: str) -> Told:
        """The time for which the exchange's history was asked. NotOwned."""
        return self._host.told(symbol)

    def _known(self, owned: OwnedCandles, symbol: str, interval: str) -> _Stored | None:
        if self._of is not owned:
            self._of = owned
            self._stored.clear()
        stored = self._stored.get((symbol, interval))
        return stored if stored is not None and stored.changes == owned.changes[symbol] else None

    def _check(self, owned: OwnedCandles) -> None:
        if self._host.owned is not owned:
            raise NotOwned("the candles were another worker's meanwhile")

    async def _read(self, owned: OwnedCandles, symbol: str, interval: str) -> _Stored:
        changes, length_s = owned.changes[symbol], INTERVALS_S[interval]
        end_s = min(self._growing(owned, symbol), default=END_S)
        newest = self._newest_stored(owned, symbol, end_s)
        found: list[Candle] = []
        if newest is not None:
            found = await self._back_from(owned, symbol, newest + 1, length_s, LIMIT_MAX)
        stored = _Stored(changes, end_s, found[-LIMIT_MAX:])
        if self._of is owned:
            self._stored[symbol, interval] = stored
        return stored

    async def _back_from(self, owned: OwnedCandles, symbol: str, to_s: int, length_s: int, limit: int) -> list[Candle]:
        """Candles of what is stored before to_s, as far back as `limit` of them need."""
        # What is kept may begin within an interval: that one would be a part, and is left out.
        kept_s = self._host.hours_from_s() if length_s >= HOUR_S else owned.minutes_from_s[symbol]
        begin_s = next_start(kept_s, length_s)
        found: list[Candle] = []
        while to_s > begin_s and len(found) < limit:
            from_s = max(begin_s, start_of(to_s - limit * length_s, length_s))
            found = aggregate([*await self._between(owned, symbol, from_s, to_s), *found], length_s)
            to_s = from_s
        return found

    def _newest_stored(self, owned: OwnedCandles, symbol: str, end_s: int) -> int | None:
        """The beginning of the newest hour or minute before end_s, None when there is none."""
        table, partition = self._host.table, owned.partition
        for key_of in (candles.minute_key, candles.hour_key):
            key = table.last_key(partition, key_of(symbol, 0), key_of(symbol, end_s))
            if key is not None:
                return candles.time_of(key)
        return None

    async def _between(self, owned: OwnedCandles, symbol: str, from_s: int, to_s: int) -> list[Candle]:
        """The stored hours and minutes that begin in [from_s, to_s)."""
        border_s = owned.minutes_from_s[symbol]
        spans = []
        if from_s < border_s:
            spans.append((candles.hour_key(symbol, from_s), candles.hour_key(symbol, min(to_s, border_s))))
        if to_s > border_s:
            spans.append((candles.minute_key(symbol, max(from_s, border_s)), candles.minute_key(symbol, to_s)))
        found: list[Candle] = []
        for first, end in spans:
            while rows := list(islice(self._host.table.range(owned.partition, first, end), READ_MAX)):
                found += candles_of(rows)
                first = rows[-1][0] + b"\0"
                await asyncio.sleep(0)
                self._check(owned)
        return found

    def _growing(self, owned: OwnedCandles, symbol: str) -> dict[int, Observed]:
        """The minutes that are not stored yet, by their beginning."""
        growing = {time_s: observed for (name, time_s), observed in owned.fold.closed.items() if name == symbol}
        live = owned.fold.live(symbol)
        return growing if live is None else growing | {live.time_s: live.observed}

    def _tail(self, owned: OwnedCandles, symbol: str, from_s: int) -> Iterator[Candle]:
        """The minutes since from_s, the growing ones with what the exchange has told of them."""
        growing, live = self._growing(owned, symbol), owned.fold.live(symbol)
        span = candles.minute_key(symbol, from_s), candles.minute_key(symbol, END_S)
        buckets = {
            candles.time_of(key): candles.decode_bucket(value)
            for key, value in self._host.table.range(owned.partition, *span)
        }
        for time_s, observed in growing.items():
            if time_s >= from_s:
                buckets[time_s] = Bucket(observed, buckets.get(time_s, Bucket()).told)
        for time_s in sorted(buckets):
            candle = shown(time_s, buckets[time_s], is_growing=live is not None and time_s == live.time_s)
            if candle is not None:
                yield candle
