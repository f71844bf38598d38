"""Candles: open, high, low and close of each minute, and of longer intervals made of minutes. Times are UTC.

A minute has two sources: the ticks that were observed, and the exchange's history. Both are kept; what is shown
does not depend on which came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from exness_streams.domain.money import ZERO, canonical, money_arithmetic
from exness_streams.domain.quotes import AHEAD_MS_MAX, bounded_ms, follows, sequence_bound

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
WEEK_S = 7 * DAY_S

INTERVALS_S = {
    "1m": MINUTE_S,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": HOUR_S,
    "4h": 14_400,
    "1d": DAY_S,
    "1w": WEEK_S,
}
"""The intervals on offer and their lengths. They begin at whole multiples of them since the epoch; weeks on Mondays."""

_FIRST_MONDAY_S = 4 * DAY_S
"""1970-01-05: the epoch was a Thursday."""

SILENCE_MS_MAX = 10_000
"""The exchange tells each market's price every second: after a longer silence, a part of it was not observed."""

TIME_MS_MAX = 9_999_999_999_999
"""The last time whose seconds have ten digits, as keys have. In the year 2286."""

_NEVER_MS = -(1 << 62)


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """Prices in the quote currency: the first (open), highest, lowest and last (close).

    volume: base asset, None while unknown. is_complete: false of an hour made of minutes that were not all known.
    """

    first: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    volume: Decimal | None = None
    is_complete: bool = True


class Observed(msgspec.Struct, frozen=True, array_like=True):
    """What the ticks of a minute were. Prices are those of last trades, as the ticks tell them.

    sequence, last_ms: of its newest tick. is_unbroken: no silence before it was longer than SILENCE_MS_MAX, nor
    after it once a later tick is known.
    """

    first: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    sequence: int
    last_ms: int
    is_unbroken: bool

    def is_whole(self, time_s: int) -> bool:
        """Whether the minute that began at time_s was observed from its beginning to its end."""
        return self.is_unbroken and self.last_ms >= (time_s + MINUTE_S) * 1000 - SILENCE_MS_MAX


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """All that is known of a minute, or of an hour. told: by the exchange's history, or made of an hour's minutes."""

    observed: Observed | None = None
    told: Bar | None = None


class LiveMinute(msgspec.Struct, frozen=True, array_like=True):
    """The newest minute of a symbol, which still grows. time_s: its beginning."""

    time_s: int
    observed: Observed


class Candle(NamedTuple):
    """A bar and its beginning. volume: of the parts that it is known of; None when it is of none.

    seen_s: seconds of the minutes and hours that it is made of. known_s: of those that are over and known as a whole.
    """

    time_s: int
    first: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    volume: Decimal | None
    seen_s: int = 0
    known_s: int = 0


def is_of_the_future(time_s: int, now_ms: int) -> bool:
    """Whether a minute that begins at time_s can't have begun yet."""
    return time_s * 1000 > now_ms + AHEAD_MS_MAX


def start_of(time_s: int, length_s: int) -> int:
    """The beginning of the interval that holds a time."""
    origin_s = _FIRST_MONDAY_S if length_s == WEEK_S else 0
    return time_s - (time_s - origin_s) % length_s


def next_start(time_s: int, length_s: int) -> int:
    """The beginning of the first interval that does not begin before a time."""
    return start_of(time_s - 1, length_s) + length_s


def shown(time_s: int, bucket: Bucket, length_s: int = MINUTE_S, *, is_growing: bool = False) -> Candle | None:
    """What is shown of a minute, or of an hour (length_s): None when nothing is known. is_growing: it is not over.

    Prices that were observed from its beginning to its end stay as they are; otherwise the exchange's history
    completes them. Ticks tell no volume of a minute, so volume is the history's alone.
    """
    seen, told = bucket.observed, bucket.told
    if told is None:
        if seen is None:
            return None
        known_s = length_s if seen.is_whole(time_s) and not is_growing else 0
        return Candle(time_s, seen.first, seen.high, seen.low, seen.last, None, length_s, known_s)
    known_s = length_s if told.is_complete else 0
    if seen is None:
        return Candle(time_s, told.first, told.high, told.low, told.last, told.volume, length_s, known_s)
    if seen.is_whole(time_s) and not is_growing:  # before a later tick nobody knows that none of its own was missed
        return Candle(time_s, seen.first, seen.high, seen.low, seen.last, told.volume, length_s, known_s)
    high, low = max(told.high, seen.high), min(told.low, seen.low)
    return Candle(time_s, told.first, high, low, told.last, told.volume, length_s, known_s)


def aggregate(candles: Iterable[Candle], length_s: int) -> list[Candle]:
    """Candles of a longer interval, of shorter ones in ascending order. Where there is none, none is made."""
    merged: list[Candle] = []
    start = -length_s
    with money_arithmetic():
        for candle in candles:
            if candle.time_s - start >= length_s:
                start = start_of(candle.time_s, length_s)
                merged.append(candle._replace(time_s=start))
                continue
            whole = merged[-1]
            volume = candle.volume if whole.volume is None else whole.volume + (candle.volume or ZERO)
            high, low = max(whole.high, candle.high), min(whole.low, candle.low)
            seen_s, known_s = whole.seen_s + candle.seen_s, whole.known_s + candle.known_s
            merged[-1] = Candle(start, whole.first, high, low, candle.last, volume, seen_s, known_s)
    return merged


