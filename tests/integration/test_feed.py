"""The feed against a fake exchange with a fake clock, then against the simulator over a real socket."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus, InvalidURI
from websockets.http11 import Response

from exness_streams.market_data.backpack import BookTicker, StreamMessage, Ticker
from exness_streams.market_data.connecting import connect_websocket
from exness_streams.market_data.feed import (
    BackpackFeed,
    FeedSettings,
    FeedStatus,
    StatusChange,
)
from exness_streams.market_data.service import MarketDataService
from exness_streams.messages import MarketDataMessage
from exness_streams.simulator.faults import GARBAGE
from exness_streams.simulator.server import BackpackSimulator

T0 = 1_790_134_357_267_074
SYMBOLS = ("SOL_USDC", "BTC_USDC")
SUBSCRIBE = (
    '{"method":"SUBSCRIBE","params":["ticker.SOL_USDC","bookTicker.SOL_USDC","ticker.BTC_USDC","bookTicker.BTC_USDC"]}'
)
LOST = ConnectionClosedError(None, None)


class FakeClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.offset_us = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic_s(self) -> float:
        return self.now_s

    def epoch_us(self) -> int:
        return T0 + int(self.now_s * 1e6) + self.offset_us

    async def sleep(self, seconds: float) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now_s + seconds, self._count, waker))
        await waker

    async def advance(self, seconds: float) -> None:
        """Lets `seconds` pass, and everything happen that is due in them, in its order."""
        until_s = self.now_s + seconds
        await settled()
        while self._sleepers and self._sleepers[0][0] <= until_s:
            self.now_s, _, waker = heapq.heappop(self._sleepers)
            if not waker.done():
                waker.set_result(None)
            await settled()
        self.now_s = until_s
        await settled()


async def settled() -> None:
    """Every task has done what it can do without the clock."""
    for _ in range(50):
        await asyncio.sleep(0)


class FakeConnection:
    """What the exchange sent and was sent on one connection."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = False
        self._inbox: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()

    async def send(self, message: str) -> None:
        self.sent.append(message)

    async def recv(self, decode: object = None) -> str | bytes:
        frame = await self._inbox.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def close(self) -> None:
        self.closed = True

    def says(self, *frames: str | bytes | Exception) -> None:
        for frame in frames:
            self._inbox.put_nowait(frame)


class FakeExchange:
    """Accepts connections, or refuses them with `refusal`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.refusal: Exception | None = None
        self.hangs = False
        self.attempts_s: list[float] = []
        self.connections: list[FakeConnection] = []

    async def connect(self, url: str) -> FakeConnection:
        self.attempts_s.append(self.clock.now_s)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        self.connections.append(FakeConnection())
        return self.connections[-1]

    @property
    def line(self) -> FakeConnection:
        """The newest connection."""
        return self.connections[-1]

    def ticker(self, symbol: str = "SOL_USDC", last: str = "150") -> str:
        data = {"E": self.clock.epoch_us(), "c": last, "e": "ticker", "s": symbol, "v": "7"}
        return msgspec.json.encode({"data": data, "stream": f"ticker.{symbol}"}).decode()

    def book(self, symbol: str = "SOL_USDC") -> str:
        data = {"T": self.clock.epoch_us(), "a": "151", "b": "149", "e": "bookTicker", "s": symbol}
        return msgspec.json.encode({"data": data, "stream": f"bookTicker.{symbol}"}).decode()


class Bench:
    """A feed that runs between a fake exchange and a test."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.exchange = FakeExchange(self.clock)
        self.feed = BackpackFeed(
            "ws://exchange.test",
            SYMBOLS,
            settings=FeedSettings(**settings),
            clock=self.clock,
            rng=random.Random(1),
            connect=self.exchange.connect,
        )
        self.messages: list[StreamMessage] = []
        self.changes: list[StatusChange] = []
        self.feed.observe(self.changes.append)
        self.task: asyncio.Task[None] | None = None

    @property
    def statuses(self) -> list[str]:
        return [change.status.value for change in self.changes]

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Bench]:
    bench = Bench(**settings)
    bench.task = asyncio.create_task(bench.feed.run(bench.messages.append))
    await settled()
    yield bench
    await bench.stop()


