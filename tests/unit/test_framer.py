"""The market agent's work: what becomes of a batch of ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from event_loop import turns
from kept_frames import KeptFrames, KeptTicks
from trading_samples import terms

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.ticks import TickFault
from exness_streams.engine import framer as framing
from exness_streams.engine.framer import BACKLOG_TICKS, Framer
from exness_streams.engine.framer_state import FramerState
from exness_streams.market_data.source import Source
from exness_streams.messages import JOURNAL_TOPIC, MarketDataMessage, json_encoder
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord


class Tick(NamedTuple):
    offset: int
    value: bytes | None


def tick(offset: int, bid: str, *, symbol: str = "SOL_USDC", price: str = "150", sequence: int | None = None) -> Tick:
    number = offset + 1 if sequence is None else sequence
    message = MarketDataMessage(symbol, Decimal(price), 1_000 + number, number, None, Decimal(bid), Decimal(bid) + 1)
    return Tick(offset, json_encoder.encode(message))


async def test_a_batch_is_one_frame_in_every_cell_and_moves_the_offset() -> None:
    kept = KeptFrames()
    await Framer(kept, 3, 0, KeptTicks()).frame(0, [tick(7, "150"), tick(8, "149"), tick(9, "151")])
    [(records, partition, next_offset)] = kept.appended
    assert [(record.topic, record.partition) for record in records] == [(JOURNAL_TOPIC, n) for n in range(3)]
    assert len({record.value for record in records}) == 1
    assert (partition, next_offset) == (0, 10)
    [symbol] = kept.frames()[0].symbols
    assert symbol.last.bid == 151
    assert [step.price for step in symbol.bid_lows] == [150, 149]


async def test_ticks_that_may_have_been_framed_before_go_one_a_frame() -> None:
    ticks = KeptTicks(FramerState(1, 0, 2))
    kept = KeptFrames()
    await Framer(kept, 1, 0, ticks).frame(0, [tick(n, str(150 + n)) for n in range(4)])
    assert [frame.symbols[0].last.sequence for frame in kept.frames()] == [1, 2, 4]


async def test_ticks_that_were_framed_are_read_again_for_the_candles_alone() -> None:
    kept, candles = KeptFrames(framed_end=2), KeptTicks()
    framer = Framer(kept, 1, 0, candles)
    await framer.frame(0, [tick(n, "150", price=str(100 + n)) for n in range(2)])
    assert not kept.appended
    assert candles.framed_to == 2
    await framer.frame(0, [tick(n, "150", price=str(100 + n)) for n in range(2, 4)])
    assert [frame.symbols[0].last.sequence for frame in kept.frames()] == [4]
    assert candles.framed_to == 4
    live = candles.fold.live("SOL_USDC")
    assert live is not None
    assert (live.observed.first, live.observed.last, live.observed.sequence) == (100, 103, 4)


async def test_candles_hear_of_frames_only_when_they_are_durable() -> None:
    class Failing(KeptFrames):
        async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
            raise LogFault("no")

    candles = KeptTicks()
    with pytest.raises(LogFault):
        await Framer(Failing(), 1, 0, candles).frame(0, [tick(0, "150")])
    assert candles.framed_to == -1


async def test_a_batch_that_moves_nothing_writes_nothing() -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks())
    await framer.frame(0, [tick(0, "150")])
    await framer.frame(0, [tick(1, "150")])
    assert len(kept.appended) == 1
    await framer.frame(0, [tick(2, "150.5")])
    assert kept.appended[-1][2] == 3


async def test_what_changes_nothing_is_told_once_a_second_and_when_it_is_new() -> None:
    def told(offset: int, source: Source) -> Tick:
        at = 1_000 + offset
        message = MarketDataMessage("SOL_USDC", Decimal(offset), at, at, None, Decimal(offset), None, source=source)
        return Tick(offset, json_encoder.encode(message))

    kept, now = KeptFrames(), [10_000]
    framer = Framer(
        kept, 1, 0, KeptTicks(), settings="abcd", clock_ms=lambda: now[0], monotonic_s=lambda: now[0] / 1000
    )
    sources: list[Source] = ["simulated"] * 3 + ["backpack"] * 3
    for offset, source in enumerate(sources, 1):
        await framer.frame(0, [told(offset, source)])
        now[0] += 600
    told_by_frames = [(frame.source, frame.settings) for frame in kept.frames()]
    both = [("simulated", "abcd"), ("backpack", "abcd")]
    assert told_by_frames == [both[0], (None, None), both[0], both[1], (None, None), both[1]]
    now[0] -= 100_000  # the clock was put back
    framer.drop()
    await framer.frame(0, [told(7, "backpack")])
    last = kept.frames()[-1]
    assert (last.source, last.settings) == both[1], "a new session tells at once"


class Clock:
    """What the framer's pace is measured with: it goes on while frames are written, and while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, write_s: float) -> None:
        self.now_s = 1_000.0
        self.slept_s: list[float] = []
        self.write_s = write_s
        monkeypatch.setattr(framing, "time", SimpleNamespace(monotonic=lambda: self.now_s, time_ns=lambda: 0))
        monkeypatch.setattr(framing, "asyncio", SimpleNamespace(sleep=self.sleep, Lock=asyncio.Lock))

    async def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept_s.append(seconds)
        self.now_s += seconds

    def frames(self) -> KeptFrames:
        clock = self

        class TimedFrames(KeptFrames):
            async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
                clock.now_s += clock.write_s
                await super().append(records, partition, next_offset)

        return TimedFrames()


