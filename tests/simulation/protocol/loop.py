"""An event loop on virtual time: it never sleeps, and one seed decides in which order processes get their turn.

What runs belongs to a process by its context (`process`). Within a process callbacks keep asyncio's order; processes
are mixed at random. One may be held (its callbacks wait) or killed (they are dropped): at any step, so between any two
awaits.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from asyncio import base_events
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

ROOMS = ("/exness_streams/", "/protocol/")
"""Whose frames name the place where a process stood."""


CALLBACK, SIMULATED = "a callback", "what is simulated"
ELSEWHERE = (CALLBACK, SIMULATED)
PATIENCE_STEPS = 100


class Process:
    """What may be held and killed. steps: its callbacks that have run. crash_at: the step before which it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps = 0
        self.crash_at: int | None = None
        self.is_held = self.is_dead = False
        self.parked: list[asyncio.Handle] = []


process: ContextVar[Process | None] = ContextVar("process", default=None)


class _NoSelector:
    """There are no files: all that comes from outside is simulated."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


class Stuck(Exception):
    """Nothing is left that could happen."""


class VirtualLoop(base_events.BaseEventLoop):
    """on_crash: told of a process at its crash_at, with the place where it stood; it is dead by then."""

    def __init__(self, rng: random.Random, on_crash: Callable[[Process, str], None]) -> None:
        super().__init__()
        self._rng = rng
        self._on_crash = on_crash
        self._now = 0.0
        self._clock_resolution = 0.0  # what is due is taken here, and nowhere else
        self._selector = _NoSelector()
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_burying = False
        self.steps = 0
        self.faults: list[str] = []
        self.set_task_factory(self._new_task)

    def time(self) -> float:
        return self._now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _new_task(self, loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **kwargs)
        self._tasks.append(task)
        if len(self._tasks) > 2_000:
            self._tasks = [one for one in self._tasks if not one.done()]
        return task

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        if self._is_burying:
            return asyncio.Handle(callback, args, self)
        return super().call_soon(callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if "handle" in context:
            self.faults.append(f"a callback raised {context.get('exception')!r}")

    def _run_once(self) -> None:
        self._take_due()
        if not self._ready:
            if not self._scheduled:
                raise Stuck
            self._now = max(self._now, self._scheduled[0]._when)
            self._take_due()
        self._choose()
        super()._run_once()

    def _take_due(self) -> None:
        """As the base class does, but before the order is chosen."""
        scheduled = self._scheduled
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when <= self._now):
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(handle)

    def _choose(self) -> None:
        """One turn for whoever may run; the processes in a random order, and then only some of them."""
        queues: dict[str, list[asyncio.Handle]] = {}
        for handle in self._ready:
            owner = handle._context.get(process)
            if owner is None:
                queues.setdefault("", []).append(handle)
            elif owner.is_dead:
                handle.cancel()
            elif owner.is_held:
                owner.parked.append(handle)
            else:
                queues.setdefault(owner.name, []).append(handle)
        self._ready.clear()
        names = list(queues)
        if len(names) > 1:
            self._rng.shuffle(names)
        for name in names:
            for handle in queues[name]:
                owner = handle._context.get(process)
                if owner is not None and not owner.is_dead:
                    owner.steps += 1
                    if owner.crash_at is not None and owner.steps >= owner.crash_at:
                        self._crash(owner, handle)
                if owner is None or not owner.is_dead:
                    self._ready.append(handle)
        self.steps += len(self._ready)

    def _crash(self, owner: Process, handle: asyncio.Handle) -> None:
        """Rather where the engine itself waits than in what is simulated around it, which has most of the steps."""
        place = place_of(handle)
        if place not in ELSEWHERE or owner.steps > (owner.crash_at or 0) + PATIENCE_STEPS:
            owner.is_dead = True
            owner.parked.clear()
            self._on_crash(owner, place)

    def release(self, held: Process) -> None:
        """A held process goes on."""
        held.is_held = False
        self._ready.extend(held.parked)
        held.parked = []

    def bury(self) -> None:
        """Close what is left, without a word: each life ends in the middle of something."""
        self._is_burying = True
        for _ in range(3):  # what is closed may wait once more
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    try:
                        task.get_coro().close()  # type: ignore[union-attr]
                    except (RuntimeError, Exception):
                        continue
        self._ready.clear()
        self._scheduled.clear()
        self.close()


def place_of(handle: asyncio.Handle) -> str:
    """Where the task of a callback stands: the innermost of our own functions, and its line."""
    task = getattr(handle._callback, "__self__", None)
    place = CALLBACK
    awaited: Any = task.get_coro() if isinstance(task, asyncio.Task) else None
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is None:
            break
        code = frame.f_code
        if ROOMS[0] in code.co_filename:
            name = getattr(code, "co_qualname", code.co_name)  # Python 3.11
            place = f"{code.co_filename.rsplit('/', 1)[1]}:{frame.f_lineno} {name}"
        elif ROOMS[1] in code.co_filename and place == CALLBACK:
            place = SIMULATED
        awaited = awaited.cr_await
    return place
