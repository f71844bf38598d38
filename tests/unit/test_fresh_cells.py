"""Which cells may be read: owned, and certainly so."""

from __future__ import annotations

from collections import Counter

from exness_streams.domain.cell import Cell
from exness_streams.engine.fresh_cells import FreshCells


class Worker:
    """Owns the cell of partition 0."""

    def __init__(self) -> None:
        self.fresh = self.readable = True
        self.owned = Cell(0, lambda key: None)

    def cell(self, partition: int) -> Cell | None:
        return self.owned if partition == 0 else None

    def holds_lease(self, partition: int) -> bool:
        return self.readable

    def is_fresh(self) -> bool:
        return self.fresh


def test_a_cell_is_there_while_it_is_certainly_owned() -> None:
    worker, refused = Worker(), Counter[str]()
    cells = FreshCells(worker, worker, refused)
    assert cells.cell(0) is worker.owned
    assert cells.cell(1) is None
    worker.fresh = False
    assert cells.cell(0) is None
    assert cells.cell(1) is None
    assert refused == {"stale": 1}, "another worker's is another matter"
    worker.fresh = True
    assert cells.cell(0) is worker.owned


def test_a_cell_whose_lease_is_not_held_is_not_told_though_the_worker_is_a_member_again() -> None:
    """Its partition was another's meanwhile, perhaps: the group's new confirmation comes before the new fence."""
    worker, refused = Worker(), Counter[str]()
    cells = FreshCells(worker, worker, refused)
    worker.readable = False
    assert cells.cell(0) is None
    assert refused == {}, "it is moving, which is told as ever"
    worker.readable = True
    assert cells.cell(0) is worker.owned
