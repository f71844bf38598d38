"""One cell, as far as frames go: what it takes in, by decision 0023. Prices only rise, and name their ticks."""

from __future__ import annotations

from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame


class FrameReader:
    """Reads one partition of the journal.

    ends: (restarts, offset) up to which ticks were taken. taken: their prices. dropped: what a cell must never see.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.ends = (0, 0)
        self.taken: list[int] = []
        self.dropped: list[str] = []

    def fold(self, frame: PriceFrame | RawFrame) -> None:
        if frame.epoch < self.epoch:
            return
        self.epoch = frame.epoch
        begins, ends = (frame.restarts, frame.from_offset), (frame.restarts, frame.to_offset)
        if ends <= self.ends:
            return
        if frame.restarts > self.ends[0]:
            self.ends = begins
        ticks = _ticks(frame)
        if begins > self.ends and not frame.gap:
            self.dropped.append(f"{begins} after {self.ends}")
        elif begins < self.ends and isinstance(frame, PriceFrame):
            self.dropped.append(f"{self.ends} in {begins} to {ends}")
        else:
            self.taken += [price for offset, price in ticks if offset >= self.ends[1]]
            self.ends = ends


def _ticks(frame: PriceFrame | RawFrame) -> list[tuple[int, int]]:
    """(offset, price). When prices rise, a staircase has each tick but the last."""
    if isinstance(frame, RawFrame):
        found = [(tick.offset, int(tick.quote.price)) for tick in frame.ticks]
    else:
        steps = [(step.offset, int(step.price)) for one in frame.symbols for step in one.bid_highs]
        found = [*steps, *((one.offset, int(one.last.price)) for one in frame.symbols)]
    return [(offset + frame.from_offset, price) for offset, price in found]
