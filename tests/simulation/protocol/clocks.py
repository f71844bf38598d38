"""Clocks: each process has its own, which may jump and drift; the engine's modules read them in place of `time`."""

from __future__ import annotations

import asyncio
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.loop import process

EPOCH_S = 1_780_000_000.0
"""When a life begins, by the clock on the wall."""


class Clock:
    """The wall's: EPOCH + offset + what has passed, with a drift (s per s); the monotonic one has a small rate of its
    own and never jumps.
    """

    def __init__(self, offset_s: float = 0.0, drift: float = 0.0, rate: float = 0.0) -> None:
        self._offset_s = offset_s
        self._drift = drift
        self._rate = rate

    def monotonic(self) -> float:
        return _virtual() * (1 + self._rate)

    def time(self) -> float:
        return EPOCH_S + self._offset_s + _virtual() * (1 + self._drift)

    def jump_to(self, offset_s: float) -> None:
        """So far from the world's, now."""
        self._offset_s = offset_s - _virtual() * self._drift

    def drift_by(self, drift: float) -> None:
        """From now on."""
        self._offset_s += _virtual() * (self._drift - drift)
        self._drift = drift


def _virtual() -> float:
    return asyncio.get_running_loop().time()


def _clock() -> Clock:
    return getattr(process.get(), "clock", None) or TRUE_CLOCK


TRUE_CLOCK = Clock()
"""The world's."""


class _Time(types.ModuleType):
    """What takes the place of the module `time`."""

    def __init__(self) -> None:
        super().__init__("time")

    def monotonic(self) -> float:
        return _clock().monotonic()

    perf_counter = monotonic

    def time(self) -> float:
        return _clock().time()

    def time_ns(self) -> int:
        return int(_clock().time() * 1e6) * 1000

    def monotonic_ns(self) -> int:
        return int(_clock().monotonic() * 1e9)


virtual_time = _Time()


@contextmanager
def virtual_clocks() -> Iterator[None]:
    """The engine's modules see virtual time, and nobody else does."""
    modules = [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("exness_streams.engine.") and getattr(module, "time", None) is time
    ]
    for module in modules:
        module.time = virtual_time  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in modules:
            module.time = time  # type: ignore[attr-defined]
