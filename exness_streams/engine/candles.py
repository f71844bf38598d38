"""The candles of this process: kept by whoever owns the ticks' partition, in a table of minutes and hours.

The market agent folds each tick in memory; at most once a second what has changed is committed together with the
ticks' offset. After a crash the ticks behind that offset are read again, and those that a minute holds already change
nothing. Minutes are kept for a week, and then become hours, which are kept for a year.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import islice

from async_timeout import timeout

from exness_streams.domain import candles
from exness_streams.domain.candle_spans import Asked, Told, decode_asked
from exness_streams.domain.candles import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Bar,
    Bucket,
    CandleFold,
    aggregate,
    candles_of,
    next_start,
    start_of,
)
from exness_streams.domain.codec import META_KEY, Meta, encode
from exness_streams.domain.money import ZERO
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.framer_state import FRAMER_KEY, Found, FramerState, decode_framer_state
from exness_streams.engine.history import NotOwned
from exness_streams.engine.kept_references import loaded_guard, moved_references
from exness_streams.engine.losses import is_empty, lost_by_offset, meta_of
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.leases import CellLog, Lease
from exness_streams.transport.table import CellTable

log = logging.getLogger(__name__)

FLUSH_S = 1.0
CLOSE_S_MAX = 3.0
MINUTES_KEPT_S = 7 * DAY_S
HOURS_KEPT_S = 365 * DAY_S
WRITE_MAX = 500
"""Entries of one transaction."""

END_S = 9_999_999_999

AHEAD_S = 300
"""What is stored of a time so far ahead is of no clock that went a little fast: it is removed at the start."""


class OwnedCandles:
    """What is known while the ticks' partition is this worker's.

    committed: the ticks' next offset, as committed. next_offset: of the first tick that may not be framed yet.
    minutes_from_s: by symbol, where minutes begin and hours end. changes: by symbol, counts changes of what is stored.
    found: what the framer goes on from; framer: its entry, to be committed with the next transaction. guard: of the
    ticks' prices.
    """

    def __init__(self, lease: Lease, symbols: Iterable[str], next_offset: int, found: Found, guard: PriceGuard) -> None:
        self.lease = lease
        self.partition = lease.partition
        self.fold = CandleFold(symbols)
        self.committed = self.next_offset = next_offset
        self.found, self.guard = found, guard
        self.framer = found.state
        self.minutes_from_s: dict[str, int] = {}
        self.changes: Counter[str] = Counter()


class CandleHost:
    """The candles of `symbols`. bands, band: the price guard's. clock_s: since the epoch, for what is kept how long."""

    def __init__(
        self,
        table: CellTable,
        cell_log: CellLog,
        symbols: Iterable[str],
        *,
        bands: Mapping[str, Decimal] | None = None,
        band: Decimal = ZERO,
        metrics: WorkMetrics | None = None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        metrics = metrics or WorkMetrics()
        self.table = table
        self.symbols = tuple(symbols)
        self._cell_log, self._bands, self._band = cell_log, bands or {}, band
        self._commits = TableCommits(table, metrics)
        self._clock_s = clock_s
        self._owned: OwnedCandles | None = None
        self._nobody, self._unguarded = CandleFold(()), PriceGuard({})
        self._writing = asyncio.Lock()

    # -- the partition

    async def mend_offset(self, partition: int, *, ticks_start: int, ticks_end: int) -> None:
        """Before they are loaded: commit the offset that their table stands at, when the group's is lost or older.

        Else all ticks that are left would be framed again. When they are those of a topic made anew, that is right.
        LogFault.
        """
        lease, meta = self._cell_log.lease(partition), meta_of(self.table, partition)
        if meta is None or meta.next_offset <= (lease.committed or 0):
            return
        if not ticks_start <= meta.next_offset <= ticks_end:
            return
        await self._commits.mend_offset(lease, lease.name, meta)

    def load(self, partition: int, *, ticks_start: int, ticks_end: int) -> None:
        """Go on from what was committed. Candles are a view: those that are lost are lost, which is said."""
        lease = self._cell_log.lease(partition)
        committed = lease.committed
        empty = is_empty(self.table, partition, candles.PREFIXES)
        lost = lost_by_offset(self.table, partition, committed, empty=empty)
        if lost is None and partition in self.table.trimmed:
            lost = "no longer holds its first records"
        if lost is not None:
            log.warning(
                "partition %d of %s %s: candles are missing, apart from what the exchange's history still tells; new "
                "ones are kept from now on",
                partition,
                self.table.changelog_name,
                lost,
            )
        self.table.prove(partition)
        found = Found(partition, None if lost else self._framer_state(partition), ticks_start, ticks_end, committed)
        # Beyond the end: the topic was made anew, and begins again.
        next_offset = ticks_start if committed is None or committed > ticks_end else committed
        guard = loaded_guard(self._bands, self._band, partial(self.table.scan, partition))
        owned = OwnedCandles(lease, self.symbols, next_offset, found, guard)
        for symbol in self.symbols:
            live = self.table.entry(partition, candles.live_key(symbol))
            if live is not None:
                minute = candles.decode_live(live)
                # 0.1.0 took any time that the exchange told: what lies ahead would take in all until then.
                if minute.time_s < self._clock_s() + AHEAD_S:
                    owned.fold.load(symbol, minute)
            first = self._first_minute(partition, symbol)
            oldest_s = self._horizon_s() if first is None else min(first, self._horizon_s())
            owned.minutes_from_s[symbol] = start_of(oldest_s, HOUR_S)
        self._owned = owned

    def drop(self) -> None:
        """They are another worker's now. What is under way for them ends without effect."""
        self._owned = None

    async def close(self) -> None:
        """Give them up once the transaction under way is over: a table that is touched later opens anew."""
        self.drop()
        with suppress(asyncio.TimeoutError):
            async with timeout(CLOSE_S_MAX):
                await self._writing.acquire()

    @property
    def is_owned(self) -> bool:
        """Whether candles are kept here."""
        return self._owned is not None

    @property
    def owned(self) -> OwnedCandles:
        """What is known of them. NotOwned."""
        if self._owned is None:
            raise NotOwned("the candles are another worker's")
        return self._owned

    def hours_from_s(self) -> int:
        """Hours before this are not kept."""
        return start_of(int(self._clock_s()) - HOURS_KEPT_S, HOUR_S)

    @property
    def fold(self) -> CandleFold:
        """Takes the ticks; one that takes none while the partition is not owned here."""
        return self._nobody if self._owned is None else self._owned.fold

    @property
    def guard(self) -> PriceGuard:
        """Of the prices of the ticks that `fold` takes."""
        return self._unguarded if self._owned is None else self._owned.guard

    def _framer_state(self, partition: int) -> FramerState | None:
        stored = self.table.entry(partition, FRAMER_KEY)
        return None if stored is None else decode_framer_state(stored)

    @property
    def found(self) -> Found | None:
        """What the framer goes on from, its state as committed by now; None while the partition is not owned here."""
        return None if self._owned is None else self._owned.found

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        """Commit the framer's state at once. False when the partition is another's meanwhile. LogFault."""
        async with self._writing:
            owned = self._owned
            if owned is None or owned.fold is not fold:
                return False
            owned.framer = state
            return await self._commit(owned, {}, owned.committed)

    async def keep_entries(self, owned: OwnedCandles, entries: dict[bytes, bytes | None]) -> None:
        """Commit what others keep in this table, at once. NotOwned, LogFault."""
        async with self._writing:
            if self._owned is not owned or not await self._commit(owned, entries, owned.committed):
                raise NotOwned("the candles are another worker's")

    def framed(self, fold: CandleFold, next_offset: int, state: FramerState) -> None:
        """The ticks before an offset are in `fold` and need not be read again once that is committed, with `state`."""
        if self._owned is not None and self._owned.fold is fold:
            self._owned.next_offset = max(self._owned.next_offset, next_offset)
            self._owned.framer = state

    # -- writing: one transaction at a time

    async def run(self) -> None:
        """Commit what has changed once a second, and let what is old go. Runs for ever. LogFault."""
        swept_s, swept = -1, None
        while True:
            await self.flush()
            if self._owned is not None and (self._owned is not swept or self._horizon_s() != swept_s):
                swept_s, swept = self._horizon_s(), self._owned
                await self.sweep()
            await asyncio.sleep(FLUSH_S)

    async def flush(self) -> None:
        """Commit the minutes that have changed, and how far the ticks need not be read again. LogFault."""
        async with self._writing:
            owned = self._owned
            if owned is None:
                return
            # The fold may be ahead of the offset: what is read again then changes nothing.
            closed, changed, next_offset = dict(owned.fold.closed), owned.fold.take_changed(), owned.next_offset
            if not closed and not changed and next_offset == owned.committed and owned.framer == owned.found.state:
                return
            entries: dict[bytes, bytes | None] = dict(moved_references(owned.guard))
            for (symbol, time_s), observed in closed.items():
                key = candles.minute_key(symbol, time_s)
                entries[key] = candles.encode(Bucket(observed, self.bucket(key).told))
            for symbol, minute in changed.items():
                entries[candles.live_key(symbol)] = candles.encode(minute)
            if not await self._commit(owned, entries, next_offset):
                return
            for name, observed in closed.items():
                if owned.fold.closed.get(name) is observed:
                    del owned.fold.closed[name]
            owned.changes.update({symbol for symbol, _ in closed})

    async def _commit(self, owned: OwnedCandles, entries: dict[bytes, bytes | None], next_offset: int) -> bool:
        """False when the partition is another's meanwhile, who reads the ticks again. LogFault."""
        entries[META_KEY] = encode(Meta(owned.partition, next_offset))
        state = owned.framer
        if state is not None and state != owned.found.state:
            entries[FRAMER_KEY] = encode(state)
        try:
            await self._commits.commit(owned.lease, entries, [], next_offset)
        except LogFault as fault:
            if isinstance(fault, CellReleased) or not self._goes_on(owned):
                return False
            raise
        owned.committed = next_offset
        owned.found = owned.found._replace(state=state, committed=next_offset)
        return self._goes_on(owned)

    def _goes_on(self, owned: OwnedCandles) -> bool:
        return owned.lease.is_held and self._owned is owned

    def asked(self, symbol: str, interval: str) -> Asked | None:
        """What of the exchange's history was asked for already, None: nothing. NotOwned.

        Nothing beyond the present: were our clock put back, no minute from then on would be asked for.
        """
        owned = self.owned
        stored = self.table.entry(owned.partition, candles.asked_key(symbol, interval))
        if stored is None:
            return None
        return decode_asked(stored).until(int(self._clock_s()))

    def price(self, symbol: str) -> Decimal | None:
        """The last trade that is known, None before the first. NotOwned."""
        minute = self.owned.fold.live(symbol)
        return None if minute is None else minute.observed.last

    def told(self, symbol: str) -> Told:
        """The time for which the exchange's history was asked. NotOwned."""
        return Told(self.owned.minutes_from_s[symbol], self.asked(symbol, "1m"), self.asked(symbol, "1h"))

    def wanted_time(self, symbol: str, interval: str) -> tuple[int, int]:
        """[from, to), seconds, in which the exchange's minutes ("1m") or hours ("1h") can be used. NotOwned.

        Hours reach to the newest minutes that were asked for, so that longer candles have no hole while the minutes
        before those are still to come; before there are any, none are wanted.
        """
        minutes_from_s, now_s = self.owned.minutes_from_s[symbol], int(self._clock_s())
        if interval == "1m":
            return minutes_from_s, start_of(now_s, MINUTE_S)
        minutes, hours_from_s = self.asked(symbol, "1m"), self.hours_from_s()
        if minutes is None:
            return hours_from_s, hours_from_s
        return hours_from_s, max(minutes_from_s, min(next_start(minutes.from_s, HOUR_S), start_of(now_s, HOUR_S)))

    async def take_told(self, symbol: str, interval: str, told: Sequence[tuple[int, Bar]], asked: Asked) -> None:
        """Store what the exchange's history told of `asked`, (beginning in seconds, bar), beside what was observed.

        NotOwned, LogFault.
        """
        key_of = candles.minute_key if interval == "1m" else candles.hour_key
        for first in range(0, max(1, len(told)), WRITE_MAX):
            async with self._writing:
                owned = self.owned
                from_s, to_s = self.wanted_time(symbol, interval)[0], int(self._clock_s())
                entries: dict[bytes, bytes | None] = {}
                for time_s, bar in told[first : first + WRITE_MAX]:
                    if from_s <= time_s < to_s:
                        key = key_of(symbol, time_s)
                        entries[key] = candles.encode(Bucket(self.bucket(key).observed, bar))
                if first + WRITE_MAX >= len(told):
                    known = self.asked(symbol, interval)
                    whole = asked if known is None else known.joined(asked)
                    entries[candles.asked_key(symbol, interval)] = candles.encode(whole.since(from_s))
                if not await self._commit(owned, entries, owned.committed):
                    raise NotOwned("the candles are another worker's")
                owned.changes[symbol] += 1

    async def sweep(self) -> None:
        """Turn minutes that are too old into hours, and remove hours that are, and what is of the future. LogFault."""
        owned, horizon_s, hours_end_s = self._owned, self._horizon_s(), self.hours_from_s()
        if owned is None:
            return
        for symbol in self.symbols:
            if not await self._sweep_future(owned, symbol):
                return
            while (first := self._first_minute(owned.partition, symbol)) is not None and first < horizon_s:
                entries_of = partial(self._hour_of_minutes, owned, symbol, start_of(first, HOUR_S))
                if not await self._sweep(owned, symbol, entries_of):
                    return
                owned.minutes_from_s[symbol] = start_of(first, HOUR_S) + HOUR_S
            owned.minutes_from_s[symbol] = max(owned.minutes_from_s[symbol], horizon_s)
            span = candles.hour_key(symbol, 0), candles.hour_key(symbol, hours_end_s)
            while old := [key for key, _ in islice(self.table.range(owned.partition, *span), WRITE_MAX)]:
                if not await self._sweep(owned, symbol, partial(dict.fromkeys, old)):
                    return

    async def _sweep_future(self, owned: OwnedCandles, symbol: str) -> bool:
        """Remove what 0.1.0 stored of minutes that have not begun."""
        begin_s = int(self._clock_s()) + AHEAD_S
        for key_of in (candles.minute_key, candles.hour_key):
            span = key_of(symbol, begin_s), key_of(symbol, END_S) + b"\0"
            while ahead := [key for key, _ in islice(self.table.range(owned.partition, *span), WRITE_MAX)]:
                log.warning("removing %d candles of %s whose time has not come", len(ahead), symbol)
                if not await self._sweep(owned, symbol, partial(dict.fromkeys, ahead)):
                    return False
        return True

    async def _sweep(
        self, owned: OwnedCandles, symbol: str, entries_of: Callable[[], dict[bytes, bytes | None]]
    ) -> bool:
        async with self._writing:
            if self._owned is not owned:
                return False
            done = await self._commit(owned, entries_of(), owned.committed)  # as the table is in this turn
            owned.changes[symbol] += 1
            return done

    def _hour_of_minutes(self, owned: OwnedCandles, symbol: str, time_s: int) -> dict[bytes, bytes | None]:
        """The entries that put an hour in its minutes' place. What the exchange told of that hour stays."""
        span = candles.minute_key(symbol, time_s), candles.minute_key(symbol, time_s + HOUR_S)
        rows = list(self.table.range(owned.partition, *span))
        entries: dict[bytes, bytes | None] = dict.fromkeys(key for key, _ in rows)
        key = candles.hour_key(symbol, time_s)
        if self.table.entry(owned.partition, key) is None:
            told = self.told(symbol)
            for candle in aggregate(candles_of(rows), HOUR_S):
                prices = candle.first, candle.high, candle.low, candle.last
                entries[key] = candles.encode(Bucket(None, Bar(*prices, candle.volume, told.completes(candle, HOUR_S))))
        return entries

    def _horizon_s(self) -> int:
        return start_of(int(self._clock_s()) - MINUTES_KEPT_S, HOUR_S)

    def _first_minute(self, partition: int, symbol: str) -> int | None:
        found = self.table.range(partition, candles.minute_key(symbol, 0), candles.minute_key(symbol, END_S))
        return next((candles.time_of(key) for key, _ in found), None)

    def bucket(self, key: bytes) -> Bucket:
        """A stored minute or hour; an empty one when there is none. NotOwned."""
        stored = self.table.entry(self.owned.partition, key)
        return Bucket() if stored is None else candles.decode_bucket(stored)
