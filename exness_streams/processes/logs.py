"""What a process logs: our own information and the warnings of all packages, each once."""

from __future__ import annotations

import logging
import sys

from exness_streams.processes.log_repeats import Repeats
from exness_streams.transport.faults import LogFault

_TOLD_LAST = ("Crashed reason=%r", "Error: %r", "Drain messages raised: %r")
"""How Faust's records end that tell of what has crashed the app; it is the last line of the command, too."""


_OF_A_STOP = ("ServiceStopped", "ThreadEnded")
"""Exceptions by which Faust's recovery, or whoever asked the consumer's thread for something, learns of a stop."""


def quiet_logging() -> None:
    """Our own news, and everybody's warnings, on standard error."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("exness_streams").setLevel(logging.INFO)
    # Faust's services log each of their steps under the module of their class.
    for name in ("exness_streams.transport", "exness_streams.engine.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_news)
        handler.addFilter(Repeats())


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log record says more than the last line of the command will: what crashes the app is told there."""
    if record.exc_info and record.exc_info[0] is not None and record.exc_info[0].__name__ in _OF_A_STOP:
        return False  # and asyncio complains where nobody waits any more to hear it
    told_last = str(record.msg).endswith(_TOLD_LAST)
    return not (told_last and any(isinstance(argument, LogFault) for argument in record.args or ()))
