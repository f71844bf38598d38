"""What the exchange says of its markets' state: asked again and again, and told in the market updates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest

from exness_streams.market_data import exchange_states
from exness_streams.market_data import service as services
from exness_streams.market_data.backpack import BookTicker, Ticker
from exness_streams.market_data.exchange_states import ExchangeStates, state_of
from exness_streams.market_data.feed import FeedCounters, FeedStatus, OnMessage, StatusChange, StatusObserver
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.market_data.rest import BackpackRest, RestFault
from exness_streams.market_data.service import MarketDataService
from exness_streams.messages import MarketDataMessage

SOL, BTC = "SOL_USDC", "BTC_USDC"
WAIT_S = 20.0


def row(symbol: str, state: str | None) -> MarketInfo:
    return MarketInfo(symbol, "SOL", "USDC", "spot", is_open=state in (None, "Open"), state=state)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Open", None), (None, None), ("LimitOnly", "close_only"), ("PostOnly", "close_only"),
        ("CancelOnly", "halted"), ("Closed", "halted"), ("open", "halted"), ("Maintenance", "halted"), ("", "halted"),
    ],
)  # fmt: skip
def test_a_row_s_word_is_a_state_and_an_unknown_one_is_not_open(word: str | None, state: str | None) -> None:
    assert state_of(row(SOL, word)) == state


def test_a_market_that_is_not_listed_trades_nothing() -> None:
    assert state_of(None) == "halted"


class Exchange:
    """Answers one after the other; an exception is raised, None never comes; then it waits."""

    def __init__(self, *answers: Exception | list[MarketInfo] | None) -> None:
        self.answers = list(answers)
        self.all_asked = asyncio.Event()

    async def fetch_markets(self) -> list[MarketInfo]:
        if not self.answers:
            self.all_asked.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")
        return answer


async def test_it_asks_again_and_again_and_keeps_what_was_said_while_nobody_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    both = [row(SOL, "Open"), row(BTC, "Closed")]
    exchange = Exchange(both, RestFault("HTTP 503"), [], RestFault("HTTP 502"), both, [row(BTC, "PostOnly")])
    states = ExchangeStates(exchange.fetch_markets, [SOL, BTC], each_s=0)
    heard: list[tuple[list[str], Mapping[str, str]]] = []
    states.on_change = lambda changed: heard.append((changed, dict(states.states)))
    asking = asyncio.create_task(states.run())
    await asyncio.wait_for(exchange.all_asked.wait(), WAIT_S)
    asking.cancel()
    assert heard == [([BTC], {BTC: "halted"}), ([SOL, BTC], {SOL: "halted", BTC: "close_only"})]
    assert states.tried.is_set()
    assert [record.getMessage() for record in caplog.records] == [
        "BTC_USDC is Closed at the exchange: halted",
        "what the exchange says of its markets' state is not known: HTTP 503",
        "the exchange tells the state of its markets again",
        "SOL_USDC is not listed at the exchange: halted",
        "BTC_USDC is PostOnly at the exchange: close_only",
    ]


async def test_an_exchange_that_does_not_answer_or_wants_no_requests_is_left_alone() -> None:
    states = ExchangeStates(Exchange(None).fetch_markets, [SOL], each_s=30, answer_s=0.01)
    assert await states._ask() == 30
    states = ExchangeStates(Exchange(RestFault("HTTP 429", 45.0)).fetch_markets, [SOL], each_s=30)
    assert await states._ask() == 45
    states = ExchangeStates(Exchange(RestFault("HTTP 429", 1.0)).fetch_markets, [SOL], each_s=30)
    assert await states._ask() == 30


@pytest.mark.parametrize(
    ("feed", "rest", "is_asked"),
    [
        ("wss://ws.backpack.exchange", "https://api.backpack.exchange", True),
        ("ws://127.0.0.1:4100", "http://127.0.0.1:4100", True),
        ("ws://127.0.0.1:4100", "https://api.backpack.exchange", False),
        ("wss://ws.backpack.exchange", "http://127.0.0.1:4100", False),
        ("wss://ws.backpack.exchange", "", False),
    ],
)
def test_one_exchange_says_nothing_of_another_s_markets(feed: str, rest: str, is_asked: bool) -> None:
    states = ExchangeStates.of(feed, BackpackRest(rest) if rest else None, [SOL])
    assert (states is not None) == is_asked


async def test_what_is_followed_later_is_known_from_the_list_that_was_told() -> None:
    states = ExchangeStates(Exchange([row(SOL, "Open"), row(BTC, "Closed")]).fetch_markets, [SOL], clock_ms=lambda: 7)
    states.follow([])
    assert states.listed_ms is None
    await states._ask()
    assert (states.listed_ms, states.state(SOL), states.state(BTC), states.states) == (7, None, "halted", {})
    heard: list[list[str]] = []
    states.on_change = heard.append
    states.follow([BTC, "GONE_USDC"])
    assert states.states == {BTC: "halted", "GONE_USDC": "halted"}
    assert heard == [[BTC, "GONE_USDC"]]


async def test_whoever_does_not_want_to_know_asks_nothing_and_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_states, "IDLE_S", 0)
    exchange, is_wanted = Exchange([row(SOL, "Closed")]), False
    states = ExchangeStates(exchange.fetch_markets, [SOL], is_wanted=lambda: is_wanted, each_s=0)
    asking = asyncio.create_task(states.run())
    await asyncio.sleep(0.01)
    assert len(exchange.answers) == 1
    is_wanted = True
    await asyncio.wait_for(exchange.all_asked.wait(), WAIT_S)
    assert states.listed_ms is not None
    is_wanted = False
    assert states.listed_ms is None, "it is another's to say"
    asking.cancel()


# -- in the updates


class Feed:
    def __init__(self) -> None:
        self.counters, self.status = FeedCounters(), FeedStatus.CONNECTED
        self.silent_symbols: frozenset[str] = frozenset()
        self.skew_ms = 0
        self.observers: list[StatusObserver] = []
        self.begun = asyncio.Event()

    def observe(self, observer: StatusObserver) -> None:
        self.observers.append(observer)

    async def run(self, on_message: OnMessage) -> None:
        self.say = on_message
        self.begun.set()
        await asyncio.Event().wait()


class States:
    def __init__(self) -> None:
        self.tried = asyncio.Event()
        self.states: dict[str, str] = {}
        self.on_change: Callable[[list[str]], None] = lambda changed: None

    def become(self, **states: str) -> None:
        changed = [symbol for symbol in (SOL, BTC) if states.get(symbol) != self.states.get(symbol)]
        self.states = states
        self.on_change(changed)


class Log:
    def __init__(self) -> None:
        self.log: list[MarketDataMessage] = []

    def publish(self, message: MarketDataMessage) -> None:
        self.log.append(message)

    async def last_sequences(self) -> Mapping[str, int]:
        return {}

    def told(self) -> list[tuple[str, str | None, Decimal | None]]:
        told = [(message.symbol, message.state, message.bid) for message in self.log]
        self.log.clear()
        return told


async def test_a_state_is_told_at_once_with_every_update_and_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = 1_790_134_357_000_000
    monkeypatch.setattr(services, "TELL_S", 0.01)
    feed, states, log = Feed(), States(), Log()
    service = MarketDataService(feed, log, "simulated", clock_us=lambda: now_us, states=states)
    states.become(SOL_USDC="halted")
    assert log.told() == [], "it does not run yet"
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    assert not feed.begun.is_set(), "no market may seem open before it is known"
    states.tried.set()
    await asyncio.wait_for(feed.begun.wait(), WAIT_S)
    assert log.told() == [], "nothing is published without a price"
    feed.say(Ticker(SOL, Decimal(150), now_us))
    feed.say(BookTicker(SOL, Decimal(149), Decimal(151), now_us, 1))
    feed.say(Ticker(BTC, Decimal(9), now_us))
    assert log.told() == [(SOL, "halted", None), (SOL, "halted", 149), (BTC, None, None)]
    for _ in range(2):
        while not log.log:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        assert all(one == (SOL, "halted", Decimal(149)) for one in log.told())
    states.become(SOL_USDC="close_only", BTC_USDC="halted")
    told = {message.symbol: message.sequence - now_us + 1 for message in log.log}
    assert log.told() == [(SOL, "close_only", 149), (BTC, "halted", None)]
    states.become()
    assert [message.sequence - now_us for message in log.log] == [told[SOL], told[BTC]]
    assert log.told() == [(SOL, None, 149), (BTC, None, None)]
    feed.observers[0](StatusChange(FeedStatus.DISCONNECTED, "a test", 0))
    states.become(SOL_USDC="halted")
    assert log.told() == [], "after a loss nobody knows the price"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    feed.say(Ticker(SOL, Decimal(150), now_us + 1))
    log.told()
    states.become()
    assert log.told() == [], "who stands by publishes nothing"
