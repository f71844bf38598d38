"""The protocol floor's loop, for whole workers: a thread is a lane of its process, an executor runs at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from protocol.loop import Process, VirtualLoop, process

_numbers = itertools.count()


class NumberedTask(asyncio.Task):  # type: ignore[type-arg]
    """Hashes by a number: sets of tasks are in the same order in each process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(_numbers)
        self.lane = process.get()
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class NumberedFuture(asyncio.Future):  # type: ignore[type-arg]
    """As NumberedTask."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Lane(Process):
    """A thread of a process: mixed with its others at random, held and killed with it."""

    def __init__(self, owner: Process, name: str) -> None:
        self.owner = owner
        self.name = f"{owner.name}/{name}"

    steps = property(lambda self: self.owner.steps, lambda self, steps: setattr(self.owner, "steps", steps))
    crash_at = property(lambda self: self.owner.crash_at, lambda self, at: setattr(self.owner, "crash_at", at))
    is_held = property(lambda self: self.owner.is_held, lambda self, held: setattr(self.owner, "is_held", held))
    is_dead = property(lambda self: self.owner.is_dead, lambda self, dead: setattr(self.owner, "is_dead", dead))
    parked = property(lambda self: self.owner.parked, lambda self, parked: setattr(self.owner, "parked", parked))
    clock = property(lambda self: self.owner.clock)
    connection = property(lambda self: self.owner.connection)

    def context(self) -> Context:
        """In which its tasks are to be made."""
        context = copy_context()
        context.run(process.set, self)
        return context


class FaustLoop(VirtualLoop):
    """A VirtualLoop whose executors run at once."""

    def _new_task(self, loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = NumberedTask(coro, loop=loop, **kwargs)
        self._tasks.append(task)
        if len(self._tasks) > 5_000:
            self._tasks = [one for one in self._tasks if not one.done()]
        return task

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return NumberedFuture(loop=self)

    def tasks_of(self, lane: Process) -> list[asyncio.Task[Any]]:
        """That are not done."""
        return [task for task in self._tasks if not task.done() and task.lane is lane]  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future
