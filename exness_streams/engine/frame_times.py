"""When the market agent's last record came to each cell: whether prices come at all, whatever their clocks say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


class FrameTimes:
    """By the monotonic clock of this process alone. clock_s: seconds, from any beginning."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._came_s: dict[int, float] = {}

    def came(self, partition: int) -> None:
        """A frame was folded into a cell."""
        self._came_s[partition] = self._clock_s()

    def forget(self, partitions: Iterable[int]) -> None:
        """These cells are another's, or loaded anew."""
        for partition in partitions:
            self._came_s.pop(partition, None)

    def age_s(self, partition: int) -> float | None:
        """Seconds since a cell's last frame; None before its first one here, when its quotes alone can tell."""
        came_s = self._came_s.get(partition)
        return None if came_s is None else self._clock_s() - came_s
