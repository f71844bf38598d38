"""What sees from outside of an event loop that it does not turn: says so while it does not, and ends the process.

A loop that is blocked answers nobody, and can't say so either: neither /livez nor a log line of its own comes. So this
lives on a thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

LOOK_S = 1.0

BLOCKED_SAID_S = 10.0
"""A loop that has not turned for so long is told of."""

BLOCKED_END_S = 30.0
"""One that has not turned for so long is not waited for: the process is ended."""

_OURS = str(Path(__file__).parents[1])


class AwakeTime:
    """How much time passes, by what this thread is awake of it.

    A process that was stopped (SIGSTOP) or whose machine slept was not blocked: then this thread stood still, too, and
    what it missed counts as two looks at most.
    """

    def __init__(self, clock_s: Callable[[], float], look_s: float) -> None:
        self._clock_s, self._missed_s_max = clock_s, 2 * look_s
        self._looked_s = clock_s()

    def passed_s(self) -> float:
        """Since this was asked last; to be asked at each look."""
        now_s = self._clock_s()
        passed_s, self._looked_s = min(now_s - self._looked_s, self._missed_s_max), now_s
        return passed_s


def say_line(words: str) -> None:
    """On standard error, in a thread of its own: whoever reads there may have stopped, which may be what blocks."""

    def say() -> None:
        with suppress(OSError):
            os.write(2, f"exness-streams: {words}\n".encode(errors="replace"))

    threading.Thread(target=say, name="watchdog's words", daemon=True).start()


class LoopWatch:
    """Of the event loop that runs in the thread which makes this. end: ends the process, with its last words."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: Callable[[str], Any],
        *,
        say: Callable[[str], Any] = say_line,
        clock_s: Callable[[], float] = time.monotonic,
        look_s: float = LOOK_S,
    ) -> None:
        self._loop, self._end, self._say = loop, end, say
        self._thread_id = threading.get_ident()
        self._turned = threading.Event()
        self._turned.set()
        self._awake = AwakeTime(clock_s, look_s)
        self._look_s, self._blocked_s = look_s, 0.0
        self._is_said = False

    def start(self) -> None:
        """Watch until the loop is closed."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while self.look():
            time.sleep(self._look_s)

    def look(self) -> bool:
        """Once. False when the loop is closed: there is nothing to watch any more."""
        passed_s, before_s = self._awake.passed_s(), self._blocked_s
        if self._turned.is_set():
            self._blocked_s = 0.0
            if self._is_said:
                self._is_said = False
                self._say(f"the event loop turns again, after {before_s:.0f} s")
            return self._ask()
        self._blocked_s = blocked_s = before_s + passed_s
        if blocked_s >= BLOCKED_END_S:
            stood = f"the event loop was blocked for {blocked_s:.0f} s, {self._where()}"
            self._end(f"{stood}: this process must start again")
        elif blocked_s >= BLOCKED_SAID_S and not self._is_said:
            self._is_said = True
            self._say(
                f"the event loop has been blocked for {blocked_s:.0f} s, so nobody is answered, {self._where()}. After "
                f"{BLOCKED_END_S:.0f} s this process ends (docs/operations.md, A blocked event loop)"
            )
        return True

    def _ask(self) -> bool:
        self._turned.clear()
        try:
            self._loop.call_soon_threadsafe(self._turned.set)
        except RuntimeError:  # it is closed
            return False
        return True

    def _where(self) -> str:
        return where(sys._current_frames().get(self._thread_id))


def where(frame: FrameType | None) -> str:
    """The innermost line of a stack, and if that is not ours, the innermost of ours."""
    if frame is None:
        return "where nobody knows"
    words, outer = f"in {_line(frame)}", frame.f_back
    if _is_ours(frame):
        return words
    while outer is not None and not _is_ours(outer):
        outer = outer.f_back
    return words if outer is None else f"{words}, called by {_line(outer)}"


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _line(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{'/'.join(path.parts[-2:])}:{frame.f_lineno} ({frame.f_code.co_name})"


def watch_loop(end: Callable[[str], Any]) -> LoopWatch:
    """Have the running event loop watched until it is closed."""
    watch = LoopWatch(asyncio.get_running_loop(), end, look_s=LOOK_S)
    watch.start()
    return watch
