"""Frames say which ticks they are made of: offsets, epoch, receipt; and raw frames keep every tick."""

from __future__ import annotations

import msgspec
import pytest
from trading_samples import NOW_MS, SOL, quote

from exness_streams.domain import codec
from exness_streams.domain.frames import REFRESH_MS, FrameBuilder, PriceFrame, Step
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RAW_TICKS_MAX, RawFrame, RawFrameBuilder, RawTick

BTC = "BTC_USDC"


def numbered(begin: int = 100, *, by_offset: bool = True) -> FrameBuilder:
    return FrameBuilder(begin, epoch=7, by_offset=by_offset)


def cut(builder: FrameBuilder, time_ms: int = NOW_MS, **others: object) -> PriceFrame:
    frame = builder.cut(time_ms, **others)  # type: ignore[arg-type]
    assert frame is not None
    return frame


def cut_raw(builder: RawFrameBuilder, time_ms: int = NOW_MS, **others: object) -> RawFrame:
    frame = builder.cut(time_ms, **others)  # type: ignore[arg-type]
    assert frame is not None
    return frame


def add(builder: FrameBuilder, offset: int, bid: int, symbol: str = SOL, *, sequence: int = 0, ms: int = 0) -> bool:
    tick = quote(bid, bid + 1, sequence or offset)
    return builder.add(symbol, tick, 10**18, offset=offset, received_ms=NOW_MS + ms)


def test_a_frame_tells_its_range_and_where_and_when_each_extreme_was() -> None:
    builder = numbered()
    add(builder, 100, 50, ms=1)
    add(builder, 103, 40, ms=2)
    add(builder, 104, 45, ms=3)
    add(builder, 105, 7, BTC, ms=4)
    frame = cut(builder, NOW_MS + 10, end=107, source="simulated", settings="abcd")
    btc, sol = frame.symbols
    assert (frame.epoch, frame.from_offset, frame.to_offset, frame.time_ms) == (7, 100, 107, NOW_MS + 10)
    assert (frame.source, frame.settings, frame.gap, frame.restarts) == ("simulated", "abcd", False, 0)
    assert sol.bid_lows == (Step(0, quote(50, 51).bid, 0, 9), Step(0, quote(40, 41).bid, 3, 8))  # type: ignore[arg-type]
    assert (sol.offset, sol.before_ms, btc.offset, btc.before_ms) == (4, 7, 5, 6)


@pytest.mark.parametrize("by_offset", [False, True])
def test_each_frame_begins_where_the_one_before_it_ended(by_offset: bool) -> None:
    builder = numbered(by_offset=by_offset)
    add(builder, 100, 50)
    first = cut(builder)
    add(builder, 101, 50, sequence=101)
    assert builder.cut(NOW_MS, end=110) is None  # nothing moved: its ticks are the next one's
    add(builder, 110, 51)
    second = cut(builder)
    assert (first.from_offset, first.to_offset, second.from_offset, second.to_offset) == (100, 101, 101, 111)
    assert second.symbols[0].offset == 9


def test_a_frame_is_cut_though_nothing_came_so_that_time_goes_on() -> None:
    builder = numbered()
    assert builder.cut(NOW_MS) is None
    beat = cut(builder, NOW_MS, always=True)
    assert (beat.symbols, beat.from_offset, beat.to_offset, beat.time_ms) == ((), 100, 100, NOW_MS)


def test_time_does_not_go_back_whatever_the_clock_does() -> None:
    builder = numbered()
    add(builder, 100, 50, ms=5)
    add(builder, 101, 40, ms=-9)
    frame = cut(builder, NOW_MS)
    assert frame.time_ms == NOW_MS + 5
    assert (frame.symbols[0].bid_lows[0].before_ms, frame.symbols[0].before_ms) == (0, 0)
    assert cut(builder, NOW_MS - 100, always=True).time_ms == NOW_MS + 5


def test_by_offset_a_tick_of_an_older_sequence_counts_and_one_of_a_known_offset_does_not() -> None:
    builder = numbered()
    assert add(builder, 100, 50, sequence=10**17)
    assert add(builder, 101, 40, sequence=5)
    assert add(builder, 101, 30, sequence=6)
    frame = cut(builder)
    assert frame.symbols[0].last.bid == 40
    assert (frame.to_offset, frame.sequence_max) == (102, -1)
    assert add(builder, 100, 20)
    assert builder.cut(NOW_MS) is None


def test_by_sequence_a_tick_of_an_older_one_is_only_counted() -> None:
    builder = numbered(by_offset=False)
    add(builder, 100, 50, sequence=10)
    add(builder, 101, 40, sequence=5)
    frame = cut(builder, sequence_max=10**18)
    assert (frame.symbols[0].last.bid, frame.to_offset, frame.sequence_max) == (50, 102, 10**18)


def test_a_tick_that_takes_the_place_of_one_of_the_future_is_not_in_the_frame_before_it() -> None:
    builder = numbered(by_offset=False)
    builder.add(SOL, quote(50, 51, 10**17), 10**16, offset=100, received_ms=NOW_MS)
    assert not builder.add(SOL, quote(40, 41, 10**15), 10**16, offset=101, received_ms=NOW_MS)
    assert cut(builder).to_offset == 101
    assert builder.add(SOL, quote(40, 41, 10**15), 10**16, offset=101, received_ms=NOW_MS)
    assert cut(builder).to_offset == 102


