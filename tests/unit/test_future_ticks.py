"""No time and no sequence of the future moves a symbol beyond the present, nor holds it up."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from kept_frames import KeptFrames, KeptTicks

from exness_streams.domain.candles import CandleFold, LiveMinute, Observed
from exness_streams.domain.cell import Cell
from exness_streams.domain.frames import FrameBuilder
from exness_streams.domain.quotes import Quote
from exness_streams.engine.framer import Framer
from exness_streams.messages import MarketDataMessage, json_encoder

SOL = "SOL_USDC"
NOW_MS = 1_790_000_000_000
FUTURE_MS = [NOW_MS + 15_000, NOW_MS + 3_600_000, 4_000_000_000_000, 9_999_999_999_999]


class Record(NamedTuple):
    offset: int
    key: bytes
    value: bytes


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def record(offset: int, time_ms: int, sequence: int, price: str = "150") -> Record:
    bid = Decimal(price)
    message = MarketDataMessage(SOL, bid, time_ms, sequence, None, bid, bid + 1)
    return Record(offset, SOL.encode(), json_encoder.encode(message))


def cell_of(quote: Quote | None = None) -> Cell:
    cell = Cell(0, lambda key: None)
    cell.load(0, [], [] if quote is None else [(SOL, quote)])
    return cell


def fold(cell: Cell, kept: KeptFrames) -> None:
    for frame in kept.frames()[cell.next_offset :]:
        cell.fold(cell.next_offset, frame)


@pytest.mark.parametrize("future_ms", FUTURE_MS)
@pytest.mark.parametrize("one_batch", [True, False])
async def test_a_tick_of_the_future_holds_nothing_up(future_ms: int, one_batch: bool) -> None:
    clock, kept, keeper, cell = Clock(), KeptFrames(), KeptTicks(), cell_of()
    framer = Framer(kept, 1, 0, keeper, clock_ms=clock)
    ticks = [
        record(0, NOW_MS, NOW_MS * 1000),
        record(1, future_ms, future_ms * 1000, "160"),
        record(2, NOW_MS + 100, NOW_MS * 1000 + 100_000, "151"),
        record(3, NOW_MS + 200, NOW_MS * 1000 + 200_000, "152"),
    ]
    for batch in [ticks] if one_batch else [[tick] for tick in ticks]:
        await framer.frame(0, batch)
        fold(cell, kept)
        assert cell.quotes[SOL].time_ms <= NOW_MS + 2_000
    assert (cell.quotes[SOL].bid, cell.quotes[SOL].sequence) == (152, NOW_MS * 1000 + 200_000)
    assert framer.counters["ahead"] == 1
    clock.now_ms += 900_000
    for n in range(4, 14):
        at_ms = NOW_MS + n * 60_000
        await framer.frame(0, [record(n, at_ms, at_ms * 1000, str(150 + n))])
    assert [time_s for _, time_s in keeper.fold.closed] == [NOW_MS // 60_000 * 60 + 60 * n for n in (0, *range(4, 13))]


@pytest.mark.parametrize("future_ms", FUTURE_MS)
async def test_a_cell_that_0_1_0_left_in_the_future_trades_at_once(future_ms: int) -> None:
    cell = cell_of(Quote(future_ms * 1000, future_ms, Decimal(1), Decimal(1), Decimal(2)))
    assert not cell.quotes[SOL].is_fresh(NOW_MS, 5_000)
    kept = KeptFrames()
    await Framer(kept, 1, 0, KeptTicks(), clock_ms=Clock()).frame(0, [record(0, NOW_MS, NOW_MS * 1000)])
    fold(cell, kept)
    assert cell.quotes[SOL].bid == 150
    assert cell.quotes[SOL].is_fresh(NOW_MS, 5_000)


async def test_sequences_that_go_on_in_the_future_keep_their_order() -> None:
    """As those of a market data service that found one of the future in its log."""
    future, kept, cell = 4_000_000_000_000_000, KeptFrames(), cell_of()
    framer = Framer(kept, 1, 0, KeptTicks(), clock_ms=Clock())
    for n, sequence in enumerate([future, future + 2, future + 1, future + 2, future + 3]):
        await framer.frame(0, [record(n, NOW_MS, sequence, str(150 + n))])
        fold(cell, kept)
    assert [frame.symbols[0].last.bid for frame in kept.frames()] == [150, 151, 154]
    assert (cell.quotes[SOL].bid, cell.quotes[SOL].time_ms) == (154, NOW_MS)
    assert not framer.counters["ahead"]  # it tells of clocks, not of what the log once held


def test_frames_of_0_1_0_are_folded_as_it_did() -> None:
    """It told no bound: what such a journal gave it gives again."""
    cell = cell_of(Quote(4_000_000_000_000_000, NOW_MS, Decimal(1)))
    builder = FrameBuilder()
    builder.add(SOL, Quote(NOW_MS * 1000, NOW_MS, Decimal(2)))
    frame = builder.cut(NOW_MS)
    assert frame is not None
    cell.fold(0, frame)
    assert cell.quotes[SOL].price == 1


@pytest.mark.parametrize("future_ms", FUTURE_MS[1:])
def test_a_newest_minute_of_the_future_is_forgotten(future_ms: int) -> None:
    fold = CandleFold([SOL])
    high = Decimal(999)
    minute_s = future_ms // 60_000 * 60
    fold.load(SOL, LiveMinute(minute_s, Observed(high, high, high, high, future_ms * 1000, future_ms, True)))
    fold.add(SOL, NOW_MS * 1000, NOW_MS, Decimal(150), NOW_MS)
    live = fold.live(SOL)
    assert live is not None
    assert (live.time_s, live.observed.high, live.observed.sequence) == (NOW_MS // 60_000 * 60, 150, NOW_MS * 1000)
    assert not fold.closed


@pytest.mark.parametrize(
    ("age_ms", "fresh"), [(5_000, True), (5_001, False), (0, True), (-2_000, True), (-2_001, False)]
)
def test_a_quote_is_fresh_within_bounds(age_ms: int, fresh: bool) -> None:
    assert Quote(1, NOW_MS - age_ms, Decimal(1)).is_fresh(NOW_MS, 5_000) is fresh
