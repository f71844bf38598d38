"""What an aiokafka consumer fetches. In the consumer's thread.

One consumer reads all partitions of a worker, and its fetcher asks a broker for nothing more, for up to 100 ms, while
one of that broker's partitions has records that nobody took. So all that is fetched is taken, and what is not wanted
is not fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from typing import Any

from faust.types import TP

from exness_streams.transport.kafka.aiokafka_mends import assignment_of

ANSWER_S_MAX = 15.0
"""A broker answers a fetch at once, or within 100 ms when it has nothing. One that has not for so long hangs."""


class Fetching:
    """Of one consumer. clock_s: runs on steadily."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._asked: dict[object, tuple[int, float]] = {}
        self._held: tuple[Any, Set[TP]] = (None, frozenset())

    def asked(self, broker_id: int) -> Callable[[], None]:
        """A fetch is sent to a broker. Returns what is to be called once that is over, however it ended."""
        fetch = object()
        self._asked[fetch] = broker_id, self._clock_s()

        def over() -> None:
            del self._asked[fetch]

        return over

    def unanswered(self) -> str:
        """Which broker answers no fetch, as a sentence; empty when all do. From any thread."""
        now_s = self._clock_s()
        for broker_id, asked_s in list(self._asked.values()):
            if now_s - asked_s > ANSWER_S_MAX:
                return f"broker {broker_id} has not answered a fetch for {now_s - asked_s:.0f} s"
        return ""

    def hold_back(self, consumer: Any, wanted: Set[TP]) -> None:
        """Have only these fetched. To be said before each fetch: aiokafka forgets it when partitions are dealt out.

        What it has fetched of the others already is thrown away by its next look at all of them, and fetched again
        when it is wanted.
        """
        assignment = assignment_of(consumer)
        if assignment is self._held[0] and wanted == self._held[1]:
            return
        assigned = consumer.assignment()
        consumer.pause(*(tp for tp in assigned if tp not in wanted))
        consumer.resume(*(tp for tp in assigned if tp in wanted))
        self._held = assignment, frozenset(wanted)