def test_a_market_at_rest_is_refreshed_by_the_time_of_receipt_too() -> None:
    builder = numbered()
    add(builder, 100, 50)
    cut(builder)
    add(builder, 101, 50, ms=REFRESH_MS - 1)
    assert builder.cut(NOW_MS) is None
    add(builder, 102, 50, ms=REFRESH_MS)
    assert cut(builder).symbols[0].last.bid == 50


@pytest.mark.parametrize("make", [numbered, lambda: RawFrameBuilder(100, epoch=7)])
def test_trimmed_ticks_make_a_gap_that_one_frame_tells(make: object) -> None:
    builder = make()  # type: ignore[operator]
    builder.skip_to(90)
    builder.skip_to(120)
    builder.add(SOL, quote(50, 51), offset=120, received_ms=NOW_MS)
    with pytest.raises(ValueError, match="have to be framed before"):
        builder.skip_to(130)
    first = builder.cut(NOW_MS)
    builder.add(SOL, quote(40, 51), offset=121, received_ms=NOW_MS)
    second = builder.cut(NOW_MS)
    assert (first.from_offset, first.to_offset, first.gap) == (120, 121, True)
    assert (second.from_offset, second.to_offset, second.gap) == (121, 122, False)


def test_a_builder_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="an epoch above 0"):
        FrameBuilder(5)
    with pytest.raises(ValueError, match="an epoch above 0"):
        FrameBuilder(epoch=5)
    with pytest.raises(ValueError, match="the first offset"):
        FrameBuilder(by_offset=True)
    with pytest.raises(ValueError, match="an epoch above 0"):
        RawFrameBuilder(5, epoch=0)
    with pytest.raises(ValueError, match="without numbers"):
        FrameBuilder().skip_to(5)


def test_a_raw_frame_keeps_every_tick() -> None:
    builder = RawFrameBuilder(100, epoch=7, restarts=2)
    for offset in (100, 100, 101, 99):
        builder.add(SOL, quote("50.10", 51, 5), offset=offset, received_ms=NOW_MS + offset)
    frame = cut_raw(builder, NOW_MS + 110, end=105, source="simulated", settings="abcd")
    canonical = Quote(5, NOW_MS, *(quote("50.1", 51, 5).price, quote("50.1", 51).bid, quote("50.1", 51).ask))
    assert frame == RawFrame(
        NOW_MS + 110,
        7,
        100,
        105,
        (RawTick(SOL, 0, 10, canonical), RawTick(SOL, 1, 9, canonical)),
        "simulated",
        restarts=2,
        settings="abcd",
    )
    assert builder.cut(NOW_MS) is None
    assert cut_raw(builder, end=106).ticks == ()


def test_a_raw_frame_is_bounded() -> None:
    builder = RawFrameBuilder(0, epoch=1)
    for offset in range(RAW_TICKS_MAX):
        assert not builder.is_full
        builder.add(SOL, quote(50, 51), offset=offset, received_ms=NOW_MS)
    assert builder.is_full
    with pytest.raises(ValueError, match="holds 500 ticks"):
        builder.add(SOL, quote(50, 51), offset=RAW_TICKS_MAX, received_ms=NOW_MS)


def test_frames_come_out_of_the_journal_as_they_went_in() -> None:
    builder, raw = numbered(), RawFrameBuilder(0, epoch=3)
    add(builder, 100, 50)
    raw.add(SOL, quote(50, None, 5), offset=3, received_ms=NOW_MS)
    for frame in (cut(builder, end=101), cut_raw(raw)):
        assert codec.decode_record(codec.encode(frame)) == frame


def test_a_frame_of_the_release_before_is_read_and_says_nothing_of_offsets() -> None:
    old = b'{"type":"PriceFrame","time_ms":1,"symbols":[["SOL_USDC",[7,1,1.5,1,2,null],[[6,1]],[],[],[]]]}'
    frame = codec.decode_record(old)
    assert isinstance(frame, PriceFrame)
    assert (frame.epoch, frame.from_offset, frame.to_offset) == (0, -1, -1)
    assert frame.symbols[0].bid_lows[0] == Step(6, quote(1, 2).bid)  # type: ignore[arg-type]


class OldStep(msgspec.Struct, array_like=True):
    sequence: int
    price: float


class OldSymbolFrame(msgspec.Struct, array_like=True):
    symbol: str
    last: tuple[int, int, float, float, float, float | None]
    bid_lows: tuple[OldStep, ...] = ()


class OldFrame(msgspec.Struct, tag="PriceFrame"):
    time_ms: int
    symbols: tuple[OldSymbolFrame, ...]


def test_the_release_before_reads_what_it_knows_of_a_new_frame() -> None:
    builder = numbered(by_offset=False)
    add(builder, 100, 50, sequence=8)
    add(builder, 101, 60, sequence=9)
    frame = msgspec.json.decode(codec.encode(cut(builder)), type=OldFrame)
    (sol,) = frame.symbols
    assert (sol.symbol, sol.last[0], sol.bid_lows) == (SOL, 9, (OldStep(8, 50),))
