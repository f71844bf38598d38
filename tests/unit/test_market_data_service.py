from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import pytest

from exness_streams.market_data.backpack import BookTicker, StreamMessage, Ticker
from exness_streams.market_data.feed import FeedCounters, FeedStatus, OnMessage, StatusChange, StatusObserver
from exness_streams.market_data.service import MarketDataService
from exness_streams.messages import MarketDataMessage

T0 = 1_790_134_357_267_074


class FakeFeed:
    """Says what a test tells it to say."""

    def __init__(self) -> None:
        self.counters = FeedCounters()
        self.status = FeedStatus.DISCONNECTED
        self.silent_symbols: frozenset[str] = frozenset()
        self.skew_ms = 0
        self.observers: list[StatusObserver] = []
        self.on_message: OnMessage | None = None

    def observe(self, observer: StatusObserver) -> None:
        self.observers.append(observer)

    async def run(self, on_message: OnMessage) -> None:
        self.on_message = on_message
        await asyncio.Event().wait()

    def say(self, *messages: StreamMessage) -> None:
        assert self.on_message is not None
        for message in messages:
            self.on_message(message)

    def become(self, status: FeedStatus) -> None:
        self.status = status
        for observer in self.observers:
            observer(StatusChange(status, "a test", 0))


class FakePublisher:
    """A log in memory."""

    def __init__(self) -> None:
        self.log: list[MarketDataMessage] = []
        self.failure: Exception | None = None

    def publish(self, message: MarketDataMessage) -> None:
        if self.failure is not None:
            raise self.failure
        self.log.append(message)

    async def last_sequences(self) -> Mapping[str, int]:
        return {message.symbol: message.sequence for message in self.log}


class Running:
    """A service in its task."""

    def __init__(self, feed: FakeFeed, publisher: FakePublisher) -> None:
        self.service = MarketDataService(feed, publisher)

    async def __aenter__(self) -> MarketDataService:
        self.task = asyncio.create_task(self.service.run())
        await asyncio.sleep(0)
        return self.service

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def ticker(last: str, after_us: int, symbol: str = "SOL_USDC") -> Ticker:
    return Ticker(symbol, Decimal(last), T0 + after_us, volume=Decimal(7))


def book(bid: str, ask: str, after_us: int, symbol: str = "SOL_USDC") -> BookTicker:
    return BookTicker(symbol, Decimal(bid), Decimal(ask), T0 + after_us, after_us)


def text(price: Decimal | None) -> str | None:
    return None if price is None else str(price)


async def test_updates_are_merged_and_published_in_order() -> None:
    feed, publisher = FakeFeed(), FakePublisher()
    async with Running(feed, publisher):
        feed.say(
            book("149", "151", 1),
            ticker("150", 2),
            ticker("65000", 3, "BTC_USDC"),
            book("148", "150", 4),
        )
    assert [(m.symbol, str(m.price), text(m.bid), text(m.ask), m.sequence - T0) for m in publisher.log] == [
        ("SOL_USDC", "150", "149", "151", 2),
        ("BTC_USDC", "65000", None, None, 3),
        ("SOL_USDC", "150", "148", "150", 4),
    ]


async def test_a_lost_connection_makes_old_prices_unknown_but_a_stale_one_does_not() -> None:
    feed, publisher = FakeFeed(), FakePublisher()
    async with Running(feed, publisher):
        feed.say(ticker("150", 1), book("149", "151", 2))
        feed.become(FeedStatus.STALE)
        feed.say(ticker("150", 3))
        feed.become(FeedStatus.DISCONNECTED)
        feed.say(book("99", "101", 4), ticker("100", 5))
        feed.become(FeedStatus.DISCONNECTED)
        feed.say(ticker("100", 6))
    assert [(str(m.price), text(m.bid)) for m in publisher.log] == [
        ("150", None),
        ("150", "149"),
        ("150", "149"),
        ("100", "99"),
        ("100", None),
    ]


async def test_a_successor_goes_on_above_what_was_published() -> None:
    publisher = FakePublisher()
    for _ in range(2):
        feed = FakeFeed()
        async with Running(feed, publisher):
            feed.say(ticker("150", 1), book("149", "151", 2))
    assert [m.sequence - T0 for m in publisher.log] == [1, 2, 3, 4]
    # What the first one knew of the book is nothing to the second.
    assert [text(m.bid) for m in publisher.log] == [None, "149", None, "149"]


async def test_the_same_service_may_run_again() -> None:
    feed, publisher = FakeFeed(), FakePublisher()
    running = Running(feed, publisher)
    for _ in range(2):
        async with running:
            feed.say(ticker("150", 1), ticker("150", 1))
    assert [m.sequence - T0 for m in publisher.log] == [1, 2]
    metrics = running.service.metrics()
    assert metrics.published == {"SOL_USDC": 2}
    assert metrics.ignored == {"late": 2}


async def test_a_publisher_that_fails_ends_the_service() -> None:
    class Failing(FakeFeed):
        async def run(self, on_message: OnMessage) -> None:
            on_message(ticker("150", 1))
            raise AssertionError("the failure was swallowed")

    publisher = FakePublisher()
    publisher.failure = BufferError("the log is full")
    with pytest.raises(BufferError, match="the log is full"):
        await MarketDataService(Failing(), publisher).run()


async def test_metrics() -> None:
    feed, publisher = FakeFeed(), FakePublisher()
    async with Running(feed, publisher) as service:
        assert service.metrics().last_tick_ms is None
        assert service.metrics().reconnects == 0
        feed.counters.connections = 3
        feed.counters.failed_attempts = 5
        feed.counters.ignored["bad_price"] = 2
        feed.counters.errors["4006"] = 1
        feed.silent_symbols = frozenset({"OLD_USDC", "GONE_USDC"})
        feed.skew_ms = 40
        feed.become(FeedStatus.CONNECTED)
        feed.say(ticker("150", 0), book("149", "151", 1_000), book("149", "151", 1_000))
        metrics = service.metrics()
    assert metrics.status == "connected"
    assert metrics.published == {"SOL_USDC": 2}
    assert metrics.last_tick_ms == (T0 + 1_000) // 1000
    assert (metrics.reconnects, metrics.failed_attempts, metrics.skew_ms) == (2, 5, 40)
    assert metrics.ignored == {"bad_price": 2, "late": 1}
    assert metrics.errors == {"4006": 1}
    assert metrics.silent_symbols == ["GONE_USDC", "OLD_USDC"]
