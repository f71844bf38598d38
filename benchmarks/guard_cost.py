"""What the price guard costs the framer: ticks/s with it and without, in turns, of markets that walk.

Only the framer's own work is timed: a tick read from its record, guarded, put into its candle and frame, the frames
encoded.
What runs beside it in a worker would make the guard's part look smaller.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal

from figures import Figure, report
from tick_throughput import MARKETS, TICKS_A_WRITE, walk

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import Found, FramerState
from exness_streams.transport.interfaces import LogRecord

TICKS = 100_000
ROUNDS = 15
BANDS = dict.fromkeys(MARKETS, Decimal("0.1"))


class Record:
    """One of the ticks' topic."""

    __slots__ = ("key", "offset", "timestamp_ms", "value")

    def __init__(self, offset: int, record: LogRecord) -> None:
        self.offset, self.key, self.value, self.timestamp_ms = offset, record.key, record.value, record.timestamp_ms


class Memory:
    """A log of frames, and the lease of the ticks (TicksLease)."""

    def __init__(self, bands: Mapping[str, Decimal]) -> None:
        self.fold, self.guard = CandleFold(tuple(MARKETS)), PriceGuard(bands)
        self.found: Found | None = Found(0, FramerState(1, 0, 0, rules=2), 0, 0)

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        self.found = None if self.found is None else self.found._replace(state=state)
        return True

    def framed(self, fold: CandleFold, next_offset: int, state: FramerState) -> None:
        pass

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        pass

    def framed_end(self, partition: int) -> int | None:
        return 0


async def took_s(batches: Sequence[Sequence[Record]], bands: Mapping[str, Decimal]) -> list[float]:
    """CPU seconds of each of the batches."""
    memory = Memory(bands)
    framer = Framer(memory, 1, 0, memory)
    gc.collect()
    taken_s = []
    for batch in batches:
        begun_s = time.process_time()
        await framer.frame(0, batch)
        taken_s.append(time.process_time() - begun_s)
    assert framer.counters["ticks"] == TICKS, framer.counters
    assert not framer.suspended
    return taken_s


async def measure_in_loop() -> list[Figure]:
    """Both in turns, each first every other time; of each batch the round that other work disturbed least."""
    records = [Record(offset, record) for offset, record in enumerate(walk(TICKS))]
    batches = [records[first : first + TICKS_A_WRITE] for first in range(0, TICKS, TICKS_A_WRITE)]
    await took_s(batches, BANDS)
    without: list[list[float]] = []
    guarded: list[list[float]] = []
    for nth in range(ROUNDS):
        for bands in ({}, BANDS) if nth % 2 else (BANDS, {}):
            (guarded if bands else without).append(await took_s(batches, bands))
    without_s, guarded_s = (sum(map(min, zip(*rounds, strict=True))) for rounds in (without, guarded))
    return [
        Figure("the framer without the price guard", TICKS / without_s, "ticks/s"),
        Figure("the framer with the price guard", TICKS / guarded_s, "ticks/s"),
        Figure("what the guard costs", 100 * (guarded_s / without_s - 1), "%", at_most=3),
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    return asyncio.run(measure_in_loop())


if __name__ == "__main__":
    report(measure())