async def flowing(bench: Bench, seconds: int, *symbols: str) -> None:
    """`seconds` pass, with a ticker of each symbol in every one of them."""
    for _ in range(seconds):
        bench.exchange.line.says(*(bench.exchange.ticker(symbol) for symbol in symbols or SYMBOLS))
        await bench.clock.advance(1)


async def test_it_subscribes_to_everything_and_hands_on_in_the_order_of_arrival() -> None:
    async with running() as bench:
        exchange = bench.exchange
        assert exchange.line.sent == [SUBSCRIBE]
        exchange.line.says(exchange.book(), exchange.ticker().encode(), exchange.ticker("BTC_USDC"))
        await settled()
        assert [(type(m), m.symbol) for m in bench.messages] == [
            (BookTicker, "SOL_USDC"),
            (Ticker, "SOL_USDC"),
            (Ticker, "BTC_USDC"),
        ]
        assert bench.feed.counters.messages == 3


async def test_it_is_connected_when_data_flows_not_when_the_socket_is_open() -> None:
    async with running() as bench:
        assert bench.statuses == ["connecting"]
        bench.exchange.line.says('{"id":null,"error":{"code":4006,"message":"Invalid stream"}}', "garbage")
        await settled()
        assert bench.statuses == ["connecting"]
        bench.exchange.line.says(bench.exchange.ticker())
        await settled()
        assert bench.statuses == ["connecting", "connected"]
        assert bench.feed.status is FeedStatus.CONNECTED


async def test_a_lost_connection_is_retried_at_once_and_everything_is_subscribed_again() -> None:
    async with running() as bench:
        await flowing(bench, 1)
        bench.exchange.line.says(LOST)
        await bench.clock.advance(0)
        assert len(bench.exchange.attempts_s) == 2
        assert bench.exchange.connections[0].closed
        assert bench.exchange.line.sent == [SUBSCRIBE]
        assert bench.feed.status is FeedStatus.DISCONNECTED
        await flowing(bench, 1)
        assert bench.statuses == ["connecting", "connected", "disconnected", "connected"]
        assert bench.feed.counters.connections == 2


async def test_retries_slow_down_to_half_a_minute() -> None:
    async with running() as bench:
        await flowing(bench, 6)
        bench.exchange.refusal = OSError("no route")
        lost_s = bench.clock.now_s
        bench.exchange.line.says(LOST)
        await bench.clock.advance(300)
        attempts = [attempt_s - lost_s for attempt_s in bench.exchange.attempts_s[1:]]
        delays = [after - before for before, after in zip([0.0, *attempts], attempts, strict=False)]
        assert delays[0] == 0
        assert delays[1] == pytest.approx(0.5)
        assert 0.5 <= delays[2] <= 1
        assert 1 <= delays[3] <= 2
        assert all(15 <= delay <= 30 for delay in delays[8:])
        assert bench.feed.counters.failed_attempts == len(attempts)


@pytest.mark.parametrize(("header", "waited_s"), [("90", 90.0), ("1000000", 600.0), ("0", 0.5), ("soon", 0.5)])
async def test_an_exchange_that_says_when_to_come_back_is_not_asked_before(header: str, waited_s: float) -> None:
    async with running() as bench:
        await flowing(bench, 6)
        bench.exchange.refusal = InvalidStatus(Response(429, "Too Many Requests", Headers({"Retry-After": header})))
        bench.exchange.line.says(LOST)
        await bench.clock.advance(waited_s + 0.001)
        first_s, second_s, third_s = bench.exchange.attempts_s[:3]
        assert second_s - first_s < waited_s + 6, "the first retry comes at once, as ever"
        assert third_s - second_s == pytest.approx(waited_s)
        # A loss of another kind waits for no leave.
        bench.exchange.refusal = None
        await bench.clock.advance(max(waited_s, 1.0))
        bench.exchange.line.says(bench.exchange.ticker())
        await bench.clock.advance(0)
        assert bench.feed.status is FeedStatus.CONNECTED


