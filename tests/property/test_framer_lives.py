"""Framers that are paused, killed, cut off and replaced at any await, with writes that arrive late or never.

Every cell takes in every tick exactly once and in order, whatever became of the framers: the log of frames is read as
DESIGN's rules for a cell say, and prices only rise, so that a frame names each of its ticks.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from frame_reader import FrameReader

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.engine import framer_state
from exness_streams.engine.frame_cutter import Frame
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import Found, FramerState, Seen
from exness_streams.messages import MarketDataMessage, json_encoder
from exness_streams.transport.faults import LogFenced
from exness_streams.transport.interfaces import LogRecord

CELLS = 2
SYMBOL = "SOL_USDC"
NOW_MS = 1_790_000_000_000


class Pause(Awaitable[None]):
    """Where a framer may stand for as long as the scheduler likes."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Tick(NamedTuple):
    offset: int
    value: bytes
    sequence: int


class World:
    """The log: ticks, journals, the table of the ticks' lease, and who holds it."""

    def __init__(self, seed: int, *, is_atomic: bool) -> None:
        self.draw = random.Random(seed)
        self.rules = seed % 2 * 2  # 2: raw frames; 0: nobody knows whether all cells read them
        self.is_atomic = is_atomic
        self.ticks: list[Tick] = []
        self.start = self.end = 0
        self.sequence = 0
        self.lost: set[int] = set()
        self.journals = [FrameReader() for _ in range(CELLS)]
        self.state: FramerState | None = FramerState(0, 0, 0)
        self.committed: int | None = None
        self.framed_end = 0
        self.owner: Worker | None = None

    def produce(self, count: int) -> None:
        for _ in range(count):
            self.end += self.draw.choice([0, 0, 1])  # the marker of a transaction
            self.sequence += 1
            price = Decimal(self.sequence)
            message = MarketDataMessage(SYMBOL, price, NOW_MS, self.sequence, None, price, price + 1)
            self.ticks.append(Tick(self.end, json_encoder.encode(message), self.sequence))
            self.end += 1

    def trim(self, start: int) -> None:
        self.lost |= {tick.sequence for tick in self.ticks if tick.offset < start}
        self.ticks = [tick for tick in self.ticks if tick.offset >= start]
        self.start = start

    def make_anew(self) -> None:
        """Once some of it is known to be framed: offsets that begin again tell of nothing else."""
        if self.state is None or self.state.framed <= self.start:
            return
        self.trim(self.end)
        self.start = self.end = 0


