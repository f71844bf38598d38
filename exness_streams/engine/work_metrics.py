"""What an engine reports about its work, for monitoring: once a batch or transaction, never once a record."""

from __future__ import annotations

from typing import NamedTuple


class WorkMetrics:
    """Measures one kind of work. This one keeps nothing; api/metrics.py has those that do."""

    def batch(self, topic: str, records: int) -> None:
        """A batch of a topic was taken."""

    def transaction(self, records: int, duration_s: float) -> None:
        """A transaction with so many records was committed."""

    def rebalancing(self) -> None:
        """Partitions are being given out anew."""

    def caught_up(self) -> None:
        """Every cell owned here has folded what was acknowledged before it was loaded."""


class EngineMetrics(NamedTuple):
    """Of each kind of work that an engine does."""

    accounts: WorkMetrics = WorkMetrics()
    history: WorkMetrics = WorkMetrics()
    candles: WorkMetrics = WorkMetrics()
