"""How far this machine's clock is from the brokers', by the times that they give to records which have just come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WITHIN_S = 30.0
SAMPLES_MIN = 3

DIFFERS_MS_MAX = 5_000
"""By so much a clock may be off: the way of a record, and what a time service leaves."""


class BrokerClock:
    """Of one process. Records that waited, or were on their way for long, only look older than they are: the least
    difference counts.

    wall_ms: this machine's clock. clock_s: runs on steadily.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall_ms, self._clock_s = wall_ms, clock_s
        self._samples: deque[tuple[float, int]] = deque()

    def came(self, appended_ms: int) -> None:
        """The last record there is has come, and a broker gave it this time."""
        self._samples.append((self._clock_s(), self._wall_ms() - appended_ms))
        self._forget()

    def _forget(self) -> None:
        since_s = self._clock_s() - WITHIN_S
        while self._samples and self._samples[0][0] < since_s:
            self._samples.popleft()

    def ahead_ms(self) -> int | None:
        """How far this machine's clock is ahead of the brokers'; None while too little came lately to tell."""
        self._forget()
        if len(self._samples) < SAMPLES_MIN:
            return None
        return min(ahead_ms for _, ahead_ms in self._samples)

    def fault(self) -> str:
        """What is wrong with it, as a sentence; empty when nothing is."""
        ahead_ms = self.ahead_ms()
        if ahead_ms is None or abs(ahead_ms) <= DIFFERS_MS_MAX:
            return ""
        side = "ahead of" if ahead_ms > 0 else "behind"
        return (
            f"this machine's clock is {abs(ahead_ms) / 1000:.1f} s {side} the brokers': set both by a time service "
            "(docs/operations.md, Workers whose settings or clocks differ)"
        )
