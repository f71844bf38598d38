"""How `faust worker` runs an engine worker: with our signals, and with a stop that ends."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from typing import Any

import faust

from exness_streams.processes.stopping import Stopping


class BoundedWorker(faust.Worker):  # type: ignore[misc]  # faust is untyped here
    """Faust's, whose stop takes a bounded time, whoever has begun it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._stopping = Stopping()
        self._stopping.watch()
        super().__init__(*args, **kwargs)

    def install_signal_handlers(self) -> None:
        """Faust's own would have to wait for the event loop, and a second signal would do nothing."""
        loop = self.loop

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed: what it ran is over
                loop.call_soon_threadsafe(self._on_sigterm)

        self._stopping.when_asked(tell)
        loop.add_signal_handler(signal.SIGUSR1, self._on_sigusr1)

    def execute_from_commandline(self) -> None:
        """Faust's; also what is left when the worker has stopped is bounded: tasks, threads, the interpreter."""
        try:
            super().execute_from_commandline()
        finally:
            self._stopping.limit(_reason(sys.exc_info()[1]))

    async def stop(self) -> None:
        """Faust's."""
        self._stopping.limit(_reason(self.crash_reason))
        await super().stop()

    def _crash(self, reason: BaseException) -> None:
        self._stopping.limit(_reason(reason))
        super()._crash(reason)


def _reason(failed: BaseException | None) -> str:
    words = "" if failed is None or isinstance(failed, SystemExit) else str(failed) or type(failed).__name__
    return words.splitlines()[0] if words else "stopped"