@pytest.mark.parametrize(("write_s", "rest_s"), [(0.0, [0.25]), (0.0625, [0.1875]), (0.25, []), (3.0, [])])
async def test_the_next_batch_is_taken_when_the_pace_allows(
    monkeypatch: pytest.MonkeyPatch, write_s: float, rest_s: list[float]
) -> None:
    clock = Clock(monkeypatch, write_s)
    framer = Framer(clock.frames(), 1, 250, KeptTicks(), clock_ms=lambda: 2_000)
    await framer.frame(0, [tick(0, "150")])
    assert clock.slept_s == rest_s
    await framer.frame(0, [tick(1, "151"), tick(2, "152")])
    assert clock.slept_s == rest_s * 2


@pytest.mark.parametrize(
    ("ticks", "is_paced"), [(1, True), (BACKLOG_TICKS - 1, True), (BACKLOG_TICKS, False), (BACKLOG_TICKS + 1, False)]
)
async def test_a_backlog_is_worked_off_without_the_pace(
    monkeypatch: pytest.MonkeyPatch, ticks: int, is_paced: bool
) -> None:
    clock = Clock(monkeypatch, 0.0)
    kept = clock.frames()
    framer = Framer(kept, 1, 250, KeptTicks(), clock_ms=lambda: 10_000)
    await framer.frame(0, [tick(n, str(150 + n % 2)) for n in range(ticks)])
    assert kept.appended
    assert clock.slept_s == ([0.25] if is_paced else [])


async def test_after_a_batch_that_moved_nothing_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.0)
    framer = Framer(clock.frames(), 1, 250, KeptTicks(), clock_ms=lambda: 2_000)
    await framer.frame(0, [Tick(0, b"not json")])
    assert clock.slept_s == []


async def test_the_house_spread_is_in_the_journal_for_every_tick_of_its_symbol_alone() -> None:
    catalogue = Catalogue([terms("SOL_USDC", spread="0.01"), terms("ETH_USDC")])
    kept = KeptFrames()
    batch = [tick(0, "150"), tick(1, "149"), tick(2, "151"), tick(3, "3500", symbol="ETH_USDC")]
    await Framer(kept, 1, 0, KeptTicks(), catalogue=catalogue).frame(0, batch)
    [frame] = kept.frames()
    ether, solana = frame.symbols
    assert (ether.last.bid, ether.last.ask) == (3500, 3501)
    assert (solana.last.bid, solana.last.ask) == (Decimal("150.245"), Decimal("152.76"))
    assert solana.last.price == 150
    assert [step.price for step in solana.bid_lows] == [Decimal("149.25"), Decimal("148.255")]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not json",
        b'{"symbol":"SOL_USDC"}',
        b'{"symbol":"SOL_USDC","price":0,"timestamp":1,"sequence":1}',
        b'{"symbol":"SOL_USDC","price":-1,"timestamp":1,"sequence":1}',
        b'{"symbol":"SOL_USDC","price":"NaN","timestamp":1,"sequence":1}',
        b'{"symbol":"SOL_USDC","price":150,"timestamp":1,"sequence":1,"volume":"NaN"}',
        b'{"symbol":"SOL_USDC","price":150,"timestamp":1,"sequence":1,"volume":1e500000}',
    ],
)
async def test_what_is_no_market_update_is_ignored_and_counted(value: bytes | None) -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks())
    await framer.frame(0, [Tick(0, value), tick(1, "150")])
    assert framer.counters["malformed"] == 1
    assert [frame.symbols[0].last.bid for frame in kept.frames()] == [150]


class SlowFrames(KeptFrames):
    """A FrameLog whose first append waits; it knows how far ticks are framed once that is over."""

    def __init__(self) -> None:
        super().__init__(framed_end=0)
        self.begun, self.proceed = asyncio.Event(), asyncio.Event()

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        self.begun.set()
        await self.proceed.wait()
        await super().append(records, partition, next_offset)


@pytest.mark.parametrize("count", range(1, 6))
async def test_a_batch_whose_partition_was_lost_between_its_slices_is_not_framed(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Nor do its ticks turn up in the next holder's frames, in front of older ones."""
    monkeypatch.setattr("exness_streams.engine.framer.SLICE_TICKS_MAX", 1)
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks())
    stale = asyncio.create_task(framer.frame(0, [tick(n, str(200 + n)) for n in range(10)]))
    await turns(count)
    framer.drop()
    await stale
    assert (kept.appended, framer.next_offsets) == ([], {})
    await framer.frame(0, [tick(0, "200"), tick(1, "201")])
    [symbol] = kept.frames()[0].symbols
    assert [step.price for step in symbol.bid_highs] == [200]
    assert framer.next_offsets == {0: 2}


