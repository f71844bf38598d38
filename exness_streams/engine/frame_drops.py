"""Frames whose ticks cells do not take: counted by reason, and which cells take none at all: their prices stand still.

A cell that drops a frame since it lacks the ticks before it drops all that come after: it is deaf until frames continue
what it has seen, or the topic of ticks begins anew. So is one that has seen a higher epoch than the framer's. By the
protocol neither happens; where it does, this says so once, and the worker is not ready.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from exness_streams.domain.frame_fold import IgnoredFrame

log = logging.getLogger(__name__)

LEFT_OUT = (IgnoredFrame.STRADDLE, IgnoredFrame.GAP)
OF_ANOTHER = (IgnoredFrame.OLD_EPOCH, IgnoredFrame.OLD_TOPIC)

ANOTHER_S_MAX = 10.0
"""A former framer's frames come for a moment. Who owns the ticks writes one a second: without any for so long, and with
others' frames, a cell takes the owner for a former one."""

WORDS = {
    IgnoredFrame.STRADDLE: "hide ticks that it has not seen",
    IgnoredFrame.GAP: "leave out ticks that it has not seen",
    IgnoredFrame.OLD_EPOCH: "are of a framer before the newest that it has seen",
    IgnoredFrame.OLD_TOPIC: "are of a topic of ticks before the newest that it has seen",
}


@dataclass
class Drops:
    """Of one cell, one after the other, without any that was taken. since_s: by the monotonic clock."""

    reason: IgnoredFrame
    since_s: float
    since_ms: int
    frames: int = 0
    is_said: bool = False


class FrameDrops:
    """Of all cells here. counts: by reason, since the start."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, wall_s: Callable[[], float] = time.time) -> None:
        self._clock_s, self._wall_s = clock_s, wall_s
        self._drops: dict[int, Drops] = {}
        self.counts: Counter[IgnoredFrame] = Counter()

    def took(self, partition: int) -> None:
        """A frame moved the cell's prices, or its time alone."""
        if self._drops and (drops := self._drops.pop(partition, None)) is not None and drops.is_said:
            log.info(
                "cell %d takes frames again, after %.0f s and %d frames that it dropped",
                partition,
                self._clock_s() - drops.since_s,
                drops.frames,
            )

    def dropped(self, partition: int, offset: int, reason: IgnoredFrame) -> None:
        """offset: of the frame's record. A frame of ticks that the cell had does not tell whether it takes others."""
        self.counts[reason] += 1
        if reason is IgnoredFrame.REPEATED:
            return
        drops = self._drops.get(partition)
        if drops is None or (reason in LEFT_OUT and drops.reason in OF_ANOTHER):
            drops = self._drops[partition] = Drops(reason, self._clock_s(), int(self._wall_s() * 1000))
        drops.frames += 1
        if not drops.is_said and self._is_deaf(drops):
            drops.is_said = True
            log.error(
                "cell %d drops all frames since record %d of partition %d of the journal, for they %s: its prices "
                "stand still. This is a defect of the framer, please report it (docs/operations.md, A deaf cell)",
                partition,
                offset,
                partition,
                WORDS[drops.reason],
            )

    def _is_deaf(self, drops: Drops) -> bool:
        return drops.reason in LEFT_OUT or self._clock_s() - drops.since_s >= ANOTHER_S_MAX

    def of(self, partition: int) -> Drops | None:
        """None while the cell takes frames, or none have come."""
        drops = self._drops.get(partition)
        return drops if drops is not None and self._is_deaf(drops) else None

    def deaf_s(self, partition: int) -> float:
        """For how many seconds a cell has dropped all frames; 0 when it does not."""
        drops = self.of(partition)
        return 0.0 if drops is None else self._clock_s() - drops.since_s

    def forget(self, partitions: Iterable[int]) -> None:
        """These cells are another's, or loaded anew."""
        for partition in partitions:
            self._drops.pop(partition, None)