async def test_an_exchange_out_of_reach_is_said_once_and_its_return_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "exness_streams.market_data")
    bench = Bench()
    bench.exchange.refusal = OSError("no route")
    bench.task = asyncio.create_task(bench.feed.run(bench.messages.append))
    await bench.clock.advance(600)
    assert len(bench.exchange.attempts_s) > 20
    bench.exchange.refusal = None
    await bench.clock.advance(30)
    await flowing(bench, 1)
    assert bench.statuses == ["connecting", "disconnected", "connected"]
    assert "OSError: no route" in bench.changes[1].reason
    assert len(caplog.messages) == 3
    await bench.stop()


async def test_only_data_that_has_flowed_makes_the_next_retry_immediate() -> None:
    async with running(retry_reset_after_ms=5_000) as bench:

        async def delay_after_a_loss() -> float:
            attempts, lost_s = bench.exchange.attempts_s, bench.clock.now_s
            before = len(attempts)
            bench.exchange.line.says(LOST)
            while len(attempts) == before:
                await bench.clock.advance(0.1)
            return attempts[before] - lost_s

        await flowing(bench, 1)
        assert await delay_after_a_loss() == 0
        # An exchange that accepts and closes, with a frame or without one, is not asked at full speed.
        assert await delay_after_a_loss() == pytest.approx(0.5)
        await flowing(bench, 1)
        assert await delay_after_a_loss() >= 0.5
        await flowing(bench, 7)
        assert await delay_after_a_loss() == 0


async def test_silence_is_stale_then_given_up_then_retried() -> None:
    async with running() as bench:
        await flowing(bench, 2)
        await bench.clock.advance(3.5)
        assert bench.statuses == ["connecting", "connected"]
        await bench.clock.advance(1)
        assert bench.statuses[-1] == "stale"
        await bench.clock.advance(9)
        assert len(bench.exchange.connections) == 1
        await bench.clock.advance(1)
        assert bench.exchange.connections[0].closed
        assert len(bench.exchange.connections) == 2
        await flowing(bench, 1)
        assert bench.statuses == ["connecting", "connected", "stale", "disconnected", "connected"]


async def test_a_stale_feed_recovers_on_the_same_connection() -> None:
    async with running() as bench:
        await flowing(bench, 1)
        await bench.clock.advance(8)
        await flowing(bench, 1)
        assert bench.statuses == ["connecting", "connected", "stale", "connected"]
        assert len(bench.exchange.connections) == 1


async def test_what_is_not_data_does_not_keep_a_feed_alive() -> None:
    async with running() as bench:
        await flowing(bench, 1)
        for _ in range(6):
            bench.exchange.line.says(
                "garbage", bench.exchange.ticker(last="NaN"), bench.exchange.ticker("X_USDC"), '{"id":1}'
            )
            await bench.clock.advance(1)
        assert bench.feed.status is FeedStatus.STALE
        assert bench.feed.counters.ignored == {
            "bad_json": 6,
            "bad_price": 6,
            "unwanted": 6,
            "unknown_form": 6,
        }


async def test_a_book_that_cannot_be_used_is_handed_on_without_sides_and_keeps_no_feed_alive() -> None:
    async with running() as bench:
        await flowing(bench, 1)
        at_us = bench.clock.epoch_us()
        book = {"T": at_us, "a": "149", "b": "151", "e": "bookTicker", "s": "SOL_USDC"}
        for symbol in ("SOL_USDC", "X_USDC"):
            data = {**book, "s": symbol}
            bench.exchange.line.says(msgspec.json.encode({"data": data, "stream": f"bookTicker.{symbol}"}))
        await bench.clock.advance(6)
        assert bench.messages[-1] == BookTicker("SOL_USDC", None, None, at_us)
        assert bench.feed.counters.ignored == {"crossed_book": 2}
        assert bench.feed.status is FeedStatus.STALE


async def test_an_exchange_that_accepts_and_stays_silent_is_said_once() -> None:
    async with running() as bench:
        await bench.clock.advance(600)
        assert len(bench.exchange.connections) > 5
        assert bench.statuses == ["connecting", "stale", "disconnected"]