class LeavingTicks(KeptTicks):
    """The partition is dealt out anew while the first promise is committed: it is, and nobody may go on."""

    async def keep(self, fold: CandleFold, state: FramerState) -> bool:
        return await super().keep(fold, state) and len(self.kept) == 1


async def test_what_was_not_written_since_the_partition_leaves_is_not_passed_over_by_the_next_batch() -> None:
    """Found by the simulation: frames after those that were cut and not written would leave a gap in the journal."""
    kept, leaving = KeptFrames(), LeavingTicks()
    framer = Framer(kept, 1, 0, leaving)
    await framer.frame(0, [tick(0, "200")])
    assert leaving.state.promised > 2
    await framer.frame(0, [tick(1, "201")])
    assert kept.appended == []


async def test_the_next_holder_waits_for_the_frames_that_the_former_is_writing() -> None:
    """Else it would frame those ticks again, in frames that straddle what cells have seen."""
    kept, ticks = SlowFrames(), [tick(n, str(200 + n)) for n in range(4)]
    framer = Framer(kept, 1, 0, KeptTicks())
    stale = asyncio.create_task(framer.frame(0, ticks[:3]))
    await kept.begun.wait()
    framer.drop()
    fresh = asyncio.create_task(framer.frame(0, ticks))
    await turns()
    assert not fresh.done()
    kept.proceed.set()
    await asyncio.gather(stale, fresh)
    assert [frame.symbols[0].last.sequence for frame in kept.frames()] == [3, 4]
    assert framer.next_offsets == {0: 4}


@pytest.mark.parametrize(
    ("book", "fault"),
    [
        ('"bid":110,"ask":100', TickFault.CROSSED_BOOK),
        ('"bid":0,"ask":100', TickFault.BAD_BOOK),
        ('"bid":"Infinity"', TickFault.BAD_BOOK),
        ('"bid":110,"ask":1e-999999', TickFault.BAD_BOOK),
    ],
)
async def test_a_book_that_is_none_leaves_no_book_standing_and_is_said_once(
    caplog: pytest.LogCaptureFixture, book: str, fault: TickFault
) -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks())
    await framer.frame(0, [tick(0, "150")])
    for n in range(1, 3):
        value = f'{{"symbol":"SOL_USDC","price":152,"timestamp":1005,"sequence":{n + 1},{book}}}'
        await framer.frame(0, [Tick(n, value.encode())])
    last = kept.frames()[-1].symbols[0].last
    assert (last.price, last.bid, last.ask) == (152, None, None)
    assert framer.faults == {fault: 2}
    assert caplog.text.count(fault.value) == 1


async def test_a_symbol_that_is_not_on_offer_is_not_framed() -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks(), catalogue=Catalogue([terms("SOL_USDC")]))
    await framer.frame(0, [tick(0, "150", symbol="XYZ_USDC"), tick(1, "150")])
    assert [symbol.symbol for frame in kept.frames() for symbol in frame.symbols] == ["SOL_USDC"]
    assert framer.faults[TickFault.UNKNOWN_SYMBOL] == 1


def day_tick(offset: int, high: str, *, symbol: str = "SOL_USDC", sequence: int | None = None) -> Tick:
    number = offset + 1 if sequence is None else sequence
    message = MarketDataMessage(
        symbol, Decimal(150), 1_000 + number, number, Decimal(7), None, None, None, Decimal(140), Decimal(high), None
    )
    return Tick(offset, json_encoder.encode(message))


def days(kept: KeptFrames) -> list[dict[str, Decimal | None]]:
    return [{day.symbol: day.high for day in frame.days} for frame in kept.frames()]


async def test_figures_of_24_hours_are_told_when_they_change_and_once_in_a_while() -> None:
    kept, now = KeptFrames(), [1_000_000]
    framer = Framer(kept, 1, 0, KeptTicks(), clock_ms=lambda: now[0], monotonic_s=lambda: now[0] / 1000)
    await framer.frame(0, [day_tick(0, "160"), tick(1, "150"), day_tick(2, "9", symbol="A_USDC")])
    assert days(kept) == [{"A_USDC": 9, "SOL_USDC": 160}]
    await framer.frame(0, [tick(3, "151"), day_tick(4, "160"), tick(5, "149")])
    assert days(kept)[1:] == [{}], "they are the same"
    await framer.frame(0, [day_tick(6, "161"), day_tick(7, "162"), tick(8, "150")])
    assert days(kept)[2:] == [{"SOL_USDC": 162}]
    now[0] += 10_000
    await framer.frame(0, [day_tick(9, "162"), tick(10, "151")])
    assert days(kept)[3:] == [{"SOL_USDC": 162}], "cells may have come that were not told"


async def test_late_figures_of_24_hours_are_not_told() -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks())
    await framer.frame(0, [day_tick(5, "160"), day_tick(6, "170", sequence=3), tick(7, "150")])
    await framer.frame(0, [day_tick(8, "180", sequence=4), tick(9, "151")])
    assert days(kept) == [{"SOL_USDC": 160}, {}]
