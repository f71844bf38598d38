"""What an aiokafka consumer fetches, and in which turn it is taken. All of it in the consumer's thread.

One consumer reads all partitions of a worker, and its fetcher asks a broker for nothing more, for up to 100 ms, while
one of that broker's partitions has records that nobody took. So all that is fetched is taken, and what is not wanted
is not fetched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any

from faust.types import TP

from exness_streams.transport.kafka.aiokafka_mends import assignment_of, poll_records_max

Take = Callable[[Set[TP] | None, float], Awaitable[Mapping[Any, list[Any]]]]
"""(partitions, None for all; how long to wait for records) -> what was fetched of them, poll_records_max at most."""


class Fetching:
    """Of one consumer."""

    def __init__(self) -> None:
        self._held: tuple[Any, Set[TP]] = (None, frozenset())
        self._taken_from: set[TP] = set()

    def hold_back(self, consumer: Any, wanted: Set[TP]) -> None:
        """Have only these fetched. To be said before each fetch: aiokafka forgets it when partitions are dealt out.

        What it has fetched of the others already is thrown away when it is looked at, and fetched again when wanted.
        """
        assignment = assignment_of(consumer)
        if assignment is self._held[0] and wanted == self._held[1]:
            return
        assigned = consumer.assignment()
        consumer.pause(*(tp for tp in assigned if tp not in wanted))
        consumer.resume(*(tp for tp in assigned if tp in wanted))
        self._held = assignment, frozenset(wanted)

    async def take(self, consumer: Any, wanted: Set[TP], timeout_s: float, take: Take) -> Mapping[Any, list[Any]]:
        """What was fetched of the wanted partitions; waits for it. A large fetch of one leaves the others their turn.

        Whoever cancels it loses nothing: records are taken in the step that returns them.
        """
        self.hold_back(consumer, wanted)
        records: Mapping[Any, list[Any]] = {}
        others = consumer.assignment() - self._taken_from
        if self._taken_from and others:
            records = await take(others, 0.0)
        if not records:
            self._taken_from.clear()
            # Of all: what is held back has to be looked at, too.
            records = await take(None, timeout_s)
        if sum(map(len, records.values())) < poll_records_max(consumer):
            self._taken_from.clear()
        else:
            self._taken_from.add(next(reversed(list(records))))
        return records
