"""The market data service: what the feed says, merged per symbol, handed to a publisher in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from exness_streams.market_data.backpack import IgnoreReason, StreamMessage
from exness_streams.market_data.feed import FeedCounters, FeedStatus, OnMessage, StatusChange, StatusObserver
from exness_streams.market_data.looks import Looking, PriceLooks
from exness_streams.market_data.quotes import BOOK_MS_MAX, QuoteMerger, epoch_us
from exness_streams.market_data.rest import Top
from exness_streams.market_data.source import Source
from exness_streams.messages import MarketDataMessage
from exness_streams.transport.tasks import first_to_end

TELL_S = 1.0
"""A market that is not open is told of so often, also when nothing moves."""


class Publisher(Protocol):
    """Where market updates go: the topic `backpack-market-updates`, key = symbol."""

    def publish(self, message: MarketDataMessage) -> None:
        """Hands one update to the log. Cheap, synchronous, and in order; raising ends the service."""

    async def last_sequences(self) -> Mapping[str, int]:
        """The newest sequence in the log of each symbol, asked once at each start."""


class Feed(Protocol):
    """What the service needs of a feed; BackpackFeed is one."""

    counters: FeedCounters

    @property
    def status(self) -> FeedStatus: ...
    @property
    def silent_symbols(self) -> frozenset[str]: ...
    @property
    def skew_ms(self) -> int: ...
    def observe(self, observer: StatusObserver) -> None: ...
    async def run(self, on_message: OnMessage) -> None: ...


class States(Protocol):
    """What the exchange says of its markets; ExchangeStates is one. on_change: who is told of changes."""

    tried: asyncio.Event
    on_change: Callable[[list[str]], None]

    @property
    def states(self) -> Mapping[str, str]: ...


class MarketDataMetrics(msgspec.Struct, frozen=True):
    """A snapshot for monitoring; counts since the start of the process.

    published: updates by symbol. last_tick_ms: event time of the newest update, None before the first.
    reconnects: connections after the first. ignored: frames by reason (late ones included). errors: the
    exchange's error frames by code. skew_ms: local clock − event time of the newest ticker.
    messages: handed on by the feed. conflated: frames that it left out, since newer ones of a burst say more.
    ahead: frames that claimed to be of the future, and count as of now. looks, failed_looks: at the exchange's REST,
    since a price jumped.
    """

    status: str
    published: dict[str, int]
    last_tick_ms: int | None
    reconnects: int
    failed_attempts: int
    ignored: dict[str, int]
    errors: dict[str, int]
    silent_symbols: list[str]
    skew_ms: int
    ahead: int = 0
    messages: int = 0
    conflated: int = 0
    looks: int = 0
    failed_looks: int = 0


class MarketDataService:
    """Publishes every market update of the feed. One of several may run at a time: the others stand by.

    source: where the prices come from, as each update says. clock_us: µs since the epoch.
    book_ms_max: as QuoteMerger's. looking: how the exchange is asked about prices that jump, None: never.
    states: what the exchange says of the markets, None: they are open.
    """

    def __init__(
        self,
        feed: Feed,
        publisher: Publisher,
        source: Source | None = None,
        *,
        clock_us: Callable[[], int] = epoch_us,
        book_ms_max: int = BOOK_MS_MAX,
        looking: Looking | None = None,
        states: States | None = None,
    ) -> None:
        self._looks = None if looking is None else PriceLooks(looking, self._publish_look)
        self._states, self._told_s = states, dict[str, float]()
        self._tells_states = False
        self._book_ms_max = book_ms_max
        self._feed = feed
        self._source = source
        self._publisher = publisher
        self._clock_us = clock_us
        self._merger = QuoteMerger(clock_us=clock_us, book_ms_max=book_ms_max)
        self._published: Counter[str] = Counter()
        self._late_before = self._ahead_before = 0
        self._last_tick_ms: int | None = None
        feed.observe(self._on_status)
        if states is not None:
            states.on_change = self._on_states

    async def run(self) -> None:
        """Publishes until cancelled. It may run again afterwards: sequences go on above the log's newest.

        With `states` it begins once the exchange was asked for them: no market may seem open for a moment.
        """
        last_sequences = await self._publisher.last_sequences()
        self._late_before += self._merger.late
        self._ahead_before += self._merger.ahead
        self._merger = QuoteMerger(last_sequences, clock_us=self._clock_us, book_ms_max=self._book_ms_max)
        try:
            if self._states is None:
                await self._feed.run(self._on_message)
            else:
                await self._states.tried.wait()
                await first_to_end(self._tell_states(self._states), self._feed.run(self._on_message))
        finally:
            if self._looks is not None:
                await self._looks.close()

    async def _tell_states(self, told: States) -> None:
        """Once a second, and at each change, an update of each market that is not open, whatever moves there."""
        self._tells_states = True
        try:
            while True:
                now_s = time.monotonic()
                for symbol in told.states:
                    if now_s - self._told_s.get(symbol, 0.0) >= TELL_S:
                        self._tell_again(symbol)
                await asyncio.sleep(TELL_S / 4)
        finally:
            self._tells_states = False

    def _on_states(self, changed: list[str]) -> None:
        for symbol in changed if self._tells_states else ():  # one that stands by publishes nothing
            self._tell_again(symbol)

    def _tell_again(self, symbol: str) -> None:
        update = self._merger.again(symbol)
        if update is not None:
            self._publish(update)

    def metrics(self) -> MarketDataMetrics:
        """How the service is now."""
        counters = self._feed.counters
        ignored = dict(counters.ignored)
        late = self._late_before + self._merger.late
        if late:
            ignored[IgnoreReason.LATE.value] = ignored.get(IgnoreReason.LATE.value, 0) + late
        return MarketDataMetrics(
            status=self._feed.status.value,
            published=dict(self._published),
            last_tick_ms=self._last_tick_ms,
            reconnects=max(0, counters.connections - 1),
            failed_attempts=counters.failed_attempts,
            ignored=ignored,
            errors=dict(counters.errors),
            silent_symbols=sorted(self._feed.silent_symbols),
            skew_ms=self._feed.skew_ms,
            ahead=self._ahead_before + self._merger.ahead,
            messages=counters.messages,
            conflated=counters.conflated,
            looks=0 if self._looks is None else self._looks.taken,
            failed_looks=0 if self._looks is None else self._looks.failed,
        )

    def _on_message(self, message: StreamMessage) -> None:
        update = self._merger.merge(message)
        if update is not None:
            update = self._publish(update)
            self._published[update.symbol] += 1
            self._last_tick_ms = update.timestamp
            if self._looks is not None:
                self._looks.take(update)

    def _publish_look(self, symbol: str, top: Top) -> MarketDataMessage:
        return self._publish(self._merger.look(symbol, *top))

    def _publish(self, update: MarketDataMessage) -> MarketDataMessage:
        """What the feed did not tell itself counts as no update: it says nothing of whether the feed lives."""
        state = None if self._states is None else self._states.states.get(update.symbol)
        if state is not None:
            self._told_s[update.symbol] = time.monotonic()
        if self._source is not None or state is not None:
            update = msgspec.structs.replace(update, source=self._source, state=state)
        self._publisher.publish(update)
        return update

    def _on_status(self, change: StatusChange) -> None:
        # What was known before a loss is not the market any more.
        if change.status is FeedStatus.DISCONNECTED:
            self._merger.forget_quotes()
