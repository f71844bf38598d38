"""Spans of time, in whole seconds since the epoch, from a beginning to before an end: what is known of candles' past.

The exchange's history is asked for page by page, the newest first. So what was asked for is a few spans: the newest,
which grows backwards, and those of before a pause, which it has not reached yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from exness_streams.domain.candles import HOUR_S, Candle

Span = tuple[int, int]

SPANS_MAX = 16
"""Of what was asked for. Each stands for a pause that is not filled yet; older ones are asked for again."""

LEFT_OUT_MAX = 500
"""Times that were left out. Of more, the oldest become one: too much is said to be missing, never too little."""


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time in spans that do not touch, ascending."""
    found: list[Span] = []
    for from_s, to_s in sorted(spans):
        if from_s >= to_s:
            continue
        if found and from_s <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], to_s)
        else:
            found.append((from_s, to_s))
    return tuple(found)


def without(spans: Sequence[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """What of `spans` lies in none of `others`. spans: a union."""
    cuts, found = union(others), list[Span]()
    for from_s, to_s in spans:
        for first, end in cuts:
            if end <= from_s or first >= to_s:
                continue
            if from_s < first:
                found.append((from_s, first))
            from_s = end
        if from_s < to_s:
            found.append((from_s, to_s))
    return tuple(found)


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """The time for which the exchange's history was asked already: [from_s, to_s), and spans before it.

    earlier: those, ascending. left_out: the times of which it told what can't be believed or read, so that they are
    not known although they were asked for.
    """

    from_s: int
    to_s: int
    earlier: tuple[Span, ...] = ()
    left_out: tuple[Span, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that was asked for, ascending."""
        return (*self.earlier, (self.from_s, self.to_s))

    @property
    def known(self) -> tuple[Span, ...]:
        """Where no candle means that nothing was traded, ascending."""
        return without(self.spans, self.left_out) if self.left_out else self.spans

    def joined(self, other: Asked) -> Asked:
        """With what was asked for later: of what both hold, that one counts."""
        spans = union((*self.spans, *other.spans))[-SPANS_MAX:]
        left_out = union((*without(self.left_out, other.spans), *other.left_out))
        return _asked(spans, left_out)

    def until(self, end_s: int) -> Asked | None:
        """Without what lies behind a time; None when nothing is left."""
        spans = without(self.spans, [(end_s, max(self.to_s, end_s))])
        return _asked(spans, self.left_out) if spans else None

    def since(self, begin_s: int) -> Asked:
        """Without spans that end before a time, as far as that leaves one, and what was left out before it."""
        spans = tuple(span for span in self.earlier if span[1] > begin_s)
        return Asked(self.from_s, self.to_s, spans, tuple(span for span in self.left_out if span[1] > begin_s))


def _asked(spans: tuple[Span, ...], left_out: tuple[Span, ...]) -> Asked:
    excess = len(left_out) - LEFT_OUT_MAX
    if excess > 0:
        left_out = ((left_out[0][0], left_out[excess][1]), *left_out[excess + 1 :])
    left_out = tuple(span for span in left_out if span[1] > spans[0][0])
    return Asked(*spans[-1], spans[:-1], left_out)


def next_page(asked: Asked | None, horizon_s: int, end_s: int, page_s: int) -> Asked | None:
    """What of [horizon_s, end_s) to ask for next, page_s at most; None when all of it was asked for.

    The newest that is lacking comes first: so what is known ends with the present, and has its holes as far back as
    can be.
    """
    lacking = without(union([(horizon_s, end_s)]), () if asked is None else asked.spans)
    if not lacking:
        return None
    from_s, to_s = lacking[-1]
    return Asked(max(from_s, to_s - page_s), to_s)


class Told(NamedTuple):
    """What of a symbol's time the exchange's history was asked for.

    border_s: where minutes begin; before it there are hours alone. Behind it hours stand in for minutes that are not
    there yet.
    """

    border_s: int
    minutes: Asked | None
    hours: Asked | None

    def known(self, length_s: int) -> tuple[Span, ...]:
        """For candles of that length: where no candle means that nothing was traded, ascending."""
        minutes = () if self.minutes is None else without(self.minutes.known, [(0, self.border_s)])
        if length_s < HOUR_S or self.hours is None:
            return minutes
        return union((*minutes, *self.hours.known))

    def covers(self, from_s: int, to_s: int, length_s: int) -> bool:
        """Whether all of [from_s, to_s) is known, for candles of that length."""
        return any(first <= from_s and to_s <= end for first, end in self.known(length_s)) or from_s >= to_s

    def completes(self, candle: Candle, length_s: int) -> bool:
        """Whether a candle is over, and known as a whole."""
        if candle.known_s == length_s:
            return True
        return candle.known_s == candle.seen_s > 0 and self.covers(candle.time_s, candle.time_s + length_s, length_s)

    def missing(
        self, candles: Iterable[Candle], length_s: int, from_s: int | None = None, to_s: int | None = None
    ) -> list[Span]:
        """The times between candles of which nothing is known, oldest first.

        from_s: also those from this time to the first candle. to_s: also those from the last candle to this time.
        """
        ends = [] if from_s is None else [from_s]
        starts: list[int] = []
        for candle in candles:
            starts.append(candle.time_s)
            ends.append(candle.time_s + length_s)
        if to_s is not None:
            starts.append(to_s)
        if from_s is None:
            starts = starts[1:]
        between = [(end_s, start_s) for end_s, start_s in zip(ends, starts, strict=False) if end_s < start_s]
        return list(without(between, self.known(length_s))) if between else []


def filled(hours: Iterable[Candle], minutes: Iterable[Candle], told: Told) -> list[Candle]:
    """What is known of hours, for candles of hours and longer, ascending: minutes, and hours where some are lacking.

    Both ascending, and all of an hour's minutes or none. An hour that was told takes the extremes of the minutes that
    are there, as a minute that was told takes those of its ticks.
    """
    whole = told.minutes.known if told.minutes is not None else ()
    by_hour: dict[int, list[Candle]] = {}
    for minute in minutes:
        by_hour.setdefault(minute.time_s // HOUR_S * HOUR_S, []).append(minute)
    for hour in hours:
        time_s, end_s = hour.time_s, hour.time_s + HOUR_S
        parts = by_hour.get(time_s, [])
        if time_s >= told.border_s:
            if any(first <= time_s and end_s <= end for first, end in whole):
                continue
            if sum(part.known_s for part in parts) == HOUR_S:
                continue
        if parts:  # of most hours there are none any more
            high = max([hour.high, *(part.high for part in parts)])
            low = min([hour.low, *(part.low for part in parts)])
            hour = hour._replace(high=high, low=low)
        by_hour[time_s] = [hour]
    return [part for time_s in sorted(by_hour) for part in by_hour[time_s]]


decode_asked = msgspec.json.Decoder(Asked).decode
