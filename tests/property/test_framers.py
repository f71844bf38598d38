"""Framers that pause, wake up and replace each other, on cells that must see every tick once and in order.

The framers are small models of the real one's protocol, with appends that arrive late or never; builder and cell are
the real ones. Orders wait in the cells for prices of the market: what fills them is known from the ticks alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import msgspec
import pytest
from examples import examples
from trading_samples import NOW_MS, SOL, place_command

from exness_streams.domain import rules
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta
from exness_streams.domain.events import OrderExpired, OrderFilled, OrderPlaced
from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder

PARTITIONS = 2
LIVES = examples(1_000)
AHEAD = 3
"""How many ticks beyond those that it frames a framer promises."""

Frame = PriceFrame | RawFrame


@pytest.fixture(autouse=True)
def _known_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 2)


@dataclass
class TicksLease:
    """What only the owner of the ticks may change. A framer that is not reads it no more."""

    owner: Framer | None = None
    epoch: int = 0
    framed: int = 0
    promised: int = 0


@dataclass
class Framer:
    epoch: int
    framed: int
    promised: int
    lives: bool = True
    on_the_way: list[list[Frame]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    builder: FrameBuilder | None = None

    def __post_init__(self) -> None:
        self.position = self.framed
        self.raw_until = self.promised


class Life:
    """left_out: which of the three rules the framers do not keep, if any."""

    def __init__(self, seed: int, left_out: str = "") -> None:
        self._random = Random(seed)
        self._left_out = left_out
        self._ticks: list[Quote] = []
        self._journals: list[list[Frame]] = [[] for _ in range(PARTITIONS)]
        self._lease = TicksLease()
        self._framers: list[Framer] = []

    def faults(self, steps: int = 100) -> list[str]:
        """Plays it, and folds what came of it. What is wrong, empty when nothing is."""
        self._take_over()
        for _ in range(steps):
            self._step()
        self._heal()
        return [fault for journal in self._journals for fault in self._fold(journal)]

    # The market and the framers

    @property
    def _current(self) -> Framer:
        return self._framers[-1]

    def _tick(self, count: int) -> None:
        for _ in range(count):
            bid = (self._ticks[-1].bid or Decimal(0)) if self._ticks else Decimal(100)
            bid = min(max(bid + self._random.choice([-2, -1, 1, 2]), Decimal(80)), Decimal(120))
            nth = len(self._ticks)
            self._ticks.append(Quote(nth + 1, NOW_MS + nth, bid, bid, bid + 1))

    def _take_over(self) -> None:
        lease = self._lease
        if self._left_out != "epoch" or not lease.epoch:
            lease.epoch += 1
        lease.owner = Framer(lease.epoch, lease.framed, lease.promised)
        self._framers.append(lease.owner)

    def _step(self) -> None:
        chance = self._random.random()
        if chance < 0.25:
            self._tick(self._random.randint(1, 3))
        elif chance < 0.30 and len(self._framers) < 5:
            self._take_over()
        elif chance < 0.65:
            former = self._framers[-2:]
            framer = self._current if self._random.random() < 0.75 else self._random.choice(former)
            if framer.lives:
                self._frame(framer)
        else:
            framer = self._random.choice(self._framers)
            if framer is not self._current and self._random.random() < 0.2:
                framer.lives = False  # crashed: what it has not sent is gone
                framer.on_the_way = [[] for _ in range(PARTITIONS)]
            else:
                self._deliver(framer, self._random.randrange(PARTITIONS))

    def _frame(self, framer: Framer) -> None:
        end = len(self._ticks)
        raw = framer.position < framer.raw_until
        if raw:
            end = min(end, framer.raw_until)
        if end > framer.promised:
            if self._left_out == "promise":
                framer.promised = end + AHEAD
            elif self._lease.owner is not framer:
                framer.lives = False  # fenced
                return
            else:
                framer.promised = self._lease.promised = end + AHEAD
        if end > framer.position:
            made = self._made(framer, end, raw=raw and self._left_out != "raw")
            for sent in framer.on_the_way:
                sent.append(made)
            framer.position = end
        if self._lease.owner is framer and self._random.random() < 0.3 and not any(framer.on_the_way):
            self._lease.framed = framer.position

    def _made(self, framer: Framer, end: int, *, raw: bool) -> Frame:
        ticks = range(framer.position, end)
        made: Frame | None
        if raw:
            builder = RawFrameBuilder(framer.position, epoch=framer.epoch)
            for offset in ticks:
                builder.add(SOL, self._ticks[offset], offset=offset, received_ms=NOW_MS + offset)
            made = builder.cut(NOW_MS + end - 1, end=end)
        else:
            if framer.builder is None:
                framer.builder = FrameBuilder(framer.position, epoch=framer.epoch, by_offset=True)
            for offset in ticks:
                assert framer.builder.add(SOL, self._ticks[offset], offset=offset, received_ms=NOW_MS + offset)
            made = framer.builder.cut(NOW_MS + end - 1, end=end, always=True)
        assert made is not None
        return made

    def _deliver(self, framer: Framer, partition: int) -> None:
        if framer.on_the_way[partition]:
            self._journals[partition].append(framer.on_the_way[partition].pop(0))

    def _heal(self) -> None:
        """The former ones end, with some of what they had sent still to come; the last one works on alone."""
        for framer in self._framers[:-1]:
            framer.lives = False
            for partition, sent in enumerate(framer.on_the_way):
                while sent and self._random.random() < 0.7:
                    self._deliver(framer, partition)
        for _ in range(10):
            self._tick(1)
            self._frame(self._current)
            for partition, sent in enumerate(self._current.on_the_way):
                while sent:
                    self._deliver(self._current, partition)

    # The cells

    def _fold(self, journal: list[Frame]) -> Iterator[str]:
        cell = Cell(0, lambda _: None)
        start = Quote(0, NOW_MS, Decimal(100), Decimal(100), Decimal(101))
        cell.load(0, [], [(SOL, start)], meta=Meta(0, 0, rules=2, ticks_end=0))
        expected: dict[str, tuple[str, Decimal | None]] = {}
        told: dict[str, tuple[str, Decimal | None]] = {}
        for frame in journal:
            if self._random.random() < 0.3:
                self._place(cell, expected)
            folded = cell.fold(cell.next_offset, frame)
            if folded.ignored in (IgnoredFrame.STRADDLE, IgnoredFrame.GAP):
                yield folded.ignored.value
            for event in folded.events:
                if isinstance(event, OrderFilled):
                    told[event.order_id] = "filled", event.fill_price
                elif isinstance(event, OrderExpired):
                    told[event.order_id] = "expired", None
        if cell.meta.ticks_end < len(self._ticks):
            yield "deaf"
        if told != {name: fate for name, fate in expected.items() if fate[0]}:
            yield "other fills"

    def _place(self, cell: Cell, expected: dict[str, tuple[str, Decimal | None]]) -> None:
        """An order somewhere around the market, and what the ticks that this cell has not seen will do to it."""
        seen = cell.meta.ticks_end
        away = self._random.randint(1, 4)
        is_limit = self._random.random() < 0.5
        ask = cell.quotes[SOL].ask
        assert ask is not None
        price = ask - away if is_limit else ask + away
        expires_ms = NOW_MS + seen + self._random.randint(1, 12)
        command = place_command(
            price=str(price), margin="1", leverage="1", kind="limit" if is_limit else "stop", expires_ms=expires_ms
        )
        place = msgspec.structs.replace(command, time_ms=NOW_MS + max(0, seen - 1), quote_age_ms_max=10**9)
        reply = cell.fold(cell.next_offset, place).reply
        assert reply is not None
        outcome = reply.outcome
        fate: tuple[str, Decimal | None] = ("", None)
        for offset in range(seen, len(self._ticks)):
            ask = self._ticks[offset].ask
            assert ask is not None
            if NOW_MS + offset >= expires_ms:
                fate = "expired", None
                break
            if ask <= price if is_limit else ask >= price:
                fate = "filled", ask
                break
        assert isinstance(outcome, OrderPlaced), outcome
        expected[outcome.order_id] = fate


def test_every_cell_sees_every_tick_once_whoever_frames_them() -> None:
    wrong = {seed: faults for seed in range(LIVES) if (faults := Life(seed).faults())}
    assert wrong == {}


@pytest.mark.parametrize("left_out", ["raw", "promise", "epoch"])
def test_each_of_the_three_rules_is_needed(left_out: str) -> None:
    """Takeovers go out raw; a promise is committed before what it allows; a cell hears the newest epoch alone."""
    assert any(Life(seed, left_out).faults() for seed in range(4_000))
