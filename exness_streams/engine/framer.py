"""The market agent's work: ticks in, price frames out to every cell; and every tick into its candle.

A framer's session begins with an epoch of its own and ends with the partition, with a write whose end nobody knows,
and with a clock that jumps. What the next session makes of it: framer_state.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.candles import CandleFold
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.market_states import Markets
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.rules import NEWEST, PACKED_FRAMES
from exness_streams.domain.ticks import TickFault
from exness_streams.engine.frame_cutter import Frame, FrameCutter, all_open
from exness_streams.engine.framer_state import (
    AHEAD_TICKS_MIN,
    PARTED_S_MAX,
    Clocks,
    Found,
    FramerState,
    Missing,
    Pace,
    Seen,
    Takeover,
    take_over,
)
from exness_streams.engine.tick_guard import Suspensions, TickGuard
from exness_streams.engine.tick_reading import Board, OffsetTickRecord, TickReader
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.messages import MARKET_UPDATES_TOPIC, PLAIN_TOPICS, Topics
from exness_streams.transport.interfaces import FrameLog, LogRecord

log = logging.getLogger(__name__)

BACKLOG_TICKS = 1_000
"""A batch this large is a backlog: the next is taken at once, without the pace."""

SLICE_TICKS_MAX = 1_000

BEAT_S = 1.0
"""When nothing else came for so long, a frame without prices tells the cells the time."""

LOOK_S = 0.25


class TicksLease(Protocol):
    """Who has the ticks' partition, keeps its candles, and the framer's state with them (engine/candles.py)."""

    @property
    def fold(self) -> CandleFold:
        """Takes the ticks. Another one each time the partition is taken over."""

    @property
    def guard(self) -> PriceGuard:
        """Of the prices of the ticks that `fold` takes, with the references that were stored."""

    @property
    def found(self) -> Found | None:
        """What a framer goes on from, its state as committed by now; None while the partition is not owned here."""

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        """Commit the state at once. False when the partition of `fold` is another's meanwhile. LogFault."""

    def framed(self, fold: CandleFold, next_offset: int, state: FramerState) -> None:
        """The ticks before an offset are in `fold`, and framed: to be committed with the next candles."""


def epoch_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def nothing_seen() -> Seen:
    """No cells."""
    return Seen()


async def nothing_told() -> Seen:
    """No cells."""
    return Seen()


async def nothing_known() -> int:
    """No more than the cells here have seen."""
    return 0


class _Session:
    """One framer's, from its takeover on.

    state: as it is to be committed next. is_atomic: the log keeps how far ticks are framed with the frames, and needs
    no promise. position: ticks before it were taken. ticks_end: those before it waited at the takeover. written_s: when
    the last frame was durable (monotonic).
    """

    def __init__(
        self,
        partition: int,
        fold: CandleFold,
        state: FramerState,
        cutter: FrameCutter,
        *,
        ticks_end: int,
        is_atomic: bool,
        now_ms: int,
        now_s: float,
    ) -> None:
        self.partition, self.fold, self.state, self.cutter = partition, fold, state, cutter
        self.ticks_end, self.is_atomic = ticks_end, is_atomic
        self.clocks, self.pace = Clocks(now_ms, now_s), Pace(cutter.end, now_s)
        self.position = cutter.end
        self.written_s = now_s + BEAT_S  # ticks that wait go first: it was not later when they came


