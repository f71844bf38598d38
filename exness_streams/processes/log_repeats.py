"""Logs a repeated message once: clients of an unreachable broker would log each of their retries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

QUIET_S = 60.0


class Repeats(logging.Filter):
    """Lets a message of a library through once in a while, with the number that were held back.

    What counts as the same message is the logger and the unfilled text ("Unable connect to node with id %s"), so
    that other nodes and addresses do not make it another. Our own messages all pass.
    """

    def __init__(self, quiet_s: float = QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._clock = clock
        self._said_at_s: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it now; the message gets the count of those that were not said."""
        if record.name.startswith("exness_streams"):
            return True
        name = (record.name, str(record.msg))
        now_s = self._clock()
        said_at_s = self._said_at_s.get(name)
        if said_at_s is not None and now_s - said_at_s < self._quiet_s:
            self._held_back[name] = self._held_back.get(name, 0) + 1
            return False
        self._said_at_s[name] = now_s
        held_back = self._held_back.pop(name, 0)
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} times since this was last said)"
            record.args = ()
        return True
