"""Commits what histories have folded."""

from __future__ import annotations

from exness_streams.engine.ahead import Bounds, Part
from exness_streams.engine.history_partition import HistoryPartition
from exness_streams.engine.paced_commits import PacedCommits

PACE_S = 1.0
"""Between the transactions of a partition with few events. Nobody waits for them: what is folded is there to be read,
and folded again by whoever comes after a crash. Orders need the log more."""

BOUNDS = Bounds(records=2_000, size=4 << 20, worker_size=16 << 20)
"""Events that may be folded and not committed, of a partition, and bytes of what they change, of one and of all."""


class HistoryCommitter(PacedCommits[HistoryPartition]):
    """Of all histories of a worker."""

    def is_full(self, owned: HistoryPartition) -> bool:
        """Whether a whole slice waits."""
        return owned.is_full

    def committed(self, owned: HistoryPartition, part: Part) -> None:
        """How far it has come."""
        owned.next_offset = part.meta.next_offset
