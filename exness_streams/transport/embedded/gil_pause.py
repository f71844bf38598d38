"""Time for the log's threads beside a busy event loop.

An event loop with no idle moment gives the GIL away at every `select` and takes it back before another thread
has woken up; with callbacks shorter than the switch interval it is never asked for it either. Measured: a
thread beside such a loop ran once, or not at all, in two seconds. A log whose writer waits so would commit
nothing just when the engine is busiest. So while its threads owe the loop something, the loop stands back now
and then.
"""

from __future__ import annotations

import asyncio
import threading

PERIOD_S = 0.002
WORKING_S_MAX = 0.001
"""How long the loop stands back when a thread is computing; less when it is done earlier."""
FSYNC_S = 0.0001
"""How long when it is in an fsync, or back from one and waiting for the GIL: which, cannot be told."""


class Relief:
    """Counts what the threads owe; `owe` is for the loop's thread, the rest for the log's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed = 0
        self._paced: set[asyncio.AbstractEventLoop] = set()
        self._moved = threading.Event()
        self._in_fsync = False

    def owe(self, loop: asyncio.AbstractEventLoop) -> None:
        """A piece of work was handed over, whose result this loop waits for."""
        with self._lock:
            self._owed += 1
        if loop not in self._paced:
            self._paced.add(loop)
            loop.call_later(PERIOD_S, self._stand_back, loop)

    def fsync(self) -> None:
        """The writer needs no GIL for a while."""
        self._in_fsync = True
        self._moved.set()

    def done(self, count: int) -> None:
        """So many pieces of work are done, and their loops told."""
        with self._lock:
            self._owed -= count
        self._in_fsync = False
        self._moved.set()

    def _stand_back(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._owed <= 0:
            self._paced.discard(loop)
            return
        self._moved.clear()
        self._moved.wait(FSYNC_S if self._in_fsync else WORKING_S_MAX)
        loop.call_later(PERIOD_S, self._stand_back, loop)
