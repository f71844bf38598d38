"""Reading candles: of what is stored, of any interval, and of the minute that still grows.

What was read of the table is kept until the symbol's next minute is stored: so a chart that asks every second costs
next to nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from exness_streams.domain import candles
from exness_streams.domain.candle_spans import Told, filled
from exness_streams.domain.candles import (
    HOUR_S,
    INTERVALS_S,
    Bucket,
    Candle,
    Observed,
    aggregate,
    candles_of,
    next_start,
    shown,
    start_of,
)
from exness_streams.engine.candles import END_S, CandleHost, OwnedCandles
from exness_streams.engine.history import NotOwned

LIMIT_MAX = 1_000

READS_MAX = 4
"""So often is read what changes meanwhile. Afterwards nothing of it is said to be complete."""

READ_MAX = 500
"""Entries read in one go, a few milliseconds, after which others get the event loop."""


class _Stored(NamedTuple):
    """The newest candles of one interval that minutes before end_s give, and the symbol's changes before reading."""

    changes: int
    end_s: int
    found: list[Candle]


_Read = TypeVar("_Read")


class CandleReader:
    """Reads the candles that `host` keeps."""

    def __init__(self, host: CandleHost) -> None:
        self._host = host
        self._of: OwnedCandles | None = None
        self._stored: dict[tuple[str, str], _Stored] = {}
        self._reading: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def newest(self, symbol: str, interval: str, limit: int) -> list[Candle]:
        """The newest candles of a symbol, LIMIT_MAX at most, oldest first. interval: one of INTERVALS_S. NotOwned.

        They and `told` agree until the event loop's next turn.
        """
        owned, length_s = self._host.owned, INTERVALS_S[interval]
        async with self._reading[symbol, interval]:  # who waits finds what the one before has read
            self._check(owned)
            stored = self._known(owned, symbol, interval)
            if stored is None:
                stored = await self._unchanged(owned, symbol, partial(self._read, owned, symbol, interval))
        self._check(owned)
        found = stored.found
        if stored.changes != owned.changes[symbol]:
            found = [candle._replace(known_s=0) for candle in found]
        newest = aggregate([*found[-1:], *self._tail(owned, symbol, stored.end_s, length_s)], length_s)
        return [*found[:-1], *newest][-limit:]

    async def before(self, symbol: str, interval: str, before_s: int, limit: int) -> list[Candle]:
        """The newest candles that begin before a time (seconds since the epoch), oldest first, LIMIT_MAX at most.

        They are read anew each time: older ones are asked for seldom. NotOwned.
        """
        owned = self._host.owned
        changes, found = await self._unchanged(
            owned, symbol, partial(self._read_before, owned, symbol, interval, before_s, limit)
        )
        if changes != owned.changes[symbol]:
            return [candle._replace(known_s=0) for candle in found]
        return found

    async def _read_before(
        self, owned: OwnedCandles, symbol: str, interval: str, before_s: int, limit: int
    ) -> tuple[int, list[Candle]]:
        changes, newest = owned.changes[symbol], await self.newest(symbol, interval, LIMIT_MAX)
        found = [candle for candle in newest if candle.time_s < before_s]
        if len(found) < limit and len(newest) == LIMIT_MAX:  # with fewer, these are all that there are
            length_s = INTERVALS_S[interval]
            to_s = min(newest[0].time_s, next_start(before_s, length_s))
            found = [*await self._back_from(owned, symbol, to_s, length_s, limit - len(found)), *found]
        self._check(owned)
        return changes, found[-limit:]

    async def _unchanged(self, owned: OwnedCandles, symbol: str, read: Callable[[], Awaitable[_Read]]) -> _Read:
        """What `read` finds between two changes, if it can be had.

        What is stored and what was asked for are read at different times. Of different states of the table, minutes
        that were not there yet would look as if nothing had been traded in them.
        """
        for _ in range(READS_MAX - 1):
            changes = owned.changes[symbol]
            found = await read()
            if owned.changes[symbol] == changes:
                return found
            self._check(owned)
        return await read()

    def told(self, symbol: str) -> Told:
        """The time for which the exchange's history was asked. NotOwned."""
        return self._host.told(symbol)

    def begin_s(self, symbol: str, length_s: int) -> int:
        """Before it no candles of this length are kept: one would be a part, and is left out. NotOwned."""
        kept_s = self._host.hours_from_s() if length_s >= HOUR_S else self._host.owned.minutes_from_s[symbol]
        return next_start(kept_s, length_s)

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
        growing = self._growing(owned, symbol)
        if growing:
            end_s = min(growing)
        else:  # the newest may still grow, once a tick comes
            last_s = self._newest_stored(owned, symbol, END_S)
            end_s = END_S if last_s is None else last_s
        if length_s >= HOUR_S and end_s < END_S:  # an hour is read as one: it may stand in for minutes that are lacking
            end_s = start_of(end_s, HOUR_S)
        newest = self._newest_stored(owned, symbol, end_s)
        found: list[Candle] = []
        if newest is not None:
            found = await self._back_from(owned, symbol, newest + 1, length_s, LIMIT_MAX)
        stored = _Stored(changes, end_s, found[-LIMIT_MAX:])
        if self._of is owned and end_s < END_S:  # later ones would not be seen behind it
            self._stored[symbol, interval] = stored
        return stored

    async def _back_from(self, owned: OwnedCandles, symbol: str, to_s: int, length_s: int, limit: int) -> list[Candle]:
        """Candles of what is stored before to_s, as far back as `limit` of them need."""
        begin_s = self.begin_s(symbol, length_s)
        found: list[Candle] = []
        while to_s > begin_s and len(found) < limit:
            from_s = max(begin_s, start_of(to_s - limit * length_s, length_s))
            found = aggregate([*await self._between(owned, symbol, from_s, to_s, length_s), *found], length_s)
            to_s = from_s
        return found

    def _newest_stored(self, owned: OwnedCandles, symbol: str, end_s: int) -> int | None:
        """The beginning of the newest hour or minute before end_s, None when there is none."""
        keys = [
            self._host.table.last_key(owned.partition, key_of(symbol, 0), key_of(symbol, end_s))
            for key_of in (candles.minute_key, candles.hour_key)
        ]
        return max((candles.time_of(key) for key in keys if key is not None), default=None)

    async def _between(self, owned: OwnedCandles, symbol: str, from_s: int, to_s: int, length_s: int) -> list[Candle]:
        """What is stored of [from_s, to_s), whole hours of it for candles of hours and longer."""
        minutes_from_s = max(from_s, owned.minutes_from_s[symbol])
        if length_s < HOUR_S:
            return await self._rows(owned, candles.minute_key(symbol, minutes_from_s), candles.minute_key(symbol, to_s))
        to_s = next_start(to_s, HOUR_S)
        hours = await self._rows(owned, candles.hour_key(symbol, from_s), candles.hour_key(symbol, to_s))
        minutes = await self._rows(owned, candles.minute_key(symbol, minutes_from_s), candles.minute_key(symbol, to_s))
        return filled(hours, minutes, self._host.told(symbol))

    async def _rows(self, owned: OwnedCandles, first: bytes, end: bytes) -> list[Candle]:
        found: list[Candle] = []
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

    def _tail(self, owned: OwnedCandles, symbol: str, from_s: int, length_s: int) -> list[Candle]:
        """The minutes since from_s, the growing ones with what the exchange has told of them, or hours for them."""
        growing, live = self._growing(owned, symbol), owned.fold.live(symbol)
        buckets = {
            candles.time_of(key): candles.decode_bucket(value)
            for key, value in self._stored_since(owned, candles.minute_key, symbol, from_s)
        }
        for time_s, observed in growing.items():
            if time_s >= from_s:
                buckets[time_s] = Bucket(observed, buckets.get(time_s, Bucket()).told)
        shown_minutes = (
            shown(time_s, buckets[time_s], is_growing=live is not None and time_s == live.time_s)
            for time_s in sorted(buckets)
        )
        minutes = [candle for candle in shown_minutes if candle is not None]
        if length_s < HOUR_S:
            return minutes
        hours = candles_of(self._stored_since(owned, candles.hour_key, symbol, from_s))
        return filled(hours, minutes, self._host.told(symbol))

    def _stored_since(
        self, owned: OwnedCandles, key_of: Callable[[str, int], bytes], symbol: str, from_s: int
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._host.table.range(owned.partition, key_of(symbol, from_s), key_of(symbol, END_S))
