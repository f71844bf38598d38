"""Virtual time for a whole process: installed before Faust and mode are imported, which keep `time`'s functions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from protocol.clocks import EPOCH_S, TRUE_CLOCK, Clock
from protocol.loop import VirtualLoop, process

REAL_MONOTONIC_S = time.monotonic
_BEFORE = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "clock_gettime")}


def _clock() -> Clock | None:
    """Of the simulated process that asks, on a simulated loop."""
    if not isinstance(asyncio._get_running_loop(), VirtualLoop):
        return None
    return getattr(process.get(), "clock", TRUE_CLOCK)


def _steady(name: str) -> Callable[..., float]:
    before = _BEFORE[name]

    def steady_s(*asked: int) -> float:
        clock = _clock()
        return before(*asked) if clock is None else clock.monotonic()

    return steady_s


def _wall_s() -> float:
    clock = _clock()
    return EPOCH_S if clock is None else clock.time()


def install() -> None:
    """From now on, and for good."""
    time.monotonic = _steady("monotonic")
    time.perf_counter = _steady("perf_counter")
    time.clock_gettime = _steady("clock_gettime")
    time.time = _wall_s
    time.time_ns = lambda: int(_wall_s() * 1e6) * 1000
    time.monotonic_ns = lambda: int(time.monotonic() * 1e9)
