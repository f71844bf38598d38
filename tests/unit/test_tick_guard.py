"""The price guard in the framer: what frames and candles hold of ticks that are not believed, and what is said."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import NamedTuple

import pytest
from kept_frames import KeptFrames, KeptTicks
from trading_samples import terms

from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.price_reference import Reference
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import FramerState
from exness_streams.messages import MarketDataMessage, json_encoder

SYMBOL = "SOL_USDC"
BANDS = {SYMBOL: Decimal("0.1")}
BEGIN_MS = 1_790_000_000_000


class Record(NamedTuple):
    offset: int
    value: bytes
    timestamp_ms: int


class Market:
    """A framer under guard, whose ticks come at the times that a test says (ms from the beginning)."""

    def __init__(self, state: FramerState | None = None, *, catalogue: Catalogue | None = None) -> None:
        self.kept = KeptFrames()
        self.ticks = KeptTicks(state or FramerState(1, 0, 0, rules=2), bands=BANDS)
        self.now_ms = BEGIN_MS
        self.monotonic_s: float | None = None
        self.framer = Framer(
            self.kept,
            1,
            0,
            self.ticks,
            catalogue,
            clock_ms=lambda: self.now_ms,
            monotonic_s=lambda: self.now_ms / 1000 if self.monotonic_s is None else self.monotonic_s,
        )
        self.offset = 0

    def record(
        self,
        at_ms: int,
        bid: str | None,
        price: str = "150",
        *,
        look: bool = False,
        day: bool = False,
        state: str | None = None,
    ) -> Record:
        """The ask is the bid and 1."""
        time_ms = BEGIN_MS + at_ms
        message = MarketDataMessage(
            SYMBOL,
            Decimal(price),
            time_ms,
            time_ms * 1000 + self.offset,
            Decimal(7),
            None if bid is None else Decimal(bid),
            None if bid is None else Decimal(bid) + 1,
            high24h=Decimal(price) if day else None,
            book_age_ms=100 if day else 0,
            look=look,
            state=state,
        )
        self.offset += 1
        return Record(self.offset - 1, json_encoder.encode(message), time_ms)

    async def tell(self, *records: Record) -> None:
        self.now_ms = max(self.now_ms, records[-1].timestamp_ms)
        await self.framer.frame(0, records)

    def last(self) -> Quote:
        """The newest quote that cells were told."""
        frame = self.kept.records()[-1]
        if isinstance(frame, RawFrame):
            return frame.ticks[-1].quote
        return frame.symbols[-1].last


def figures(quote: Quote) -> tuple[Decimal | None, Decimal | None, Decimal]:
    return quote.bid, quote.ask, quote.price


def told_prices(frames: list[PriceFrame | RawFrame]) -> set[Decimal | None]:
    """Every bid and ask in frames."""
    found: set[Decimal | None] = set()
    for frame in frames:
        if isinstance(frame, RawFrame):
            found |= {side for tick in frame.ticks for side in (tick.quote.bid, tick.quote.ask)}
            continue
        for symbol in frame.symbols:
            found |= {symbol.last.bid, symbol.last.ask}
            for steps in (symbol.bid_lows, symbol.bid_highs, symbol.ask_lows, symbol.ask_highs):
                found |= {step.price for step in steps}
    return found


@pytest.mark.parametrize(
    "state", [FramerState(1, 0, 0, rules=1), FramerState(1, 0, 0, rules=2), FramerState(1, 0, 50, rules=2)]
)
async def test_a_held_tick_goes_on_without_a_book_and_no_candle_has_it(state: FramerState) -> None:
    market = Market(state)
    await market.tell(market.record(0, "150"), market.record(1, "15000", "15000", day=True), market.record(2, "149"))
    assert figures(market.last()) == (149, 150, 150)
    await market.tell(market.record(3, "1.5"))
    assert figures(market.last()) == (None, None, 150)
    assert told_prices(market.kept.records()) == {150, 151, 149, None}
    assert all(not frame.days for frame in market.kept.records())
    live = market.ticks.fold.live(SYMBOL)
    assert live is not None
    assert (live.observed.low, live.observed.high) == (150, 150)
    assert market.framer.suspended == {SYMBOL: BEGIN_MS + 3}


@pytest.mark.parametrize(("state", "is_drawn"), [(None, True), ("close_only", True), ("halted", False)])
async def test_a_market_that_is_closed_at_the_exchange_has_no_candles(state: str | None, is_drawn: bool) -> None:
    market = Market()
    await market.tell(market.record(0, "150"), market.record(120_000, "150", state=state))
    live = market.ticks.fold.live(SYMBOL)
    assert live is not None
    assert (live.time_s == (BEGIN_MS + 120_000) // 60_000 * 60) == is_drawn


async def test_a_confirmed_level_goes_on_as_its_newest_tick_and_its_candle_begins_there() -> None:
    market = Market()
    await market.tell(market.record(0, "150"))
    for at_ms, bid in ((100, "75"), (500, "80"), (900, "79")):
        await market.tell(market.record(at_ms, bid, bid))
        assert figures(market.last()) == (None, None, 150)
    await market.tell(market.record(1_100, "78", "78"))
    assert figures(market.last()) == (78, 79, 78)
    assert told_prices(market.kept.records()) == {150, 151, None, 78, 79}
    live = market.ticks.fold.live(SYMBOL)
    assert live is not None
    assert (live.observed.high, live.observed.low, live.observed.last) == (150, 78, 78)
    assert market.framer.suspended == {}


async def test_a_look_is_no_quote_and_makes_no_frame_of_its_own() -> None:
    market = Market()
    await market.tell(market.record(0, "150"))
    frames = len(market.kept.records())
    await market.tell(market.record(1, "149", "149", look=True))
    assert len(market.kept.records()) == frames
    await market.tell(market.record(2, "151"))
    newest = market.kept.frames()[-1]
    assert (newest.from_offset, newest.to_offset) == (1, 3)
    assert told_prices(market.kept.records()) == {150, 151, 152}


async def test_a_look_that_confirms_tells_the_newest_book_that_was_held_as_old_as_it_is() -> None:
    market = Market(FramerState(1, 0, 0, rules=3))
    await market.tell(market.record(0, "150"))
    await market.tell(market.record(100, "60", "60"))
    await market.tell(market.record(700, "61", "61"))
    await market.tell(market.record(1_200, "60.5", "60.5", look=True))
    assert figures(market.last()) == (61, 62, 61)
    frame = market.kept.frames()[-1]
    assert [(book.offset, book.age_ms) for book in frame.books] == [(3 - frame.from_offset, 500)]


async def test_the_exchange_s_own_prices_are_compared_and_not_those_with_the_house_s_spread() -> None:
    market = Market(catalogue=Catalogue([terms(SYMBOL, spread="0.4")]))
    await market.tell(market.record(0, None), market.record(1, "160"))
    assert figures(market.last()) == (128, Decimal("193.2"), 150)
    assert market.framer.suspended == {}


async def test_ticks_that_are_read_again_for_the_candles_pass_the_guard_too() -> None:
    market = Market(FramerState(1, 2, 2, rules=2))
    await market.tell(market.record(0, "150"), market.record(1, "15000", "15000"), market.record(2, "151"))
    live = market.ticks.fold.live(SYMBOL)
    assert live is not None
    assert live.observed.high == 150
    assert told_prices(market.kept.records()) == {151, 152}


async def test_the_first_tick_after_a_takeover_is_compared_with_what_was_stored() -> None:
    market = Market()
    market.ticks.guard.load(SYMBOL, Reference(Decimal(150)))
    await market.tell(market.record(0, "75", "75"))
    assert figures(market.last()) == (None, None, 150)


async def test_what_is_held_is_let_go_when_the_clock_jumps() -> None:
    market = Market()
    market.monotonic_s = 0.0
    await market.tell(market.record(0, "150"), market.record(1, "75"))
    assert market.framer.suspended
    market.now_ms -= 3_600_000
    await market.framer.beat()
    assert market.framer.suspended == {}


async def test_a_framer_without_the_ticks_has_no_suspended_markets() -> None:
    market = Market()
    await market.tell(market.record(0, "150"), market.record(1, "75"))
    market.framer.drop()
    assert market.framer.suspended == {}


async def test_a_suspension_and_its_end_are_said_once_each_and_a_flood_of_them_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    market = Market()
    await market.tell(market.record(0, "150"))
    for nth in range(50):
        await market.tell(market.record(10 + nth, "15000", "15000"), market.record(10 + nth, "150"))
    said = [record.getMessage() for record in caplog.records if "tick_guard" in record.name]
    assert said == [
        "SOL_USDC is suspended: bid 15000, ask 15001, last 15000 are a jump beyond its price band (last price before: "
        "150); nothing is filled or triggered in it until the market has confirmed them, or is back",
        "SOL_USDC is open again after 0 ms: prices are back; 1 tick was held and count as nothing",
    ]
    assert market.framer.suspensions.counts == {SYMBOL: 50}
    await market.tell(market.record(20_000, "15000", "15000"))
    assert "(49 more suspensions of it were only counted)" in caplog.records[-1].getMessage()