async def test_a_symbol_without_a_first_ticker_is_an_alarm_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        for _ in range(12):
            bench.exchange.line.says(bench.exchange.book("BTC_USDC"))  # a book alone gives no price
            await flowing(bench, 1, "SOL_USDC")
        assert bench.feed.silent_symbols == {"BTC_USDC"}
        bench.exchange.line.says(LOST)
        await bench.clock.advance(0)
        await flowing(bench, 12, "SOL_USDC")
        assert bench.feed.silent_symbols == {"BTC_USDC"}
        assert [m for m in caplog.messages if "no ticker" in m] == [
            "no ticker of BTC_USDC for 10 s: unknown to the exchange, or closed?"
        ]
        await flowing(bench, 1, *SYMBOLS)
        assert bench.feed.silent_symbols == frozenset()


async def test_a_feed_that_was_stale_raises_no_alarm_for_each_symbol() -> None:
    async with running() as bench:
        await flowing(bench, 1)
        await bench.clock.advance(12)
        await flowing(bench, 1, "SOL_USDC")
        await flowing(bench, 1)
        assert bench.feed.silent_symbols == frozenset()


async def test_error_frames_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        for code, message in [(4006, "Invalid stream"), (4002, "Parse error"), (4006, "Invalid stream")]:
            bench.exchange.line.says(f'{{"id":null,"error":{{"code":{code},"message":"{message}"}}}}')
        await settled()
        assert bench.feed.counters.errors == {"4006": 2, "4002": 1}
        errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
        assert errors == [
            "the exchange answered with error 4006: Invalid stream",
            "the exchange answered with error 4002: Parse error",
        ]


async def test_a_lasting_skew_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exness_streams.market_data")

    async def flow_with_skew(seconds: int, skew_us: int) -> None:
        for _ in range(seconds):
            bench.clock.offset_us = 0
            frame = bench.exchange.ticker()
            bench.clock.offset_us = skew_us
            bench.exchange.line.says(frame)
            await bench.clock.advance(1)

    async with running() as bench:
        await flow_with_skew(5, 3_000_000)
        assert bench.feed.skew_ms == 3_000
        await flow_with_skew(5, 1_000_000)
        assert not [m for m in caplog.messages if "event times" in m]
        await flow_with_skew(30, -3_000_000)
        await flow_with_skew(30, 0)
        assert [m for m in caplog.messages if "event times" in m] == [
            "event times differ from the local clock by -3000 ms: wrong clock or late feed",
            "event times agree with the local clock again (0 ms)",
        ]


async def test_it_stops_at_once_wherever_it_is() -> None:
    for situation in ("reading", "waiting to retry", "connecting"):
        bench = Bench()
        bench.exchange.hangs = situation == "connecting"
        if situation == "waiting to retry":
            bench.exchange.refusal = OSError("no route")
        bench.task = asyncio.create_task(bench.feed.run(bench.messages.append))
        await bench.clock.advance(2)
        bench.task.cancel()
        await settled()
        assert bench.task.cancelled(), situation
        assert bench.feed.status is FeedStatus.DISCONNECTED
        assert all(connection.closed for connection in bench.exchange.connections)
    assert bench.changes[-1].reason == "stopped"


async def test_it_may_run_again_but_not_twice_at_a_time() -> None:
    async with running() as bench:
        with pytest.raises(RuntimeError, match="running already"):
            await bench.feed.run(bench.messages.append)
        await bench.stop()
        bench.task = asyncio.create_task(bench.feed.run(bench.messages.append))
        await settled()
        await flowing(bench, 1)
        assert bench.feed.status is FeedStatus.CONNECTED


async def test_a_receiver_that_fails_ends_the_feed() -> None:
    bench = Bench()

    def fail(message: StreamMessage) -> None:
        raise OSError("the log is gone")  # not to be taken for a lost connection

    task = asyncio.create_task(bench.feed.run(fail))
    await settled()
    bench.exchange.line.says(bench.exchange.ticker())
    await settled()
    with pytest.raises(OSError, match="the log is gone"):
        await task
    assert bench.exchange.line.closed


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense", ""])
def test_a_wrong_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidURI):
        BackpackFeed(url, SYMBOLS)


