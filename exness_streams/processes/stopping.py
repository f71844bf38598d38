"""How a process ends: asked to by a signal or brought down by a fault, but always within a bounded time.

What bounds it lives on threads of its own. An event loop that is blocked, a task that swallowed its cancellation and a
client library that waits for a broker for ever hold up an orderly stop; none of them holds up these.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from exness_streams.transport.tasks import given_up

GRACE_S = 15.0
"""How long a stop may take. Then the process is ended."""

EXIT_FORCED = 3
"""The exit code of a process that was ended before it had stopped: neither 0 nor that of a fault it has told."""

EXIT_UNSERVING = 4
"""That of a process which the watchdog has ended: alive, and serving nobody."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SAME_WISH_S = 0.5
"""So long after the first signal another one is no second wish: supervisors signal a process and its group at once."""

SAY_S_MAX = 1.0


class Stopping:
    """What ends this process, and how long that may take.

    The first SIGINT or SIGTERM asks for a stop, one that comes more than SAME_WISH_S later ends the process at once.
    Once a stop has begun, for whatever reason, the process is gone after `grace_s`: by itself, or with a line on
    standard error and EXIT_FORCED. exit: ends the process without asking anybody. clock_s: runs on steadily.
    """

    def __init__(
        self,
        *,
        grace_s: float = GRACE_S,
        exit: Callable[[int], Any] = os._exit,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grace_s = grace_s
        self._exit = exit
        self._lock = threading.Lock()
        self._clock_s = clock_s
        self._asked_at_s: float | None = None
        self._tell: list[Callable[[], None]] = []
        self._reason: str | None = None

    def watch(self) -> None:
        """Take SIGINT and SIGTERM over. Called once, from the main thread, before there are others."""
        # Blocked for every thread that is made later, too: the kernel then gives them to the one that waits for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=self._take_signals, name="signals", daemon=True).start()

    def _take_signals(self) -> None:
        while True:
            self.signalled(signal.Signals(signal.sigwait(SIGNALS)).name)

    def signalled(self, name: str) -> None:
        """A signal has come. In any thread."""
        now_s = self._clock_s()
        with self._lock:
            first_s, told = self._asked_at_s, list(self._tell)
            if first_s is None:
                self._asked_at_s = now_s
        if first_s is not None:
            if now_s - first_s > SAME_WISH_S:
                self.force(f"ended at once by a second signal ({name})")
            return
        self.limit(f"asked to stop by {name}")
        for tell in told:
            tell()

    def when_asked(self, tell: Callable[[], None]) -> None:
        """Have `tell` called, in another thread, with the first signal; at once when it has come already."""
        with self._lock:
            self._tell.append(tell)
            asked = self._asked_at_s is not None
        if asked:
            tell()

    def event(self) -> asyncio.Event:
        """Of the running loop: set by the first signal."""
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed: what it ran is over
                loop.call_soon_threadsafe(asked.set)

        self.when_asked(tell)
        return asked

    def limit(self, reason: str) -> None:
        """A stop begins: from now on the process has `grace_s`. reason: one line; the first is the one that is told."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
        overdue = threading.Timer(
            self._grace_s,
            lambda: self.force(f"{reason}; the stop took more than {self._grace_s:g} s and was cut off"),
        )
        overdue.name, overdue.daemon = "stop limit", True
        overdue.start()

    def force(self, words: str, code: int = EXIT_FORCED) -> None:
        """Say why, in one line, and end the process."""
        # Whoever reads standard error may have stopped reading: that ends nothing later than this.
        unsaid = threading.Timer(SAY_S_MAX, self._exit, [code])
        unsaid.daemon = True
        unsaid.start()
        with suppress(OSError):
            # Not by sys.stderr: a thread that hangs may hold its lock.
            os.write(2, f"exness-streams: {words}\n".encode(errors="replace"))
        unsaid.cancel()
        self._exit(code)

    def end_unserving(self, words: str) -> None:
        """What the watchdog does (watchdog.py). From any thread."""
        self.force(words, EXIT_UNSERVING)


async def unless(stop: Awaitable[Any], doing: Awaitable[Any]) -> bool:
    """Whether something was done before `stop` was; otherwise it is given up. Raises what it raises."""
    task, stopping = asyncio.ensure_future(doing), asyncio.ensure_future(stop)
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        await given_up(stopping)
        await given_up(task)
