"""Which of the market's ticks a cell has seen by now, as its frames tell it: across topics and lost ticks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from protocol.market import Told

if TYPE_CHECKING:
    from protocol.world import World


class Seen:
    """Which ticks a cell has seen, and how far its time has come.

    counts: of each symbol. end, epoch, restarts: of the numbered frames so far. received: of each symbol's newest
    tick, when frames say it. topic: the how manieth the ticks are of, lost_to: those before were lost by age.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.ticks_of = world.market.ticks_of
        self.restarts = self.topic = self.lost_to = 0
        self.counts = Counter[str]()
        self.received: dict[str, int] = {}
        self.end, self.epoch, self.now_ms = -1, 0, 0

    def up_to(self, symbol: str, offset: int) -> list[Told]:
        """The ticks of a symbol up to one, that were not seen before."""
        count, ticks, found = self.counts[symbol], self.ticks_of[symbol], []
        while count < len(ticks) and (ticks[count].topic, ticks[count].offset) <= (self.topic, offset):
            if ticks[count].topic == self.topic and ticks[count].offset >= self.lost_to:
                found.append(ticks[count])
            count += 1
        self.counts[symbol] = count
        return found

    def begins(self, frame: PriceFrame | RawFrame) -> None:
        """Of which topic a frame is, and what was lost before it."""
        world = self._world
        if frame.restarts > self.restarts:
            self.restarts, self.end, self.lost_to = frame.restarts, min(self.end, 0), 0
        quotes = (
            [one.quote for one in frame.ticks] if isinstance(frame, RawFrame) else [one.last for one in frame.symbols]
        )
        topics = {world.market.topic_of(quote.sequence) for quote in quotes}
        if len(topics) > 1 or (topics and min(topics) < self.topic):
            world.violation(f"a frame of the ticks' topics {topics} after one of {self.topic}")
        self.topic = max([self.topic, *topics])
        if frame.gap and frame.from_offset > max(self.end, 0):
            self.lost_to = frame.from_offset
            world.counted["gaps of trimmed ticks, as cells saw them"] += 1
            if frame.from_offset > world.market.trimmed(self.topic):
                world.violation(f"ticks up to {frame.from_offset} are said to be trimmed, and are not")

    def newest_ms(self, symbol: str) -> int:
        """From when a command's age of a symbol's quote counts."""
        return self.received.get(symbol, self.ticks_of[symbol][self.counts[symbol] - 1].quote.time_ms)

    def moves_to(self, time_ms: int) -> int:
        """Time goes on, and never back."""
        self.now_ms = max(self.now_ms, time_ms)
        return self.now_ms
