"""What a Framer writes to, kept for a test to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.engine.framer_state import Found, FramerState
from exness_streams.transport.interfaces import LogRecord


class KeptFrames:
    """A FrameLog that keeps what it is given. framed_end: None for one that does not know how far ticks are framed."""

    def __init__(self, framed_end: int | None = None) -> None:
        self.appended: list[tuple[Sequence[LogRecord], int, int]] = []
        self._framed_end = framed_end

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        self.appended.append((records, partition, next_offset))
        if self._framed_end is not None:
            self._framed_end = next_offset

    def framed_end(self, partition: int) -> int | None:
        return self._framed_end

    def records(self) -> list[PriceFrame | RawFrame]:
        decoded = [decode_record(record.value or b"") for records, _, _ in self.appended for record in records]
        return [frame for frame in decoded if isinstance(frame, PriceFrame | RawFrame)]

    def frames(self) -> list[PriceFrame]:
        return [frame for frame in self.records() if isinstance(frame, PriceFrame)]


NOTHING_FRAMED = FramerState(1, 0, 0)


class KeptTicks:
    """The lease of a ticks' partition, and its candles; kept in memory. state: as committed."""

    def __init__(
        self,
        state: FramerState | None = NOTHING_FRAMED,
        *,
        ticks_start: int = 0,
        ticks_end: int = 1_000_000,
        committed: int | None = None,
        symbols: Sequence[str] = ("SOL_USDC",),
        bands: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.guard = PriceGuard(bands or {})
        self.fold = CandleFold(symbols)
        self.found: Found | None = Found(0, state, ticks_start, ticks_end, committed)
        self.framed_to = -1
        self.kept: list[FramerState] = []
        self.next: FramerState | None = None

    @property
    def state(self) -> FramerState:
        assert self.found is not None
        assert self.found.state is not None
        return self.found.state

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        if fold is not self.fold or self.found is None:
            return False
        self.kept.append(state)
        self.next = state
        self.flush()
        return True

    def framed(self, fold: CandleFold, next_offset: int, state: FramerState) -> None:
        assert fold is self.fold
        self.framed_to, self.next = next_offset, state

    def flush(self) -> None:
        """As once a second."""
        assert self.found is not None
        self.found = self.found._replace(state=self.next, committed=max(self.framed_to, 0))
