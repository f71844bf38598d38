"""What an aiokafka consumer fetches. In the consumer's thread.

One consumer reads all partitions of a worker, and its fetcher asks a broker for nothing more, for up to 100 ms, while
one of that broker's partitions has records that nobody took. So all that is fetched is taken, and what is not wanted
is not fetched.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from faust.types import TP

from exness_streams.transport.kafka.aiokafka_mends import assignment_of


class Fetching:
    """Of one consumer."""

    def __init__(self) -> None:
        self._held: tuple[Any, Set[TP]] = (None, frozenset())

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