# Over a real socket, against the simulator.


class Log:
    """A publisher in memory."""

    def __init__(self) -> None:
        self.updates: list[MarketDataMessage] = []

    def publish(self, message: MarketDataMessage) -> None:
        self.updates.append(message)

    async def last_sequences(self) -> dict[str, int]:
        return {update.symbol: update.sequence for update in self.updates}

    def last(self, symbol: str = "SOL_USDC") -> MarketDataMessage | None:
        return next((update for update in reversed(self.updates) if update.symbol == symbol), None)

    def shows(self, price: str, bid: str) -> bool:
        """Whether SOL's newest update has this price and this bid."""
        update = self.last()
        return update is not None and (update.price, update.bid) == (Decimal(price), Decimal(bid))


async def until(condition: Callable[[], bool], seconds_max: float = 20.0) -> None:
    deadline_s = asyncio.get_running_loop().time() + seconds_max
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, "it did not happen in time"
        await asyncio.sleep(0.005)


class Served:
    """A simulator, a feed and a service, joined by a socket."""

    def __init__(self, simulator: BackpackSimulator, **settings: Any) -> None:
        self.simulator = simulator
        self.feed = BackpackFeed(simulator.url, simulator.symbols, settings=FeedSettings(**settings))
        self.log = Log()
        self.statuses: list[str] = []
        self.feed.observe(lambda change: self.statuses.append(change.status.value))
        self.service = MarketDataService(self.feed, self.log)

    def has_quotes(self) -> bool:
        """Every symbol has a full quote now."""
        quotes = [self.log.last(symbol) for symbol in self.simulator.symbols]
        return all(quote is not None and quote.bid is not None and quote.ask is not None for quote in quotes)


@asynccontextmanager
async def served(*, rate: float = 200, **settings: Any) -> AsyncIterator[Served]:
    async with BackpackSimulator(rate=rate, ticker_interval_s=0.05, close_grace_s=2) as simulator:
        joined = Served(simulator, **settings)
        task = asyncio.create_task(joined.service.run())
        try:
            await until(joined.has_quotes)
            yield joined
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(outcome, asyncio.CancelledError), outcome


def assert_sequences_rise(log: Log) -> None:
    newest: dict[str, int] = {}
    for update in log.updates:
        assert update.sequence > newest.get(update.symbol, 0)
        newest[update.symbol] = update.sequence


async def test_quotes_of_the_simulator_arrive() -> None:
    async with served() as joined:
        joined.simulator.set_price("SOL_USDC", Decimal("149.90"), Decimal("150.10"))
        await until(lambda: joined.log.shows("150.00", "149.90"))
        update = joined.log.last()
        assert update is not None
        assert update.ask == Decimal("150.10")
        assert update.volume is not None
        assert abs(joined.feed.skew_ms) < 60_000
        assert_sequences_rise(joined.log)


async def test_after_a_drop_everything_is_subscribed_again_and_no_old_quote_returns() -> None:
    async with served(retry_first_ms=10, retry_max_ms=20) as joined:
        simulator, log = joined.simulator, joined.log
        simulator.set_price("SOL_USDC", Decimal("149"), Decimal("151"))
        await until(lambda: log.shows("150", "149"))
        simulator.faults.refuse = True
        simulator.drop_connections()
        await until(lambda: joined.statuses[-1] == "disconnected")
        published = len(log.updates)
        simulator.set_price("SOL_USDC", Decimal("99"), Decimal("101"))
        simulator.faults.refuse = False
        await until(lambda: log.shows("100", "99"))
        await until(lambda: len(simulator.subscriptions) == 6)
        after = [update for update in log.updates[published:] if update.symbol == "SOL_USDC"]
        assert {update.price for update in after} == {100}
        assert {update.bid for update in after} <= {None, Decimal("99")}
        assert joined.statuses == ["connecting", "connected", "disconnected", "connected"]
        assert joined.service.metrics().reconnects == 1
        assert_sequences_rise(log)


