"""Memory of the trigger index and size of the rows, per open position, at 100 000 positions."""

from __future__ import annotations

import gc
import tracemalloc

from figures import Figure, report
from sample_accounts import rows_of

from exness_streams.domain import codec
from exness_streams.domain.cell import Cell

POSITIONS = 100_000


def index_bytes(encoded: list[bytes]) -> float:
    """Bytes a position that a cell keeps in memory after loading these rows, as at a start."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cell = Cell(0, lambda key: None)
        cell.load(0, map(codec.decode_row, encoded), ())
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cell.triggers) >= POSITIONS, "some position is not watched"
    return (after - before) / POSITIONS


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    found = []
    for with_limits, name in ((False, "liquidation only"), (True, "with stop loss and take profit")):
        encoded = [codec.encode(row) for row in rows_of(POSITIONS, with_limits=with_limits)]
        found.append(Figure(f"trigger index per position, {name}", index_bytes(encoded), "B"))
        found.append(Figure(f"row per position, {name}, as stored", sum(map(len, encoded)) / POSITIONS, "B"))
    return found


if __name__ == "__main__":
    report(measure())