class Framer:
    """Turns batches of ticks into frames; one for each partition of the ticks' topic.

    catalogue: whose spread rates the quotes are marked up with. lease: of the ticks' partition.
    seen: what the cells near here have seen. told: what all have, as committed. rules: by which every cell goes at
    least, whoever owns it, 0: not known.
    settings: the digest of those that decide. markets: those that are not open now. board: what holds their ticks back,
    None: nothing does.
    clock_ms: ms since the epoch; no tick's time is taken to be later. It is read here, before the journal, since what
    folds the journal may not look at a clock.
    """

    def __init__(
        self,
        frame_log: FrameLog,
        cells: int,
        pace_ms: int,
        lease: TicksLease,
        catalogue: Catalogue | None = None,
        *,
        topics: Topics = PLAIN_TOPICS,
        metrics: WorkMetrics | None = None,
        seen: Callable[[], Seen] = nothing_seen,
        told: Callable[[], Awaitable[Seen]] = nothing_told,
        rules: Callable[[], Awaitable[int]] = nothing_known,
        settings: str | None = None,
        markets: Callable[[], Markets] = all_open,
        board: Board | None = None,
        clock_ms: Callable[[], int] = epoch_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._frame_log = frame_log
        self._topics = topics
        self._lease = lease
        self._cells = range(cells)
        self._pace_s = pace_ms / 1000
        self._seen, self._told, self._rules = seen, told, rules
        self._settings, self._markets = settings, markets
        self._clock_ms, self._monotonic_s = clock_ms, monotonic_s
        self._session: _Session | None = None
        self._holder = object()
        self._framing = asyncio.Lock()
        self.next_offsets: dict[int, int] = {}
        self._metrics = metrics or WorkMetrics()
        self.counters: Counter[str] = Counter()
        self._board = board
        self._reader = TickReader(catalogue, topics.market_updates, self.counters, board)
        self.suspensions = Suspensions()

    @property
    def faults(self) -> Counter[TickFault]:
        """Ticks that are none, by what is wrong with them."""
        return self._reader.faults

    @property
    def suspended(self) -> Mapping[str, int]:
        """The markets whose newest prices are not believed yet, and since when (ms); none where the ticks are not."""
        return {} if self._session is None else self._lease.guard.suspended

    async def frame(self, partition: int, batch: Sequence[OffsetTickRecord]) -> None:
        """Write the frames of a batch; returns when the next batch may be taken. LogFault."""
        begun_s = time.monotonic()
        holder = self._holder
        async with self._framing:  # what a former holder has begun to write is framed, and known to be
            framed = await self._frame(holder, partition, batch)
        if framed and len(batch) < BACKLOG_TICKS:
            await asyncio.sleep(max(0.0, self._pace_s - (time.monotonic() - begun_s)))

    async def run(self) -> None:
        """Tell the time when nothing else is told. Runs for ever. LogFault."""
        while True:
            await self.beat()
            await asyncio.sleep(LOOK_S)

    async def beat(self) -> None:
        """One look: a frame without prices when none was written for a second. LogFault."""
        holder = self._holder
        async with self._framing:
            session = await self._open(holder)
            if session is None:
                return
            await self._look_at_rules(session)
            is_due = session.cutter.has_news or self._monotonic_s() - session.written_s >= BEAT_S
            if self._session is not session or not is_due:
                return
            if await self._write(session, [session.cutter.beat(session.position)]) and self._session is session:
                self._lease.framed(session.fold, session.state.framed, session.state)
                await self._promise_less(session)

    async def _known_rules(self, before: int) -> int:
        """They only go up: the newest are all that is asked for."""
        known = max(before, self._seen().rules)
        return known if known >= NEWEST else max(known, await self._rules())

    async def _look_at_rules(self, session: _Session) -> None:
        rules = await self._known_rules(session.state.rules)
        if rules > session.state.rules:
            session.state = msgspec.structs.replace(session.state, rules=rules)
            session.cutter.go_by(rules)

    def drop(self) -> None:
        """The ticks are another worker's now. Those that are not framed yet are that one's, too."""
        self._holder = object()
        self._session = None
        self.next_offsets.clear()

    async def _promise_less(self, session: _Session) -> None:
        """After a backlog: the next framer is to have fewer ticks to frame one by one. Nothing is written meanwhile."""
        ahead = session.pace.ahead(session.state.framed, self._monotonic_s())
        wanted = session.state.framed + ahead
        if not session.is_atomic and wanted + max(ahead, AHEAD_TICKS_MIN) < session.state.promised:
            session.state = msgspec.structs.replace(session.state, promised=wanted)
            await self._lease.keep(session.fold, session.state)

    # -- a session

    async def _open(self, holder: object) -> _Session | None:
        """The session under way, or a new one; None when the partition is not this worker's, or another's again."""
        if self._holder is not holder:
            return None
        found, session = self._lease.found, self._session
        if found is None:
            return None
        now_ms, now_s = self._clock_ms(), self._monotonic_s()
        position = 0
        if session is not None and session.fold is self._lease.fold:
            parted_s = session.clocks.parted_s(now_ms, now_s)
            if abs(parted_s) < PARTED_S_MAX:
                return session
            log.warning(
                "this machine's clock jumped by %.1f s (it was set, or the machine slept): frames go on in a new epoch",
                parted_s,
            )
            position = session.position
            found = found._replace(state=session.state, ticks_end=max(session.state.framed, found.ticks_end))
            self._session = None
        return await self._begin(holder, found, position, now_ms, now_s)

    async def _begin(self, holder: object, found: Found, position: int, now_ms: int, now_s: float) -> _Session | None:
        fold, framed_end = self._lease.fold, self._frame_log.framed_end(found.partition)
        rules = await self._known_rules(0 if found.state is None else found.state.rules)
        seen = self._seen()._replace(rules=rules)
        if found.state is not None and found.committed is None:  # perhaps the topic is another, and no cell is near
            seen = seen.joined(await self._told())
        taken = take_over(found, framed_end, seen, now_ms)
        state = taken.state
        # Before anything is appended: whoever wakes up with an epoch below writes for nobody. And before anything is
        # said: to a framer that is late, what the next one has done looks like ticks that are gone.
        if not await self._lease.keep(fold, state) or self._holder is not holder:
            return None
        self._say(found, taken)
        if self._board is not None:
            self._board.begin()
        self._lease.guard.let_go()  # by another clock than this session's
        guard = TickGuard(self._lease.guard, self.suspensions)
        cutter = FrameCutter(self._reader, self._clock_ms, taken, self._settings, self._markets, guard)
        session = self._session = _Session(
            found.partition,
            fold,
            state,
            cutter,
            ticks_end=found.ticks_end,
            is_atomic=framed_end is not None,
            now_ms=now_ms,
            now_s=now_s,
        )
        if state.stale_end >= 0:
            # Before more is framed: until then the log's own word is of a topic that is gone.
            if not await self._write(session, [cutter.beat(cutter.end)]):
                return None
            session.state = msgspec.structs.replace(session.state, stale_end=-1)
            if not await self._lease.keep(fold, session.state) or self._session is not session:
                return None
        session.position = max(position, taken.first)
        return session

    def _say(self, found: Found, taken: Takeover) -> None:
        topic = self._topics.market_updates
        if taken.missing is Missing.TRIMMED:
            log.warning(
                "%d records of %s were removed by age before anybody framed them: prices go on at offset %d",
                found.ticks_start - taken.state.framed,
                topic,
                found.ticks_start,
            )
        elif taken.missing is Missing.MADE_ANEW:
            log.warning(
                "%s was made anew or cut: it ends at offset %d, below what was framed; prices go on from its beginning",
                topic,
                found.ticks_end,
            )

    # -- frames

    async def _frame(self, holder: object, partition: int, batch: Sequence[OffsetTickRecord]) -> bool:
        """Whether there was anything to frame."""
        session = await self._open(holder)
        if session is None:
            return False
        cutter, before = session.cutter, session.cutter.ticks
        frames: list[Frame] = []
        for first in range(0, len(batch), SLICE_TICKS_MAX):
            frames += cutter.frames(batch[first : first + SLICE_TICKS_MAX], session.fold)
            if first + SLICE_TICKS_MAX < len(batch):
                await asyncio.sleep(0)
                if self._session is not session:
                    return False
        next_offset = batch[-1].offset + 1
        session.position = max(session.position, next_offset)
        is_behind = len(batch) >= BACKLOG_TICKS or next_offset < session.ticks_end
        frames += cutter.cut(session.position, is_behind=is_behind)
        self._metrics.batch(MARKET_UPDATES_TOPIC, len(batch))
        self.counters["ticks"] += cutter.ticks - before
        if frames and not await self._write(session, frames):
            return False
        if self._session is session:
            self.next_offsets[partition] = next_offset
            # Not beyond the last frame: what moved nothing is told of by the next one.
            self._lease.framed(session.fold, min(next_offset, cutter.end), session.state)
        return bool(frames)

    async def _write(self, session: _Session, frames: Sequence[Frame]) -> bool:
        """Append to every cell's journal; False when the partition was lost before. LogFault.

        Not beyond what was promised, and committed: what is promised anew reaches seconds ahead, and is committed with
        the candles, so that this seldom waits.
        """
        end = frames[-1].to_offset
        if not await self._promise(session, end):
            if self._session is session:  # its frames are cut and not written: those after them would leave a gap
                self.drop()
            return False
        packed = session.state.rules >= PACKED_FRAMES
        encoded = [codec.encode_frame(frame, packed=packed) for frame in frames]
        written = [LogRecord(self._topics.journal, None, value, cell) for value in encoded for cell in self._cells]
        try:
            await self._frame_log.append(written, session.partition, end)
        except BaseException:  # nobody knows what was written: whatever comes next has another epoch
            self.drop()
            raise
        self.counters["frames"] += len(frames)
        session.written_s = now_s = self._monotonic_s()
        ahead = 0 if session.is_atomic else session.pace.ahead(end, now_s)
        promised = max(session.state.promised, end + ahead)
        session.state = msgspec.structs.replace(session.state, framed=end, promised=promised)
        return True

    async def _promise(self, session: _Session, end: int) -> bool:
        """Whether frames up to a number may be written: it is committed that somebody may have. LogFault."""
        found = self._lease.found
        if self._session is not session or found is None or found.state is None:
            return False
        if session.is_atomic or end <= found.state.promised:
            return True
        promised = end + session.pace.ahead(end, self._monotonic_s())
        session.state = msgspec.structs.replace(session.state, promised=promised)
        self.counters["promises"] += 1
        return await self._lease.keep(session.fold, session.state) and self._session is session