async def test_a_silent_exchange_is_stale_then_dropped_and_comes_back() -> None:
    async with served(stale_after_ms=300, drop_after_ms=3_000, check_interval_ms=20) as joined:
        joined.simulator.faults.silent = True
        await until(lambda: joined.statuses[-2:] == ["stale", "disconnected"])
        joined.simulator.faults.silent = False
        await until(lambda: joined.statuses[-1] == "connected")
        assert joined.simulator.connections_accepted >= 2


async def test_a_refusing_exchange_is_retried_until_it_accepts() -> None:
    async with served(retry_first_ms=10, retry_max_ms=20) as joined:
        joined.simulator.faults.refuse = True
        joined.simulator.drop_connections()
        await until(lambda: joined.feed.counters.failed_attempts >= 3)
        assert joined.statuses[-1] == "disconnected"
        joined.simulator.faults.refuse = False
        await until(lambda: joined.statuses[-1] == "connected")
        assert joined.statuses.count("disconnected") == 1


async def test_garbage_changes_no_price_and_ends_nothing() -> None:
    async with served() as joined:
        simulator, log = joined.simulator, joined.log
        for symbol in simulator.symbols:
            quote = simulator.quote(symbol)
            simulator.set_price(symbol, quote.bid, quote.ask, quote.last)
        pinned = {symbol: simulator.quote(symbol) for symbol in simulator.symbols}

        def shows_what_is_pinned(update: MarketDataMessage) -> bool:
            quote = pinned[update.symbol]
            return (update.price, update.bid, update.ask) == (quote.last, quote.bid, quote.ask)

        await until(lambda: all(shows_what_is_pinned(u) for s in pinned if (u := log.last(s)) is not None))
        published = len(log.updates)
        simulator.send_garbage()
        await until(lambda: sum(joined.feed.counters.ignored.values()) >= len(GARBAGE))
        await until(lambda: len(log.updates) > published + 10)
        assert all(shows_what_is_pinned(update) for update in log.updates[published:])
        assert joined.statuses == ["connecting", "connected"]


async def test_duplicated_swapped_and_delayed_frames_are_put_aside() -> None:
    async with served() as joined:
        faults = joined.simulator.faults
        faults.duplicate = faults.reorder = True
        faults.delay_s = 0.02
        # Of each swapped and doubled pair one frame is news.
        await until(lambda: joined.service.metrics().ignored.get("late", 0) > 100)
        faults.duplicate = faults.reorder = False
        faults.delay_s = 0.0
        joined.simulator.set_price("SOL_USDC", Decimal("99"), Decimal("101"))
        await until(lambda: joined.log.shows("100", "99"))
        assert_sequences_rise(joined.log)
        assert joined.statuses == ["connecting", "connected"]


async def test_an_empty_side_is_absent_until_it_returns() -> None:
    async with served() as joined:
        joined.simulator.faults.hidden_sides["SOL_USDC"] = "ask"
        await until(lambda: (u := joined.log.last()) is not None and u.ask is None and u.bid is not None)
        joined.simulator.faults.hidden_sides.clear()
        await until(lambda: (u := joined.log.last()) is not None and u.ask is not None)


