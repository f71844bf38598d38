"""Where the numbers of each symbol's updates go on after a restart or a takeover: above all that were published."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from exness_streams.domain.quotes import AHEAD_MS_MAX
from exness_streams.market_data.quotes import epoch_us
from exness_streams.market_data.ticks import TickRecord, note_sequences

WINDOW_TICKS = 10_000
"""So many are looked through at once, from the end backwards, until every symbol has been found."""
LOOK_S_MAX = 3.0
"""For so long; a symbol that was quiet for longer is numbered above anything that it can have."""
SEQUENCE_AHEAD_US_MAX = 24 * 3_600 * 1_000_000
"""A sequence so far ahead of our clock is none of ours: anybody may write to the topic. Nobody goes on above it."""

ReadTicks = Callable[[int, int], Awaitable[Sequence[TickRecord]]]
"""Reads the records of [from, to) of the topic."""


async def newest_sequences(
    symbols: Collection[str],
    start: int,
    end: int,
    read: ReadTicks,
    *,
    clock_us: Callable[[], int] = epoch_us,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> dict[str, int]:
    """The newest sequence of each symbol in the topic, whose records are those of [start, end).

    A symbol that was not found in time has one above the present: whatever we published, or another process of ours, is
    not further ahead of the clock than an update may be.
    """
    found: dict[str, int] = {}
    missing, first, sequence_max = set(symbols), end, clock_us() + SEQUENCE_AHEAD_US_MAX
    until_s = monotonic_s() + LOOK_S_MAX
    while first > start and (first == end or (missing and monotonic_s() < until_s)):
        last, first = first, max(start, first - WINDOW_TICKS)
        records: Iterable[TickRecord] = await read(first, last)
        if last != end:
            keys = {symbol.encode() for symbol in missing}
            records = (record for record in records if getattr(record, "key", None) in keys)
        in_window: dict[str, int] = {}
        note_sequences(records, in_window, sequence_max)
        # What was found later in the topic is newer, and higher.
        found = in_window | found
        missing -= found.keys()
    if first > start:
        found.update(dict.fromkeys(missing, clock_us() + AHEAD_MS_MAX * 1000))
    return found
