"""How far a peer has come: it ends itself when it has taken enough ticks, or for long enough, and prints one line."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NamedTuple


class Arguments(NamedTuple):
    """From the command line. ticks: how many to take. limit_s: for how long at most, from the first one on."""

    brokers: str
    topic: str
    group: str
    directory: str
    ticks: int
    limit_s: float

    @classmethod
    def taken(cls) -> Arguments:
        """And out of sys.argv, where some peers look for their own."""
        brokers, topic, group, directory, ticks, limit_s = sys.argv[1:]
        del sys.argv[1:]
        return cls(brokers, topic, group, directory, int(ticks), float(limit_s))


class Progress:
    """`add` is told of ticks once they are in the state."""

    def __init__(self, arguments: Arguments) -> None:
        self._wanted, self._limit_s = arguments.ticks, arguments.limit_s
        self._taken = self._first = 0
        self._begun_s = self._cpu_s = 0.0

    def add(self, ticks: int) -> None:
        """Ends the process when it was the last. Counted is from the end of the first call on."""
        now_s = time.monotonic()
        self._taken += ticks
        if not self._first:
            self._first, self._begun_s, self._cpu_s = ticks, now_s, time.process_time()
        if self._taken < self._wanted and now_s - self._begun_s < self._limit_s:
            return
        cpu_s = time.process_time() - self._cpu_s
        counted = self._taken - self._first
        told = json.dumps({"ticks": counted, "seconds": now_s - self._begun_s, "cpu_s": cpu_s})
        os.write(1, told.encode() + b"\n")  # Faust has taken sys.stdout over
        os._exit(0)  # neither a commit nor a rebalance is part of what is measured