async def test_an_unknown_symbol_is_silent_and_the_others_are_not() -> None:
    async with BackpackSimulator(rate=50, ticker_interval_s=0.05) as simulator:
        settings = FeedSettings(silent_after_ms=200, check_interval_ms=20)
        feed = BackpackFeed(simulator.url, ("SOL_USDC", "GONE_USDC"), settings=settings)
        messages: list[StreamMessage] = []
        task = asyncio.create_task(feed.run(messages.append))
        await until(lambda: feed.silent_symbols == {"GONE_USDC"})
        assert {message.symbol for message in messages} == {"SOL_USDC"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def flood(bench: Bench, count: int) -> list[str]:
    """Books of one symbol that walk up and down, a microsecond apart."""
    rng, bid, frames = random.Random(1), 10_000, []
    for nth in range(count):
        bid += rng.randint(-3, 3)
        data = {"T": bench.clock.epoch_us() - count + nth, "a": f"{bid + 1}", "b": f"{bid}", "u": nth + 1}
        frames.append(msgspec.json.encode({"data": data, "stream": "bookTicker.SOL_USDC"}).decode())
    return frames


async def settled_with(bench: Bench, count: int) -> None:
    while sum((len(bench.messages), bench.feed.counters.conflated)) < count:
        await bench.clock.advance(0.01)


async def test_of_a_flood_every_new_extreme_and_the_end_are_handed_on() -> None:
    async with running(updates_burst=10, updates_per_s=100) as bench:
        frames = flood(bench, 3_000)
        bench.exchange.line.says(*frames)
        await settled_with(bench, len(frames))
        bids = [int(msgspec.json.decode(frame)["data"]["b"]) for frame in frames]
        seen = [int(message.bid) for message in bench.messages if isinstance(message, BookTicker) and message.bid]
        assert bench.feed.counters.conflated > len(frames) / 2
        assert (min(seen), max(seen), seen[-1]) == (min(bids), max(bids), bids[-1])
        # Whatever the price: the first book below it, and the first above it, are those of the flood.
        for price in range(min(bids), max(bids) + 1):
            for crosses in (price.__ge__, price.__le__):
                assert next(filter(crosses, seen)) == next(filter(crosses, bids))
        assert bench.feed.counters.messages == len(bench.messages)


async def test_what_is_held_is_handed_on_when_it_is_due_and_when_the_connection_is_lost() -> None:
    async with running(updates_burst=10, updates_per_s=100, hold_ms_max=150) as bench:
        bench.exchange.line.says(*flood(bench, 30))
        await settled()
        handed_on = len(bench.messages)
        assert 10 <= handed_on < 30, "a burst goes at once"
        await bench.clock.advance(0.2)
        assert bench.messages[-1].event_us == bench.clock.epoch_us() - 200_000 - 1, "the end of it waits for no other"
        last = len(bench.messages)
        bench.exchange.line.says(*flood(bench, 300), LOST)
        for _ in range(20):
            await settled()
        assert bench.statuses[-1] == "disconnected"
        end = bench.messages[-1]
        assert isinstance(end, BookTicker)
        assert (len(bench.messages) > last, end.update_id) == (True, 300)


async def test_a_quiet_exchange_is_conflated_by_nobody() -> None:
    async with running() as bench:
        frames = flood(bench, 4_000)
        for first in range(0, 4_000, 40):
            bench.exchange.line.says(*frames[first : first + 40])
            await bench.clock.advance(0.02)
        assert len(bench.messages) == 4_000
        assert bench.feed.counters.conflated == 0


async def test_a_redirect_to_another_exchange_is_not_followed() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        location = f"Location: {simulator.url}".encode()
        writer.write(b"HTTP/1.1 302 Found\r\n" + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with BackpackSimulator(close_grace_s=1) as simulator:
        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        try:
            with pytest.raises(InvalidStatus, match="302"):
                await connect_websocket("ws://{}:{}".format(*server.sockets[0].getsockname()))
        finally:
            server.close()
            await server.wait_closed()
        assert simulator.connections_accepted == 0


async def test_nobody_listening_is_told_and_retried() -> None:
    async with BackpackSimulator() as simulator:
        url = simulator.url
    feed = BackpackFeed(url, SYMBOLS, settings=FeedSettings(retry_first_ms=10, retry_max_ms=20))
    changes: list[StatusChange] = []
    feed.observe(changes.append)
    task = asyncio.create_task(feed.run(lambda message: None))
    await until(lambda: feed.counters.failed_attempts >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [change.status.value for change in changes] == ["connecting", "disconnected"]
    assert f"{url} cannot be reached" in changes[1].reason


async def test_a_connection_is_compressed_when_the_exchange_offers_it() -> None:
    for offered in (True, False):
        async with BackpackSimulator(compression=offered) as simulator:
            connection: Any = await connect_websocket(simulator.url)
            assert ("Sec-WebSocket-Extensions" in connection.response.headers) is offered
            await connection.close()
