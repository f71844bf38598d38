"""What one price frame costs a cell with 1 000, 10 000 and 100 000 open positions of the symbol that moved.

Beside it the way of the original: every tick walks every position.
"""

from __future__ import annotations

import gc
import random
import time
from decimal import Decimal
from statistics import median

from figures import Figure, report, shown
from sample_accounts import MARKET, SPREAD, SYMBOL, TIME_MS, FrameMaker, firing_rows, rows_of, rung_price, walk

from exness_streams.domain import codec
from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.rules import FIRST, NEWEST

SIZES = (1_000, 10_000, 100_000)
FRAMES = 1_500
TICKS_A_FRAME = 5
NAIVE_ROUNDS = 3
RUNGS = 50
FIRED_A_FRAME = 10


class Loaded:
    """A cell over entries in memory, with its frames' costs in µs."""

    def __init__(self, rows: list[AccountRow]) -> None:
        self.rows = rows
        self.entries = {codec.row_key(row.account_id): codec.encode(row) for row in rows}
        self.cell = Cell(0, self.entries.get)
        self.cell.load(0, rows, ())
        for number in range(FIRST + 1, NEWEST + 1):
            self.cell.fold(self.cell.next_offset, codec.RulesChanged(TIME_MS, number))
        self.costs_us: list[float] = []

    def fold(self, frame: PriceFrame) -> int:
        """Fold one frame, keep its cost, and return how many positions it closed."""
        offset = self.cell.next_offset
        begun_ns = time.perf_counter_ns()
        folded = self.cell.fold(offset, frame)
        self.costs_us.append((time.perf_counter_ns() - begun_ns) / 1000)
        self.entries.update({key: value for key, value in self.cell.pending.items() if value is not None})
        self.cell.committed()
        return len(folded.events)


def quiet_costs() -> dict[int, float]:
    """Median µs of a frame that fires nothing, by the number of positions; sizes take turns."""
    cells = {size: Loaded(list(rows_of(size))) for size in SIZES}
    makers = {size: FrameMaker() for size in SIZES}
    draw = random.Random(1)
    gc.collect()
    for _ in range(FRAMES):
        middles = walk(draw, TICKS_A_FRAME)
        for size in SIZES:
            fired = cells[size].fold(makers[size].frame(middles))
            assert fired == 0, "a quiet frame fired"
    return {size: median(cells[size].costs_us) for size in SIZES}


def firing_costs() -> dict[int, float]:
    """Median µs of a frame that closes ten positions of ten accounts."""
    ladder = list(firing_rows(RUNGS, FIRED_A_FRAME))
    cells = {size: Loaded([*rows_of(size - len(ladder)), *ladder]) for size in SIZES}
    makers = {size: FrameMaker() for size in SIZES}
    for loaded, maker in zip(cells.values(), makers.values(), strict=True):
        loaded.fold(maker.frame([MARKET]))
        loaded.costs_us.clear()
    gc.collect()
    for rung in range(RUNGS):
        for size in SIZES:
            fired = cells[size].fold(makers[size].frame([rung_price(rung) + SPREAD / 2]))
            assert fired == FIRED_A_FRAME, f"{fired} positions fired"
    return {size: median(cells[size].costs_us) for size in SIZES}


def walk_positions(rows: list[AccountRow], bid: Decimal, ask: Decimal) -> int:
    """The original's way: value every position at every tick and look whether it must close."""
    due = 0
    with money_arithmetic():
        for row in rows:
            for position in row.positions.values():
                if position.symbol != SYMBOL:
                    continue
                if position.side == "long":
                    pnl = (bid - position.entry_price) * position.quantity
                else:
                    pnl = (position.entry_price - ask) * position.quantity
                due += pnl <= -position.margin
    return due


def naive_costs() -> dict[int, float]:
    """Median µs of one tick of the naive loop."""
    costs: dict[int, float] = {}
    for size in SIZES:
        rows, found = list(rows_of(size)), []
        for _ in range(NAIVE_ROUNDS):
            begun_ns = time.perf_counter_ns()
            walk_positions(rows, MARKET, MARKET)
            found.append((time.perf_counter_ns() - begun_ns) / 1000)
        costs[size] = median(found)
    return costs


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    quiet, firing, naive = quiet_costs(), firing_costs(), naive_costs()
    small, large = SIZES[0], SIZES[-1]
    found = [Figure(f"frame, nothing fires, {shown(size)} positions", quiet[size], "µs") for size in SIZES]
    found.append(Figure("its growth from 1 k to 100 k positions", quiet[large] / quiet[small], "×", at_most=1.3))
    found += [Figure(f"frame that closes 10 positions of {shown(size)}", firing[size], "µs") for size in SIZES]
    found.append(Figure("its growth from 1 k to 100 k positions", firing[large] / firing[small], "×"))
    found += [Figure(f"naive loop over {shown(size)} positions, one tick", naive[size], "µs") for size in SIZES]
    found.append(Figure("naive tick / quiet frame of 5 ticks, 100 k positions", naive[large] / quiet[large], "×"))
    return found


if __name__ == "__main__":
    report(measure())
