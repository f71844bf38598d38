"""Whether what a worker holds may still be told: one that was paused or cut off may have lost its cells unheard.

A group leaves a member its partitions for the session timeout after it was heard of last. So what the coordinator of
the group confirmed proves them for that long, counted from when it was asked: an answer may have lain in a socket while
the process stood still.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol


class Freshness(Protocol):
    """Asked before each read, so it must cost nothing."""

    def is_fresh(self) -> bool:
        """Whether nobody else can own by now what is owned here."""


class AlwaysFresh:
    """Of a log that one process holds by a lock."""

    def is_fresh(self) -> bool:
        """It is."""
        return True


def _clock() -> Callable[[], float]:
    # BOOTTIME goes on while the machine sleeps, as MONOTONIC does where there is no BOOTTIME but on Linux.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if (clock := getattr(time, name, None)) is not None:
            return partial(time.clock_gettime, clock)
    return time.monotonic


real_time_s = _clock()
"""Seconds since some moment, counted also while this process is stopped or its machine sleeps; never set."""


class MemberFreshness:
    """Of a member of a consumer group. hold_s: how long the group waits for a member that is silent."""

    def __init__(self, hold_s: float, clock_s: Callable[[], float] = real_time_s) -> None:
        self.clock_s = clock_s
        self._hold_s = hold_s
        self._until_s = float("-inf")

    def confirmed(self, asked_s: float) -> None:
        """The coordinator has confirmed the membership. asked_s: by `clock_s`, before it was asked. From any thread."""
        self._until_s = max(self._until_s, asked_s + self._hold_s)

    def is_fresh(self) -> bool:
        """Whether the last confirmation still holds."""
        return self.clock_s() < self._until_s
