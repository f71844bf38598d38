"""How `faust worker` runs an engine worker: with our signals, and with a stop that ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import faust

from exness_streams.processes.exit_codes import exit_code_of
from exness_streams.processes.logs import is_news
from exness_streams.processes.stopping import Stopping
from exness_streams.processes.watchdog import watch_loop
from exness_streams.transport.faults import LogFault


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

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Faust's; a fault that the last line tells is told by that alone, without tracebacks."""
        super().on_setup_root_logger(logger, level)
        for handler in logger.handlers:
            handler.addFilter(is_news)
            handler.addFilter(self._is_not_its_echo)

    def _is_not_its_echo(self, record: logging.LogRecord) -> bool:
        return not (isinstance(self.crash_reason, LogFault) and "We experienced a crash!" in str(record.msg))

    def execute_from_commandline(self) -> None:
        """Faust's; also what is left when the worker has stopped is bounded: tasks, threads, the interpreter."""
        try:
            super().execute_from_commandline()
        except SystemExit as end:
            if isinstance(end.__context__, LogFault):  # mode ends the process while it handles what has failed
                _say(end.__context__)
                raise SystemExit(exit_code_of(end.__context__)) from None
            raise
        finally:
            self._stopping.limit(_reason(sys.exc_info()[1]))

    async def on_first_start(self) -> None:
        """Faust's."""
        watch_loop(self._stopping.end_unserving)
        await super().on_first_start()

    async def stop(self) -> None:
        """Faust's."""
        self._stopping.limit(_reason(self.crash_reason))
        await super().stop()

    def _crash(self, reason: BaseException) -> None:
        self._stopping.limit(_reason(reason))
        super()._crash(reason)


def _say(fault: LogFault) -> None:
    """As the commands of exness-streams do. Not by sys.stderr, which Faust has given to its log."""
    with suppress(OSError):
        os.write(2, f"exness-streams: {_reason(fault)}\n".encode(errors="replace"))


def _reason(failed: BaseException | None) -> str:
    words = "" if failed is None or isinstance(failed, SystemExit) else str(failed) or type(failed).__name__
    return words.splitlines()[0] if words else "stopped"
