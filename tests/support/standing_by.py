"""A consumer in batches whose driver brings what a test says: a journal's records and a changelog's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from exness_streams.transport.batching import BatchingConsumer, Wakeup

JOURNAL, CHANGELOG = TP("journal", 0), TP("changelog", 0)


class Numbered(int):
    """A record that is known by its number."""

    value = b"x"


def numbered(count: int) -> list[Numbered]:
    return [Numbered(n) for n in range(count)]


class StandingBy(BatchingConsumer):
    """The steps of the batching consumer itself, on a driver whose fetch brings three records of a changelog."""

    flow_active = True
    should_stop = False

    def __init__(self) -> None:
        self.app = SimpleNamespace(
            consumer_generation_id=1,
            monitor=SimpleNamespace(track_tp_end_offset=lambda tp, end: None),
            tables=SimpleNamespace(changelog_topics={CHANGELOG.topic}),
            batched_topics={JOURNAL.topic},
            client_only=False,
        )
        self.fetches: list[Mapping[TP, Any]] = [{CHANGELOG: numbered(3)}]
        self.scheduler = DefaultSchedulingStrategy()
        self.wakeup = Wakeup()
        self._in_flight: dict[TP, Any] = {}
        self._waiting: dict[TP, list[int]] = {}
        self._ahead_bytes: dict[TP, int] = {}
        self._full: set[TP] = set()
        self._sources_released = False
        self._seeks: Counter[TP] = Counter()
        self._fetched_to: dict[TP, int] = {}
        self._read_offset: dict[TP, int] = {}
        self._committed_offset: dict[TP, int] = {}
        self._buffered_partitions: set[TP] = set()

    def assignment(self) -> set[TP]:
        return {JOURNAL, CHANGELOG}

    def _begins_again(self, tp: TP, found: Any) -> bool:
        return False  # these are no records

    def highwater(self, tp: TP) -> int:
        return 3

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return {JOURNAL: 0}

    def _get_active_partitions(self) -> set[TP]:
        return {JOURNAL, CHANGELOG}

    async def _getmany(self, active: set[TP], timeout: float) -> Mapping[TP, list[int]]:
        found = self.fetches.pop(0) if self.fetches else {}
        assert found.keys() <= active, "fetched again before all was given out"
        return found

    def _deliver(self, tp: TP, found: Any) -> Any:
        return found
