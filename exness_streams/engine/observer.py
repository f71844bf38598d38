"""What an engine tells of its work, for monitoring: once a batch or transaction, never once a record."""

from __future__ import annotations


class Observer:
    """Who is told. This one keeps nothing; the metrics (api/metrics.py) put theirs in its place."""

    def batch(self, topic: str, records: int) -> None:
        """A batch of a topic was taken."""

    def transaction(self, records: int, duration_s: float) -> None:
        """A transaction with so many records was committed."""

    def caught_up(self) -> None:
        """Every cell owned here has folded what was acknowledged before it was loaded."""