class _Live:
    """The newest minute of one symbol, as it grows."""

    __slots__ = ("changed", "end_ms", "first", "high", "is_unbroken", "last", "last_ms", "low", "sequence", "time_s")

    def __init__(self) -> None:
        self.time_s = 0
        self.end_ms = _NEVER_MS
        self.first = self.high = self.low = self.last = Decimal(0)
        self.sequence = -1
        self.last_ms = _NEVER_MS
        self.is_unbroken = False
        self.changed = False

    def observed(self) -> Observed:
        prices = canonical(self.first), canonical(self.high), canonical(self.low), canonical(self.last)
        return Observed(*prices, self.sequence, self.last_ms, self.is_unbroken)


class CandleFold:
    """Folds ticks into minutes, one newest minute for each of `symbols`; ticks of others are left out.

    closed: the minutes that have ended, by (symbol, beginning in seconds); whoever has stored them removes them.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._live = {symbol: _Live() for symbol in symbols}
        self.closed: dict[tuple[str, int], Observed] = {}

    @property
    def symbols(self) -> Iterable[str]:
        """Those that are folded."""
        return self._live.keys()

    def load(self, symbol: str, minute: LiveMinute) -> None:
        """Go on from a symbol's newest minute, as `live` gave it."""
        live, seen = self._live[symbol], minute.observed
        live.time_s, live.end_ms = minute.time_s, (minute.time_s + MINUTE_S) * 1000
        live.first, live.high, live.low, live.last = seen.first, seen.high, seen.low, seen.last
        live.sequence, live.last_ms, live.is_unbroken = seen.sequence, seen.last_ms, seen.is_unbroken
        live.changed = False

    def add(self, symbol: str, sequence: int, time_ms: int, price: Decimal, now_ms: int | None = None) -> None:
        """Take one tick. One at or before the newest of its symbol changes nothing: so ticks may be read again.

        time_ms: of the event. A tick that is earlier than its predecessor belongs to the minute that it finds.
        now_ms: when the tick was known, by which a time or a sequence of the future is told; a newest minute of the
        future is forgotten.
        """
        live = self._live.get(symbol)
        if live is None:
            return
        if now_ms is not None:
            time_ms = bounded_ms(time_ms, now_ms)
            if is_of_the_future(live.time_s, now_ms):
                live = self._live[symbol] = _Live()
        if sequence <= live.sequence:  # the rest costs only those that may come too late
            sequence_max = -1 if now_ms is None else sequence_bound(now_ms)
            if not follows(sequence, live.sequence, sequence_max):
                return
        if time_ms >= live.end_ms:
            if not 0 <= time_ms <= TIME_MS_MAX:
                return
            self._turn(symbol, live, time_ms, price)
        elif time_ms > live.last_ms:
            if time_ms - live.last_ms > SILENCE_MS_MAX:
                live.is_unbroken = False
            live.last_ms = time_ms
        live.sequence = sequence
        if price > live.high:
            live.high = price
        elif price < live.low:
            live.low = price
        live.last = price
        live.changed = True

    def _turn(self, symbol: str, live: _Live, time_ms: int, price: Decimal) -> None:
        if live.end_ms != _NEVER_MS:
            if time_ms - live.last_ms > SILENCE_MS_MAX:
                live.is_unbroken = False
            self.closed[symbol, live.time_s] = live.observed()
        live.time_s = start_of(time_ms // 1000, MINUTE_S)
        live.end_ms = (live.time_s + MINUTE_S) * 1000
        live.first = live.high = live.low = price
        live.last_ms = time_ms
        live.is_unbroken = time_ms - live.time_s * 1000 <= SILENCE_MS_MAX

    def live(self, symbol: str) -> LiveMinute | None:
        """The newest minute of a symbol, None before its first tick."""
        live = self._live.get(symbol)
        if live is None or live.end_ms == _NEVER_MS:
            return None
        return LiveMinute(live.time_s, live.observed())

    def take_changed(self) -> dict[str, LiveMinute]:
        """The newest minutes that have changed since this was called last."""
        changed: dict[str, LiveMinute] = {}
        for symbol, live in self._live.items():
            if live.changed:
                changed[symbol] = LiveMinute(live.time_s, live.observed())
                live.changed = False
        return changed


# The entries of the table `candles`. A beginning has ten digits, so that keys are in the order of time.
PREFIXES = b"live/", b"minute/", b"hour/"
"""Of which each symbol has some as soon as it has candles."""


def minute_key(symbol: str, time_s: int) -> bytes:
    return b"minute/%s/%010d" % (symbol.encode(), time_s)


def hour_key(symbol: str, time_s: int) -> bytes:
    return b"hour/%s/%010d" % (symbol.encode(), time_s)


def live_key(symbol: str) -> bytes:
    return b"live/" + symbol.encode()


def asked_key(symbol: str, interval: str) -> bytes:
    return b"asked/%s/%s" % (symbol.encode(), interval.encode())


def time_of(key: bytes) -> int:
    """The beginning that a minute's or hour's key ends with."""
    return int(key[-10:])


encode = msgspec.json.Encoder(decimal_format="number").encode
decode_bucket = msgspec.json.Decoder(Bucket).decode
decode_live = msgspec.json.Decoder(LiveMinute).decode


def candles_of(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Candle]:
    """What is shown of stored minutes or hours."""
    for key, value in rows:
        length_s = HOUR_S if key.startswith(b"hour/") else MINUTE_S
        candle = shown(time_of(key), decode_bucket(value), length_s)
        if candle is not None:
            yield candle