class Worker:
    """A framer, its lease (TicksLease) and its way to the log (FrameLog)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fold, self.guard = CandleFold([SYMBOL]), PriceGuard({})
        self.found: Found | None = Found(0, world.state, world.start, world.end, world.committed)
        self.next_offset = world.start if (world.committed or 0) > world.end else max(world.committed or 0, world.start)
        self.position = self.next_offset
        self.next: FramerState | None = world.state
        self.in_flight: list[list[Frame]] = [[] for _ in range(CELLS)]
        self.is_over = False
        self.now_ms = NOW_MS
        # No wall clock: the framer's time goes on with its steps.
        self.framer = Framer(
            self,
            CELLS,
            0,
            self,
            seen=lambda: Seen(rules=self.world.rules),
            clock_ms=self.clock_ms,
            monotonic_s=self.monotonic_s,
        )
        self.work: Coroutine[Any, Any, None] | None = None
        world.owner = self

    def clock_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1000

    # -- TicksLease

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        await Pause()
        self.next = state
        self._commit(state)
        await Pause()
        return True

    def _commit(self, state: FramerState | None) -> None:
        if self.world.owner is not self or self.found is None:
            raise LogFenced("another has it", written=False)
        self.world.state, self.world.committed = state, self.next_offset
        self.found = self.found._replace(state=state)

    def framed(self, fold: CandleFold, next_offset: int, state: FramerState) -> None:
        self.next_offset, self.next = max(self.next_offset, next_offset), state

    # -- FrameLog

    def framed_end(self, partition: int) -> int | None:
        return self.world.framed_end if self.world.is_atomic else None

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        await Pause()
        for record in records:
            frame = decode_record(record.value or b"")
            assert isinstance(frame, PriceFrame | RawFrame)
            assert record.partition is not None
            self.in_flight[record.partition].append(frame)
        if self.world.is_atomic:
            if self.world.owner is not self:
                raise LogFenced("the directory is another's", written=False)
            self.world.framed_end = next_offset
            for cell in range(CELLS):
                while self.in_flight[cell]:
                    self.deliver(cell)
        while any(self.in_flight):
            await Pause()

    def deliver(self, cell: int) -> None:
        if self.in_flight[cell]:
            self.world.journals[cell].fold(self.in_flight[cell].pop(0))

    # -- steps

    def step(self) -> None:
        if self.is_over:
            return
        self.now_ms += self.world.draw.choice([1, 20, 1_500])
        try:
            if self.work is None:
                self.work = self._work()
            self.work.send(None)
        except StopIteration:
            self.work = None
        except LogFenced:
            self.end()

    def _work(self) -> Coroutine[Any, Any, None]:
        if self.world.draw.random() < 0.2:
            return self.framer.beat()
        return self._read()

    async def _read(self) -> None:
        there = [tick for tick in self.world.ticks if tick.offset >= self.position]
        batch = there[: self.world.draw.randint(1, 6)]
        if not batch:
            await Pause()
            return
        await self.framer.frame(0, batch)
        self.position = batch[-1].offset + 1

    def flush(self) -> None:
        """As once a second."""
        if not self.is_over and self.world.owner is self and self.next is not None:
            self._commit(self.next)

    def end(self) -> None:
        self.is_over = True
        if self.work is not None:
            self.work.close()
            self.work = None


def live(world: World, steps: int, *, loses: bool) -> None:
    draw, workers = world.draw, [Worker(world)]
    for _ in range(steps):
        luck = draw.random()
        if luck < 0.2:
            world.produce(draw.randint(1, 4))
        elif luck < 0.24 and len(workers) < 8:
            if world.is_atomic:
                workers[-1].end()  # its log is a directory, which one process has
            workers.append(Worker(world))
        elif luck < 0.27:
            draw.choice(workers).flush()
        elif luck < 0.28:
            draw.choice(workers).now_ms += draw.choice([-60_000, 60_000])
        elif luck < 0.285 and loses and world.owner is workers[-1] and world.ticks:
            # What somebody is reading is not trimmed by age, nor made anew beneath him.
            workers[-1].end()
            if draw.random() < 0.6:
                world.trim(draw.choice(world.ticks).offset)
            else:
                world.make_anew()
            workers.append(Worker(world))
            begun = world.state
            while world.state is begun:  # were it to grow beyond what was framed first, offsets would tell nothing
                workers[-1].step()
        elif luck < 0.6:
            (workers[-1] if draw.random() < 0.7 else draw.choice(workers)).step()
        else:
            worker, cell = draw.choice(workers), draw.randrange(CELLS)
            if worker is not workers[-1] and draw.random() < 0.1:
                worker.end()
                worker.in_flight = [frames if draw.random() < 0.5 else [] for frames in worker.in_flight]
            worker.deliver(cell)
    # All others hear of their end; what they have sent arrives, or not. The last one works on.
    for worker in workers[:-1]:
        worker.end()
        for cell in range(CELLS):
            while worker.in_flight[cell] and draw.random() < 0.7:
                worker.deliver(cell)
    if workers[-1].is_over:
        workers.append(Worker(world))
    world.produce(2)
    for _ in range(400):
        workers[-1].step()
        for cell in range(CELLS):
            workers[-1].deliver(cell)
    workers[-1].end()


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.parametrize("loses", [False, True])
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_every_cell_takes_in_every_tick_once(
    monkeypatch: pytest.MonkeyPatch, is_atomic: bool, loses: bool, first: int
) -> None:
    monkeypatch.setattr(framer_state, "AHEAD_TICKS_MIN", 5)
    monkeypatch.setattr(framer_state, "AHEAD_TICKS_MAX", 12)
    for seed in range(first, first + 50):
        world = World(seed, is_atomic=is_atomic)
        live(world, 300, loses=loses)
        for journal in world.journals:
            assert not journal.dropped, f"seed {seed}"
            wanted = [number + 1 for number in range(world.sequence)]
            assert sorted(set(journal.taken)) == journal.taken, f"seed {seed}: twice, or out of order"
            assert [n for n in wanted if n in set(journal.taken) or n not in world.lost] == journal.taken, (
                f"seed {seed}"
            )
