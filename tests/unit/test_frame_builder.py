"""The frame builder tick by tick (what frames mean is tests/property/test_frames.py)."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from trading_samples import NOW_MS, SOL, flat, quote

from exness_streams.domain.frames import FrameBuilder, PriceFrame, Step, SymbolFrame
from exness_streams.domain.quotes import Quote


def test_a_frame_holds_the_last_quote_and_the_extremes_before_it() -> None:
    builder = FrameBuilder()
    for sequence, price in enumerate(["100", "101", "99", "100", "98.50"], 1):
        builder.add(SOL, quote(price, None, sequence))
    lows = (Step(1, Decimal(100)), Step(3, Decimal(99)))
    highs = (Step(1, Decimal(100)), Step(2, Decimal(101)))
    last = quote("98.5", None, 5)
    assert builder.cut(NOW_MS) == PriceFrame(NOW_MS, (SymbolFrame(SOL, last, lows, highs),))


def test_nothing_new_is_no_frame() -> None:
    builder = FrameBuilder()
    assert builder.cut(NOW_MS) is None
    builder.add(SOL, flat(100))
    assert builder.cut(NOW_MS) is not None
    assert builder.cut(NOW_MS) is None


def test_a_move_there_and_back_is_a_move() -> None:
    builder = FrameBuilder()
    builder.add(SOL, flat(100))
    builder.cut(NOW_MS)
    for sequence, price in [(2, 90), (3, 100)]:
        builder.add(SOL, flat(price, sequence))
    frame = builder.cut(NOW_MS)
    assert frame is not None
    assert frame.symbols[0].bid_lows == (Step(2, Decimal(90)),)


def test_a_side_that_empties_is_a_move() -> None:
    builder = FrameBuilder()
    builder.add(SOL, quote("100", "101", 1))
    builder.cut(NOW_MS)
    builder.add(SOL, quote(None, "101", 2))
    frame = builder.cut(NOW_MS)
    assert frame is not None
    assert frame.symbols[0].last.bid is None


def test_symbols_stand_in_order_and_a_frame_names_those_that_moved() -> None:
    builder = FrameBuilder()
    for symbol in ("SOL_USDC", "BTC_USDC", "ETH_USDC"):
        builder.add(symbol, flat(100))
    first = builder.cut(NOW_MS)
    assert first is not None
    assert [item.symbol for item in first.symbols] == ["BTC_USDC", "ETH_USDC", "SOL_USDC"]
    builder.add("ETH_USDC", flat(101, 2))
    builder.add("BTC_USDC", flat(100, 2))
    second = builder.cut(NOW_MS)
    assert second is not None
    assert [item.symbol for item in second.symbols] == ["ETH_USDC"]


def test_prices_are_written_in_one_way() -> None:
    builder = FrameBuilder()
    builder.add(SOL, Quote(1, NOW_MS, Decimal("1.50"), Decimal("1E+2"), Decimal("-0"), Decimal("7.000")))
    frame = builder.cut(NOW_MS)
    assert frame is not None
    last = frame.symbols[0].last
    assert [str(last.price), str(last.bid), str(last.ask), str(last.volume)] == ["1.5", "100", "0", "7"]


@pytest.mark.parametrize(
    "moved",
    [
        quote("99", "101", 2, price="100"),
        quote("101", "101", 2, price="100"),
        quote("100", "100", 2, price="100"),
        quote("100", "102", 2, price="100"),
        quote("100", "101", 2, price="99"),
        quote("100", "101", 2, price="101"),
    ],
)
def test_each_price_that_moves_alone_is_a_move(moved: Quote) -> None:
    builder = FrameBuilder()
    builder.add(SOL, quote("100", "101", 1, price="100"))
    builder.cut(NOW_MS)
    builder.add(SOL, quote("100", "101", 2, price="100"))
    assert builder.cut(NOW_MS) is None
    builder.add(SOL, msgspec.structs.replace(moved, sequence=3))
    frame = builder.cut(NOW_MS)
    assert frame is not None
    assert frame.symbols[0].last.sequence == 3
