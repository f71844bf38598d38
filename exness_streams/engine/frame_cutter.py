"""Where one frame ends and the next begins, in the session of one framer: each frame says which ticks it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.market_states import Markets, MarketState
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.quotes import bounded_ms, sequence_bound
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder
from exness_streams.domain.rules import FRAMES_BY_OFFSET, MARKET_STATES
from exness_streams.engine.framer_state import Takeover
from exness_streams.engine.tick_guard import Suspensions, TickGuard
from exness_streams.engine.tick_reading import OffsetTickRecord, TickReader, day_of, receipt_of

Frame = PriceFrame | RawFrame

HALTED = MarketState.HALTED.value

_AnyFrame = TypeVar("_AnyFrame", PriceFrame, RawFrame)

TELL_MS = 1_000
"""What has not changed of source, settings and markets is told this seldom; each cell keeps what it was told."""


def all_open() -> Markets:
    """No market has a state that needs to be told."""
    return ()


class FrameCutter:
    """Ticks in, frames out, one after the other without a gap in their offsets.

    Ticks before taken.state.promised may have been framed by another: they go out one by one, since no frame may
    straddle what cells have seen; in raw frames where the rules know those. settings: the digest of those that decide.
    markets: those that are not open now. guard: of the prices, None: all are believed.
    """

    def __init__(
        self,
        reader: TickReader,
        clock_ms: Callable[[], int],
        taken: Takeover,
        settings: str | None = None,
        markets: Callable[[], Markets] = all_open,
        guard: TickGuard | None = None,
    ) -> None:
        self._guard = guard or TickGuard(PriceGuard({}), Suspensions())
        self._reader, self._clock_ms, self._settings, self._markets = reader, clock_ms, settings, markets
        state = self._state = taken.state
        self.end = state.framed
        self.ticks = 0
        self._first, self._raw_end = taken.first, state.promised
        self._now_ms = self._received_ms = clock_ms()
        self._source: str | None = None
        self._told: tuple[int, str | None] | None = None
        self._told_markets: tuple[int, Markets | None] = (0, None)
        self._by_offset = state.rules >= FRAMES_BY_OFFSET
        self._tells_markets = state.rules >= MARKET_STATES
        self._raw: RawFrameBuilder | None = None
        self._builder = self._staircases()
        if self._by_offset and taken.first < self._raw_end:
            self._begin_raw()
        else:
            self._builder.skip_to(taken.first)

    def _staircases(self) -> FrameBuilder:
        state = self._state
        builder = FrameBuilder(self.end, epoch=state.epoch, restarts=state.restarts, by_offset=self._by_offset)
        builder.tells_books = self._tells_markets
        return builder

    @property
    def has_news(self) -> bool:
        """Whether a market's state has changed, and no frame has told it."""
        return self._tells_markets and self._markets() != self._told_markets[1]

    def go_by(self, rules: int) -> None:
        """All cells go by these rules from now on. To be called after a cut."""
        if rules >= MARKET_STATES:
            self._tells_markets = self._builder.tells_books = True
            if self._raw is not None:
                self._raw.tells_books = True
        if rules >= FRAMES_BY_OFFSET and not self._by_offset:
            self._by_offset = self._builder.by_offset = True
            if self._raw is None and self.end < self._raw_end:  # each offset before has a frame of its own
                self._begin_raw()

    def _begin_raw(self) -> None:
        state = self._state
        self._raw = RawFrameBuilder(self.end, epoch=state.epoch, restarts=state.restarts)
        self._raw.tells_books = self._tells_markets
        if self._first > self.end:
            self._raw.skip_to(self._first)

    def frames(self, batch: Sequence[OffsetTickRecord], fold: CandleFold) -> Iterator[Frame]:
        """The frames that end among these ticks; what comes after the last of them ends with `cut`."""
        self._now_ms = now_ms = self._clock_ms()
        sequence_max = sequence_bound(now_ms)
        read, quote_of, keep, receipt = self._reader.read, self._reader.quote, fold.add, receipt_of(batch)
        heard_ms = self._reader.heard_ms
        framed_end, raw_end, add, take = self.end, self._raw_end, self._builder.add, self._guard.take
        for record in batch:
            tick = read(record)
            if tick is None:
                continue
            symbol, time_ms, offset = tick.symbol, bounded_ms(tick.timestamp, now_ms), record.offset
            received_ms = receipt(record)
            if received_ms is None or not 0 < received_ms < now_ms:
                received_ms = now_ms  # none of the future
            received_ms = max(received_ms, min(time_ms, now_ms))  # nor before it was: a broker's clock may be slow
            heard_ms[symbol] = received_ms
            believed, day = take(tick, received_ms), day_of(tick)
            if believed is not None:
                tick, day = self._guard.told(tick, believed, received_ms), None if believed.suspended else day
                if tick is None:
                    continue
            is_traded = tick.state is None or tick.state != HALTED  # else it repeats the last price there was
            if is_traded and (believed is None or not believed.suspended):
                keep(symbol, tick.sequence, time_ms, tick.price, now_ms)
            if offset < framed_end:
                continue  # read again for the candles alone
            quote, age_ms = quote_of(record, tick, time_ms), tick.book_age_ms
            self.ticks += 1
            if self._raw is not None:
                if offset < raw_end:
                    if self._raw.is_full:
                        yield from self._cut(offset, received_ms)
                    self._raw.add(symbol, quote, day, offset=offset, received_ms=received_ms, book_age_ms=age_ms)
                    self._source = tick.source or self._source
                    continue
                yield from self._end_raw(received_ms)
                add = self._builder.add
            if self.end < raw_end:
                yield from self._fill(min(offset, raw_end), received_ms)
            if not add(symbol, quote, sequence_max, day, offset=offset, received_ms=received_ms, book_age_ms=age_ms):
                yield from self._cut(offset, received_ms)
                add(symbol, quote, sequence_max, day, offset=offset, received_ms=received_ms, book_age_ms=age_ms)
            self._source = tick.source or self._source
            if offset < raw_end:
                yield from self._fill(offset + 1, received_ms)
            self._received_ms = received_ms

    def cut(self, end: int, *, is_behind: bool) -> Iterator[Frame]:
        """The frame of the ticks before the offset `end` that are in none yet, unless they move nothing.

        is_behind: more of them wait, so that it is not later for a cell than the last of these was received.
        """
        time_ms = self._received_ms if is_behind else self._clock_ms()
        if self._raw is None and self.end < self._raw_end:
            yield from self._fill(min(end, self._raw_end), time_ms)
        if self._raw is not None or self.end >= self._raw_end:
            yield from self._cut(end, time_ms)

    def beat(self, end: int) -> Frame:
        """A frame that tells the time, and that there is no tick before `end` but those that were framed."""
        time_ms = self._clock_ms()
        if self._raw is None:
            alone = self.end < self._raw_end
            frame: Frame | None = self._staircase(min(end, self.end + 1) if alone else end, time_ms, always=True)
        else:
            frame = self._raw_frame(end, time_ms)
            if frame is None:  # a raw frame is of some ticks
                clock = self._staircases()
                frame = clock.cut(time_ms, self._source, end=self.end, settings=self._settings, always=True)
                frame = None if frame is None else self._with_markets(frame)
        if frame is None:
            raise AssertionError("a frame was to be made whatever there is to tell")
        return frame

    def _cut(self, end: int, time_ms: int) -> Iterator[Frame]:
        frame = self._staircase(end, time_ms) if self._raw is None else self._raw_frame(end, time_ms)
        if frame is not None:
            yield frame

    def _fill(self, end: int, time_ms: int) -> Iterator[Frame]:
        """Without raw frames, a frame for each offset, its tick or none: another's may have ended at any of them."""
        while self.end < end:
            frame = self._staircase(self.end + 1, time_ms, always=True)
            if frame is not None:
                yield frame

    def _end_raw(self, time_ms: int) -> Iterator[Frame]:
        """Up to the promise, not to its last tick: beyond that, too, another's frame may have ended."""
        yield from self._cut(self._raw_end, time_ms)
        self._raw, self._builder = None, self._staircases()

    def _staircase(self, end: int, time_ms: int, *, always: bool = False) -> PriceFrame | None:
        sequence_max = sequence_bound(self._now_ms)
        frame = self._builder.cut(time_ms, self._source, sequence_max, end=end, settings=self._settings, always=always)
        if frame is None:
            return None
        self.end = frame.to_offset
        return self._in_short(frame)

    def _in_short(self, frame: PriceFrame) -> PriceFrame:
        """Without what has not changed and was told less than a second ago."""
        frame = self._with_markets(frame)
        told_ms, source = self._told or (0, None)
        if self._told is None or source != frame.source or not 0 <= frame.time_ms - told_ms < TELL_MS:
            self._told = frame.time_ms, frame.source
            return frame
        return msgspec.structs.replace(frame, source=None, settings=None)

    def _with_markets(self, frame: _AnyFrame) -> _AnyFrame:
        if not self._tells_markets:
            return frame
        told_ms, told = self._told_markets
        markets = self._markets()
        if markets == told and 0 <= frame.time_ms - told_ms < TELL_MS:
            return frame
        self._told_markets = frame.time_ms, markets
        return msgspec.structs.replace(frame, markets=markets)

    def _raw_frame(self, end: int, time_ms: int) -> RawFrame | None:
        if self._raw is None:
            return None
        frame = self._raw.cut(time_ms, self._source, end=end, settings=self._settings)
        if frame is None:
            return None
        self.end = frame.to_offset
        return self._with_markets(frame)
