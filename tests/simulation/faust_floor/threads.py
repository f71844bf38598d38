"""mode's threads as lanes: the same service, whose loop is the simulated one. To be installed once mode is imported."""

from __future__ import annotations

import asyncio
from typing import Any

from protocol.loop import process

from exness_streams.transport.faults import LogFault


class ThreadLoop:
    """What a service takes for its thread's own loop: it can be closed."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._is_closed = False

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_closed:
            raise RuntimeError("Event loop is closed")
        return self._loop.call_soon_threadsafe(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class ThreadLane:
    """mode's WorkerThread."""

    def __init__(self, service: Any, **_: Any) -> None:
        self._service = service
        self._lane = process.get().consumer_lane  # type: ignore[union-attr]

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._running = self._lane.context().run(loop.create_task, self._run())

    async def _run(self) -> None:
        """As the service's _start_thread, which can't wait here."""
        service = self._service
        try:
            await service._serve()
        except (asyncio.CancelledError, LogFault):
            pass
        except Exception:
            service.set_shutdown()
        finally:
            service.thread_loop.close()
            service.parent_loop.call_soon_threadsafe(service._on_ended)

    def stop(self) -> None:
        """The service has said that it is over; its lane ends in a moment."""


async def _gather_remaining(self: Any) -> None:
    current = asyncio.current_task()
    tasks = [one for one in asyncio.get_running_loop().tasks_of(process.get()) if one is not current]  # type: ignore[attr-defined]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def install() -> None:
    """For good."""
    from mode.threads import ServiceThread

    made = ServiceThread.__init__

    def make(self: Any, **kwargs: Any) -> None:
        loop = asyncio.get_running_loop()
        made(self, **{**kwargs, "loop": loop, "thread_loop": loop})
        self.thread_loop = ThreadLoop(loop)

    ServiceThread.__init__ = make  # type: ignore[method-assign]
    ServiceThread.Worker = ThreadLane  # type: ignore[assignment]
    ServiceThread._gather_remaining_tasks = _gather_remaining  # type: ignore[method-assign]
