"""What the framer keeps with the ticks' lease, and what the next one makes of it.

Whoever frames has an epoch, counted up in the ticks' own table before anything is written, and a promise: how far its
frames may go. So a framer that was paused and wakes up as a stranger writes nothing beyond what the next one knows of,
and the cells put it aside by its epoch. The protocol with its crash table: docs/decisions/0023-the-framers-promise.md.

Ticks are numbered by their offsets in their topic, and by how often that was begun anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta

FRAMER_KEY = b"framer/state"
"""Of the FramerState, in the table of candles: that is the table of the ticks' partition."""

AHEAD_S = 3.0
"""The promise reaches this far ahead, at the pace of the ticks; it is renewed once a second."""

AHEAD_TICKS_MIN = 500
AHEAD_TICKS_MAX = 50_000
"""What was promised and not framed goes out tick by tick after a crash: at most this many."""

PARTED_S_MAX = 2.0


class FramerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The framer's entry. Offsets are of the ticks' topic.

    framed: up to here frames are durable in every partition. promised: beyond it this epoch has written none.
    restarts: how often the topic was begun anew. rules: by which every cell goes at least, 0: not known.
    stale_end: a log's word on what is framed, if that is of the topic before the last restart.
    """

    epoch: int
    framed: int
    promised: int
    restarts: int = 0
    rules: int = 0
    stale_end: int = -1


_decoder = msgspec.json.Decoder(FramerState)
decode_framer_state = _decoder.decode


class Found(NamedTuple):
    """What a worker finds of the ticks' partition that it has just taken over, offsets as in the topic.

    partition: of the topic. state: None when nobody has left one, or it was lost. committed: the group's offset.
    """

    partition: int
    state: FramerState | None
    ticks_start: int
    ticks_end: int
    committed: int | None = None


class Missing(Enum):
    """Why the first tick there is does not continue what was framed."""

    NOTHING = ""
    TRIMMED = "trimmed"
    MADE_ANEW = "made anew"


class Takeover(NamedTuple):
    """How the next framer begins. state: to be committed before anything else. first: the first tick that can be read
    and was not framed; state.promised: up to which ticks go out one by one, for another may have framed them."""

    state: FramerState
    first: int
    missing: Missing


class Seen(NamedTuple):
    """What the cells near a framer have seen: the highest epoch, how often the topic was begun anew, up to which tick
    of it, and the rules by which every cell goes at least; 0: not known."""

    epoch: int = 0
    restarts: int = 0
    ticks_end: int = 0
    rules: int = 0

    def joined(self, other: Seen) -> Seen:
        """What two of them know together; the rules are this one's."""
        restarts, ticks_end = max((self.restarts, self.ticks_end), (other.restarts, other.ticks_end))
        return Seen(max(self.epoch, other.epoch), restarts, ticks_end, self.rules)


def seen_by(cells: Iterable[Cell], partitions: int) -> Seen:
    """What these cells have seen. Their rules count only when they are all there are: a frame goes to every one."""
    return seen_as([cell.meta for cell in cells], partitions)


def seen_as(metas: Sequence[Meta], partitions: int) -> Seen:
    """As seen_by, by what cells say of themselves."""
    if not metas:
        return Seen()
    restarts, ticks_end = max((meta.ticks_restarts, meta.ticks_end) for meta in metas)
    rules = min(meta.rules for meta in metas) if len(metas) == partitions else 0
    return Seen(max(meta.framer_epoch for meta in metas), restarts, max(0, ticks_end), rules)


def take_over(found: Found, framed_end: int | None, seen: Seen, now_ms: int) -> Takeover:
    """framed_end: the log's word on how far ticks are framed, None when it has none and the state says it.

    An epoch that was lost is replaced by the time (ms), which is above any that was counted: too low a one, and the
    cells would be deaf. So they would be to offsets that have fallen: what they have seen beyond any promise is of a
    topic that was another one.
    """
    known = found.state
    if known is None:
        at = found.ticks_start if found.committed is None else found.committed
        known = FramerState(now_ms - 1, at, max(at, found.ticks_end), seen.restarts)
    if framed_end is not None and framed_end != known.stale_end:
        known = msgspec.structs.replace(known, framed=framed_end, promised=framed_end)
    known = msgspec.structs.replace(known, epoch=max(known.epoch, seen.epoch) + 1, rules=max(known.rules, seen.rules))
    begin = found.ticks_start
    has_seen_more = (seen.restarts, seen.ticks_end) > (known.restarts, known.promised)
    # With a topic its group's offset is deleted, too: then what cells have seen of it tells, however old the state is.
    is_forgotten = found.state is not None and found.committed is None
    is_seen_beyond = (seen.restarts, seen.ticks_end) > (known.restarts, found.ticks_end)
    if known.framed > found.ticks_end or has_seen_more or (is_forgotten and is_seen_beyond):
        restarts = max(known.restarts, seen.restarts) + 1
        stale_end = -1 if framed_end is None else framed_end
        # From 0, also where its first ticks are gone already: cells begin there, and this framer or the next tells them
        # of the gap.
        state = msgspec.structs.replace(known, framed=0, promised=begin, restarts=restarts, stale_end=stale_end)
        return Takeover(state, begin, Missing.MADE_ANEW)
    if known.framed < begin:
        state = msgspec.structs.replace(known, promised=max(known.promised, begin))
        return Takeover(state, begin, Missing.TRIMMED)
    return Takeover(known, known.framed, Missing.NOTHING)


class Pace:
    """How many ticks a promise reaches ahead: by how many came in the last seconds."""

    LOOK_S = 0.5

    def __init__(self, number: int, now_s: float) -> None:
        self._number, self._since_s = number, now_s
        self._a_second = 0.0

    def ahead(self, number: int, now_s: float) -> int:
        """number: of the tick that was reached."""
        took_s = now_s - self._since_s
        if took_s >= self.LOOK_S:
            newest = (number - self._number) / took_s
            self._a_second = max(newest, (self._a_second + newest) / 2)  # up at once, down by and by
            self._number, self._since_s = number, now_s
        return int(min(AHEAD_TICKS_MAX, max(AHEAD_TICKS_MIN, self._a_second * AHEAD_S)))


class Clocks:
    """Whether the wall clock and the monotonic one still go together."""

    def __init__(self, wall_ms: int, monotonic_s: float) -> None:
        self._wall_ms, self._monotonic_s = wall_ms, monotonic_s

    def parted_s(self, wall_ms: int, monotonic_s: float) -> float:
        """How far the wall clock has gone ahead since then; negative: it was put back."""
        return (wall_ms - self._wall_ms) / 1000 - (monotonic_s - self._monotonic_s)
