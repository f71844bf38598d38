"""An event loop on virtual time: it never sleeps, and one seed decides in which order processes get their turn.

What runs belongs to a process by its context (`process`). Within a process callbacks keep asyncio's order; processes
are mixed at random. One may be held (its callbacks wait) or killed (they are dropped): at any step, so between any two
awaits.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import base_events
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
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
        self.parked: list[Turn] = []


process: ContextVar[Process | None] = ContextVar("process", default=None)


class Turn:
    """A callback that waits for its turn: what asyncio's handles are, and whose it is. context None: the world's."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "owner", "when_s")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, when_s: float = 0.0
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.owner = None if context is None else context.get(process)
        self.is_cancelled = False
        self.when_s = when_s

    def cancel(self) -> None:
        self.is_cancelled = True
        self.args = ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_s


class Stuck(Exception):
    """Nothing is left that could happen."""


class Spinning(Exception):
    """Somebody runs on and on, and time does not pass."""


ROUNDS_AT_ONCE_MAX = 50_000


class VirtualLoop(base_events.BaseEventLoop):
    """on_crash: told of a process at its crash_at, with the place where it stood; it is dead by then.

    Turns are kept and taken here, and not by the base class: most of what a life costs would be that.
    """

    def __init__(self, rng: random.Random, on_crash: Callable[[Process, str], None]) -> None:
        super().__init__()
        self._rng = rng
        self._on_crash = on_crash
        self.now = 0.0
        self._waiting: list[Turn] = []
        self._timers: list[tuple[float, int, Turn]] = []
        self._timer_number = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_burying = False
        self.steps = self._rounds = 0
        self.faults: list[str] = []
        self.set_task_factory(self._new_task)
        self.get_debug = bool  # asked with each future: no

    def time(self) -> float:
        return self.now

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

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        turn = Turn(callback, args, copy_context() if context is None else context)
        if not self._is_burying:
            self._waiting.append(turn)
        return turn

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        turn = Turn(callback, args, copy_context() if context is None else context, when)
        self._timer_number = number = self._timer_number + 1
        heappush(self._timers, (when, number, turn))
        return turn

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Turn:
        """In the world's own context: no process is asked."""
        when_s = self.now + delay_s
        turn = Turn(callback, args, None, when_s)
        self._timer_number = number = self._timer_number + 1
        heappush(self._timers, (when_s, number, turn))
        return turn

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What asyncio has to say of futures that nobody asked is of no use here."""

    def _run_once(self) -> None:
        """One turn for whoever may run."""
        self._take_due()
        self._rounds += 1
        if self._rounds > ROUNDS_AT_ONCE_MAX:
            raise Spinning
        if not self._waiting:
            self._rounds = 0
            if not self._timers:
                raise Stuck
            self.now = max(self.now, self._timers[0][0])
            self._take_due()
        turns, self._waiting = self._waiting, []
        for turn in self._in_order(turns) if len(turns) > 1 else turns:
            owner = turn.owner
            if owner is not None and not self._may_run(owner, turn):
                continue
            if not turn.is_cancelled:
                self.steps += 1
                try:
                    if turn.context is None:
                        turn.callback(*turn.args)
                    else:
                        turn.context.run(turn.callback, *turn.args)
                except Exception as error:
                    self.faults.append(f"a callback raised {error!r}")

    def _take_due(self) -> None:
        timers, now = self._timers, self.now
        while timers and (timers[0][0] <= now or timers[0][2].is_cancelled):
            turn = heappop(timers)[2]
            if not turn.is_cancelled:
                self._waiting.append(turn)

    def _in_order(self, turns: list[Turn]) -> list[Turn]:
        """The processes in a random order, each one's callbacks as they came."""
        queues: dict[Process | None, list[Turn]] = {}
        for turn in turns:
            if turn.owner in queues:
                queues[turn.owner].append(turn)
            else:
                queues[turn.owner] = [turn]
        if len(queues) == 1:
            return turns
        owners = list(queues)
        self._rng.shuffle(owners)
        return [turn for owner in owners for turn in queues[owner]]

    def _may_run(self, owner: Process, turn: Turn) -> bool:
        if owner.is_held and not owner.is_dead:
            owner.parked.append(turn)
            return False
        owner.steps += 1
        if owner.crash_at is not None and owner.steps >= owner.crash_at and not owner.is_dead:
            self._crash(owner, turn)
        return not owner.is_dead

    def _crash(self, owner: Process, turn: Turn) -> None:
        """Rather where the engine itself waits than in what is simulated around it, which has most of the steps."""
        place = place_of(turn)
        if place not in ELSEWHERE or owner.steps > (owner.crash_at or 0) + PATIENCE_STEPS:
            owner.is_dead = True
            owner.parked.clear()
            self._on_crash(owner, place)

    def release(self, held: Process) -> None:
        """A held process goes on."""
        held.is_held = False
        self._waiting.extend(held.parked)
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
        self._waiting.clear()
        self._timers.clear()
        self.close()


def place_of(turn: Turn) -> str:
    """Where the task of a callback stands: the innermost of our own functions, and its line."""
    task = getattr(turn.callback, "__self__", None)
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
