"""The cells of this worker whose state may be told: nobody else can own them by now (docs/decisions/0021)."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from exness_streams.domain.cell import Cell
from exness_streams.transport.freshness import Freshness


class OwnedCells(Protocol):
    """As far as this worker has heard."""

    def cell(self, partition: int) -> Cell | None:
        """None when it is not owned here."""

    def holds_lease(self, partition: int) -> bool:
        """False while partitions are dealt out anew: its lease is not held then."""


class FreshCells:
    """What reads go through, so that a worker that was stopped and goes on tells nothing old. refused: counts them."""

    def __init__(self, cells: OwnedCells, freshness: Freshness, refused: Counter[str]) -> None:
        self._cells, self._freshness, self._refused = cells, freshness, refused

    def cell(self, partition: int) -> Cell | None:
        """None while it is another worker's, or may be."""
        cell = self._cells.cell(partition)
        if cell is None or not self._cells.holds_lease(partition):
            return None
        if not self._freshness.is_fresh():
            self._refused["stale"] += 1
            return None
        return cell
