"""Bursts of frames, conflated at the socket: nothing that a trigger could meet is lost, and the end is the same.

The reference parses and merges every frame as it comes. Hostile frames are mixed in: late and repeated ones, times of
the future, crossed and empty books, numbers of other forms, garbage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.market_data.backpack import BookTicker, Ignored, Ticker, parse
from exness_streams.market_data.conflation import Burst
from exness_streams.market_data.quotes import QuoteMerger
from exness_streams.messages import MarketDataMessage

NOW_US = 1_790_134_357_000_000
SYMBOLS = ("SOL_USDC", "BTC_USDC")
Update = tuple[Decimal, Decimal | None, Decimal | None]

prices = st.integers(90, 110)
ways = st.sampled_from(
    ["usual"] * 6 + ["late", "same time", "repeated", "ahead", "number", "text", "fault", "one side"]
)
frames = st.one_of(
    st.tuples(st.just("book"), st.sampled_from(SYMBOLS), prices, st.integers(0, 3), ways),
    st.tuples(st.just("ticker"), st.sampled_from(SYMBOLS), prices, st.just(0), ways),
    st.tuples(st.just("garbage"), st.just(""), st.just(0), st.just(0), st.just("")),
)
bursts = st.lists(st.lists(frames, max_size=30), min_size=1, max_size=4)


class Exchange:
    """Writes frames, each a microsecond later than the one before unless it is told otherwise."""

    def __init__(self) -> None:
        self.now_us = NOW_US
        self._us, self._update_id = NOW_US - 1_000_000, 1
        self._sent: dict[str, bytes] = {}

    def frame(self, kind: str, symbol: str, price: int, spread: int, way: str) -> bytes:
        if kind == "garbage":
            return b'{"data":{"e":"weather"},"stream":"weather.SOL_USDC"}'
        stream = f"{'bookTicker' if kind == 'book' else kind}.{symbol}"
        if way == "repeated" and stream in self._sent:
            return self._sent[stream]
        self._us += 0 if way == "same time" else 1
        self._update_id += 1
        event_us = {"late": self._us - 3, "ahead": self.now_us + 10_000_000}.get(way, self._us)
        data: dict[str, Any] = {"E": event_us, "T": event_us, "s": symbol}
        if kind == "ticker":
            del data["T"]
            data["c"] = None if way == "fault" else str(price)
        else:
            data |= {"a": str(price + spread), "b": str(price), "u": self._update_id}
        if way == "fault" and kind == "book":
            data["b"] = ("0", str(price + spread + 1))[price % 2]
        if way == "one side" and kind == "book":
            data["ab"[price % 2]] = None
        if way == "number":
            data |= {name: int(data[name]) for name in "abc" if data.get(name) is not None}
        if way == "text":
            data |= {name: str(data[name]) for name in "ETu" if name in data}
        sent = self._sent[stream] = json.dumps({"data": data, "stream": stream}).encode()
        return sent


def merged(merger: QuoteMerger, said: object) -> Iterator[MarketDataMessage]:
    """As the feed and the service do it."""
    message = said.book if isinstance(said, Ignored) else said
    if isinstance(message, BookTicker | Ticker):
        update = merger.merge(message)
        if update is not None:
            yield update


def staircases(updates: list[MarketDataMessage], symbol: str) -> list[list[Decimal]]:
    """The successive new lows and highs of price, bid and ask of a burst."""
    found: list[list[Decimal]] = []
    for field in ("price", "bid", "ask"):
        lows: list[Decimal] = []
        highs: list[Decimal] = []
        for update in updates:
            price = getattr(update, field)
            if update.symbol != symbol or price is None:
                continue
            if not lows or price < lows[-1]:
                lows.append(price)
            if not highs or price > highs[-1]:
                highs.append(price)
        found += [lows, highs]
    return found


@given(bursts)
def test_no_extreme_is_lost_and_the_end_of_each_burst_is_the_same(told: list[list[Any]]) -> None:
    exchange = Exchange()
    burst = Burst(SYMBOLS, lambda: exchange.now_us)
    naive, fast = QuoteMerger(clock_us=lambda: exchange.now_us), QuoteMerger(clock_us=lambda: exchange.now_us)
    ends: dict[str, list[Update | None]] = {symbol: [None, None] for symbol in SYMBOLS}
    for frames_of_burst in told:
        every: list[MarketDataMessage] = []
        for one in frames_of_burst:
            frame = exchange.frame(*one)
            burst.add(frame)
            every += merged(naive, parse(frame))
        kept = [
            update
            for entry in burst.take()
            for update in merged(fast, parse(entry) if isinstance(entry, bytes | str) else entry)
        ]
        assert len(kept) <= len(every)
        for symbol in SYMBOLS:
            assert staircases(kept, symbol) == staircases(every, symbol)
            for side, updates in enumerate((every, kept)):
                for update in updates:
                    if update.symbol == symbol:
                        ends[symbol][side] = (update.price, update.bid, update.ask)
            assert ends[symbol][0] == ends[symbol][1]


@given(st.lists(st.tuples(prices, st.integers(0, 3)), min_size=1, max_size=200))
def test_of_a_plain_walk_only_extremes_and_the_last_are_kept(walk: list[tuple[int, int]]) -> None:
    exchange = Exchange()
    burst = Burst(SYMBOLS, lambda: exchange.now_us)
    for price, spread in walk:
        burst.add(exchange.frame("book", "SOL_USDC", price, spread, "usual"))
    kept = burst.take()
    # Each of 21 bids and of 24 asks can be a new low or a new high once.
    assert len(kept) <= 1 + 2 * (21 + 24)
    assert burst.conflated == len(walk) - len(kept)
    assert burst.take() == []


@given(st.lists(frames, max_size=60))
def test_what_is_not_conflated_comes_in_the_order_of_arrival(told: list[Any]) -> None:
    exchange = Exchange()
    burst = Burst(SYMBOLS, lambda: exchange.now_us)
    sent = [exchange.frame(*one) for one in told]
    for frame in sent:
        burst.add(frame)
    said = iter([parse(frame) for frame in sent])
    for entry in burst.take():
        one = parse(entry) if isinstance(entry, bytes | str) else entry
        assert one in said, "in another order, or never sent"


def test_streams_that_nobody_wants_and_errors_are_handed_on_untouched() -> None:
    burst = Burst(("SOL_USDC",), lambda: NOW_US)
    frames = [
        b'{"data":{"E":1790134357087727,"c":"1","s":"ETH_USDC"},"stream":"ticker.ETH_USDC"}',
        b'{"id":null,"error":{"code":4006,"message":"Invalid stream"}}',
        b'{"data":{"E":1790134357087727,"c":"1","s":"BTC_USDC"},"stream":"ticker.SOL_USDC"}',
    ]
    for frame in frames * 2:
        burst.add(frame)
    assert [parse(entry) if isinstance(entry, bytes | str) else entry for entry in burst.take()] == [
        parse(frame) for frame in frames * 2
    ]


def test_books_that_can_not_be_used_are_told_once_in_a_row() -> None:
    exchange = Exchange()
    burst = Burst(SYMBOLS, lambda: exchange.now_us)
    for _ in range(50):
        burst.add(exchange.frame("book", "SOL_USDC", 101, 1, "fault"))
    # The first of a stream is kept in any case: nobody knows what was before it.
    assert len(burst.take()) == 2
    assert burst.conflated == 48


def test_a_mark_that_a_clock_ahead_let_in_holds_nothing_up_once_the_clock_is_right() -> None:
    exchange = Exchange()
    clock = [exchange.now_us + 3_600_000_000]
    burst = Burst(SYMBOLS, lambda: clock[0])
    burst.add(exchange.frame("book", "SOL_USDC", 100, 1, "ahead"))  # 10 s on, which to that clock is long ago
    burst.add(exchange.frame("book", "SOL_USDC", 90, 1, "usual"))
    clock[0] = exchange.now_us
    for price in (80, 100, 85, 86):
        burst.add(exchange.frame("book", "SOL_USDC", price, 1, "usual"))
    read = [parse(entry) for entry in burst.take() if isinstance(entry, bytes | str)]
    bids = [int(book.bid) for book in read if isinstance(book, BookTicker) and book.bid]
    assert set(bids) >= {80, 100, 86}
    assert burst.late <= 1
