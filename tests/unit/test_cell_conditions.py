"""How each cell of a worker is: each state by what makes it, and since when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.engine.cell_conditions import CellCondition, CellConditions, CellState
from exness_streams.engine.frame_drops import FrameDrops
from exness_streams.engine.owned_cell import Progress


class Cells:
    """Two that serve; a third is not here yet."""

    def __init__(self) -> None:
        self.frame_drops = FrameDrops(lambda: 0.0, lambda: 77.0)
        self.partitions = [0, 1]
        self.not_held: set[int] = set()
        self.at: dict[int, Progress] = {}

    def holds_lease(self, partition: int) -> bool:
        return partition not in self.not_held

    def is_caught_up(self, partition: int) -> bool:
        return partition not in self.at

    def progress(self, partition: int) -> Progress:
        return self.at[partition]


class Worker:
    def __init__(self) -> None:
        self.cells, self.now_s = Cells(), 1_000.0
        self.assigned = [0, 1]
        self.refused: dict[int, str] = {}
        self.conditions = CellConditions(
            self.cells, lambda: self.assigned, lambda partition: self.refused.get(partition, ""), lambda: self.now_s
        )

    def of(self, partition: int) -> CellCondition:
        self.now_s += 1
        return next(one for one in self.conditions.look() if one.partition == partition)


def is_loading(worker: Worker) -> None:
    worker.cells.at[1] = Progress(1_200, 2_300, 11_000, 1_000)


def is_deaf(worker: Worker) -> None:
    for offset in range(3):
        worker.cells.frame_drops.dropped(1, offset, IgnoredFrame.GAP)


STATES: dict[CellState, tuple[Callable[[Worker], object], str]] = {
    CellState.RECOVERING: (lambda worker: worker.cells.partitions.remove(1), "its table is being read"),
    CellState.QUIESCED: (
        lambda worker: worker.cells.not_held.add(1),
        "partitions are being dealt out anew among the workers",
    ),
    CellState.LOADING: (is_loading, "1,300 of 10,000 journal records are folded"),
    CellState.DEAF: (is_deaf, "it drops all frames, 3 by now, for they leave out ticks that it has not seen"),
    CellState.BEHIND: (lambda worker: worker.refused.update({1: "it is behind"}), "it is behind"),
}


def test_each_state_is_tried() -> None:
    assert STATES.keys() | {CellState.SERVING} == set(CellState)


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_told_with_its_reason_and_since_when(state: CellState) -> None:
    worker = Worker()
    assert worker.of(1) == CellCondition(1, CellState.SERVING, "", 1_001_000)
    assert worker.of(1).since_ms == 1_001_000
    assert not worker.conditions.is_unready
    begin, reason = STATES[state]
    begin(worker)
    since_ms = 77_000 if state is CellState.DEAF else 1_003_000
    assert worker.of(1) == CellCondition(1, state, reason, since_ms)
    assert worker.of(1).since_ms == since_ms
    assert worker.of(0) == CellCondition(0, CellState.SERVING, "", 1_001_000), "the other goes on"
    assert worker.conditions.is_unready is (state is not CellState.BEHIND)


def test_what_is_first_in_the_way_is_told() -> None:
    worker = Worker()
    for begin, _ in reversed(STATES.values()):
        begin(worker)
    assert worker.of(1).state is CellState.RECOVERING
    worker.cells.partitions.append(1)
    assert worker.of(1).state is CellState.QUIESCED
    worker.cells.not_held.clear()
    assert worker.of(1).state is CellState.LOADING
    worker.cells.at.clear()
    assert worker.of(1).state is CellState.DEAF
    worker.cells.frame_drops.took(1)
    assert worker.of(1).state is CellState.BEHIND
    worker.refused.clear()
    assert worker.of(1).state is CellState.SERVING


def test_cells_that_are_another_workers_are_not_told_of() -> None:
    worker = Worker()
    assert [one.partition for one in worker.conditions.look()] == [0, 1]
    worker.assigned, worker.cells.partitions = [2], []
    assert [(one.partition, one.state) for one in worker.conditions.look()] == [(2, CellState.RECOVERING)]
    worker.assigned = []
    assert worker.conditions.look() == []
    assert not worker.conditions.is_unready
