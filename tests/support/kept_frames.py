"""What a Framer writes to, kept for a test to look at."""

from __future__ import annotations

from collections.abc import Sequence

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.transport.interfaces import LogRecord


class KeptFrames:
    """A FrameLog that keeps what it is given."""

    def __init__(self, replay_end: int = 0, framed_end: int = 0) -> None:
        self.appended: list[tuple[Sequence[LogRecord], int, int]] = []
        self._replay_end = replay_end
        self._framed_end = framed_end

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        self.appended.append((records, partition, next_offset))

    def framed_end(self, partition: int) -> int:
        return self._framed_end

    def replay_end(self, partition: int) -> int:
        return self._replay_end

    def frames(self) -> list[PriceFrame]:
        decoded = [decode_record(record.value or b"") for records, _, _ in self.appended for record in records]
        return [frame for frame in decoded if isinstance(frame, PriceFrame)]


class KeptCandles:
    """A keeper of candles that notes how far ticks are framed."""

    def __init__(self) -> None:
        self.fold = CandleFold(["SOL_USDC"])
        self.framed_to = -1

    def framed(self, fold: CandleFold, next_offset: int) -> None:
        assert fold is self.fold
        self.framed_to = next_offset
