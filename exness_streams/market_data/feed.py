"""Backpack's websocket as a feed that stays up: it connects, subscribes, watches and reconnects."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Protocol

import msgspec
from websockets.exceptions import WebSocketException
from websockets.uri import parse_uri

from exness_streams.domain.outside_text import in_one_line, without_secrets
from exness_streams.market_data.backpack import (
    Ignored,
    IgnoreReason,
    ParseResult,
    StreamError,
    StreamMessage,
    Ticker,
    parse,
    subscribe_requests,
)
from exness_streams.market_data.conflation import Burst
from exness_streams.market_data.connecting import Connection, asked_to_wait_s, connect_websocket
from exness_streams.market_data.feed_health import Backoff, Pace, SilenceMonitor, SkewMonitor
from exness_streams.transport.tasks import first_to_end

logger = logging.getLogger(__name__)

FEED_STREAMS = ("ticker", "bookTicker")
"""What is subscribed to of each symbol: price and volume, bid and ask."""

ERROR_CODES_MAX = 50
OTHER_CODE = "other"
REASON_MAX = 300
"""Characters of what the exchange, or the network, says of a connection."""

_CONNECTION_FAILURES = (OSError, WebSocketException, EOFError, asyncio.TimeoutError)


class FeedStatus(str, Enum):
    """connecting: never had data yet. connected: data flows. stale: connected, but silent. disconnected."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    STALE = "stale"
    DISCONNECTED = "disconnected"


class StatusChange(msgspec.Struct, frozen=True):
    """What observers of a feed are told. reason: one line for a person. time_ms: local clock, epoch."""

    status: FeedStatus
    reason: str
    time_ms: int


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times of a feed, ms.

    stale_after_ms, drop_after_ms: without data for so long, the status is stale, the connection is given up.
    silent_after_ms: a symbol without a ticker for so long is silent.
    skew_ms_max, skew_lasting_ms: event times may differ from the local clock by so much; said when it lasts.
    retry_first_ms, retry_max_ms: bounds of the delay between attempts, after a first one at once.
    retry_reset_after_ms: once data has flowed for so long, a loss is retried at once again.
    check_interval_ms: of the watchdog. compression: offer permessage-deflate.
    updates_per_s, updates_burst: what comes faster for longer is conflated, for at most hold_ms_max at a time.
    """

    stale_after_ms: int = 5_000
    drop_after_ms: int = 15_000
    silent_after_ms: int = 10_000
    skew_ms_max: int = 2_000
    skew_lasting_ms: int = 10_000
    retry_first_ms: int = 500
    retry_max_ms: int = 30_000
    retry_reset_after_ms: int = 5_000
    check_interval_ms: int = 250
    compression: bool = True
    updates_per_s: int = 2_000
    updates_burst: int = 400
    hold_ms_max: int = 150


class Clock(Protocol):
    """Time, as the feed needs it."""

    def monotonic_s(self) -> float: ...
    def epoch_us(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def epoch_us(self) -> int:
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class FeedCounters:
    """What happened since the feed was made.

    connections: handshakes that succeeded. messages: those handed on. conflated: frames left out, since newer ones of
    the same burst say more. ignored: frames, by reason.
    errors: error frames, by code.
    """

    connections: int = 0
    failed_attempts: int = 0
    messages: int = 0
    conflated: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


OnMessage = Callable[[StreamMessage], None]
StatusObserver = Callable[[StatusChange], None]
Connect = Callable[[str], Awaitable[Connection]]


class BackpackFeed:
    """The wanted streams of `symbols`, for as long as `run` runs.

    url: `ws://` or `wss://`; anything else raises websockets' InvalidURI. Symbols are spelt as Backpack does.
    clock, rng and connect are replaced in tests.
    """

    def __init__(
        self,
        url: str,
        symbols: Iterable[str],
        *,
        settings: FeedSettings | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        connect: Connect | None = None,
    ) -> None:
        parse_uri(url)
        self._settings = settings = settings or FeedSettings()
        self._url = url
        self._shown_url = without_secrets(url)
        self._clock = clock or SystemClock()
        self._connect = connect or partial(connect_websocket, compression=settings.compression)
        rng = rng or random.Random()  # nosec B311 - spreads repetitions
        self._backoff = Backoff(settings.retry_first_ms / 1000, settings.retry_max_ms / 1000, rng)
        self._skew = SkewMonitor(settings.skew_ms_max * 1000, settings.skew_lasting_ms / 1000)
        self._want(symbols)
        self._pace = Pace(settings.updates_per_s, settings.updates_burst, settings.hold_ms_max / 1000)
        self._due_s = 0.0
        self._held = asyncio.Event()
        self._observers: list[StatusObserver] = []
        self._asked_to_wait_s = 0.0
        self._running = False
        self._status = FeedStatus.DISCONNECTED
        self._status_since_s = self._last_data_s = self._flowing_since_s = 0.0
        self.counters = FeedCounters()

    def _want(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        self._wanted = frozenset(self.symbols)
        self._silence = SilenceMonitor(self.symbols, self._settings.silent_after_ms / 1000)
        self._burst = Burst(self.symbols, self._clock.epoch_us)

    def follow(self, symbols: Iterable[str]) -> None:
        """Want these, too. RuntimeError once it runs."""
        if self._running:
            raise RuntimeError("this feed is running already")
        self._want((*self.symbols, *symbols))

    @property
    def status(self) -> FeedStatus:
        """How the feed is now."""
        return self._status

    @property
    def silent_symbols(self) -> frozenset[str]:
        """Wanted symbols without a ticker for `silent_after_ms`: unknown to the exchange, or closed."""
        return self._silence.silent

    @property
    def skew_ms(self) -> int:
        """Local clock minus event time of the newest ticker: network delay plus difference of clocks."""
        return self._skew.skew_us // 1000

    @property
    def lasting_skew_ms(self) -> int:
        """The same, if it is more than is allowed and has lasted; else 0."""
        return self.skew_ms if self._skew.skewed else 0

    def observe(self, observer: StatusObserver) -> None:
        """From now on `observer` is called, in the feed's task, with each change of status."""
        self._observers.append(observer)

    async def run(self, on_message: OnMessage) -> None:
        """Feeds `on_message`, in the order of arrival, until cancelled. It reconnects for ever.

        `on_message` runs in the read task: it must be quick and may not block. What it raises ends the feed.
        """
        if self._running:
            raise RuntimeError("this feed is running already")
        self._running = True
        self._backoff.reset()
        self._change(FeedStatus.CONNECTING, f"opening {self._shown_url}", logging.INFO)
        try:
            while True:
                reason = await self._one_connection(on_message)
                # While it cannot be reached the status stays, so this is said once and not at every attempt.
                self._change(FeedStatus.DISCONNECTED, reason)
                await self._clock.sleep(max(self._backoff.next_delay_s(), self._asked_to_wait_s))
        finally:
            self._running = False
            self._change(FeedStatus.DISCONNECTED, "stopped", logging.INFO)

    async def _one_connection(self, on_message: OnMessage) -> str:
        """Connects, and serves the connection until it is lost. Returns why there is none (any more)."""
        try:
            connection = await self._connect(self._url)
        except _CONNECTION_FAILURES as error:
            self.counters.failed_attempts += 1
            self._asked_to_wait_s = asked_to_wait_s(error)
            return f"{self._shown_url} cannot be reached: {self._described(error)}"
        self.counters.connections += 1
        self._asked_to_wait_s = 0.0
        self._last_data_s = self._clock.monotonic_s()
        try:
            return await first_to_end(self._read(connection, on_message), self._hand_on_late(on_message), self._watch())
        finally:
            await connection.close()

    async def _read(self, connection: Connection, on_message: OnMessage) -> str:
        try:
            for request in subscribe_requests(
                f"{stream}.{symbol}" for symbol in self.symbols for stream in FEED_STREAMS
            ):
                await connection.send(request)
        except _CONNECTION_FAILURES as error:
            return f"connection lost while subscribing: {self._described(error)}"
        while True:
            try:
                frame = await connection.recv(False)
            except _CONNECTION_FAILURES as error:
                self._hand_on(on_message)
                return f"connection lost: {self._described(error)}"
            self._burst.add(frame)
            if self._clock.monotonic_s() >= self._due_s:
                self._hand_on(on_message)
            else:
                self._held.set()

    async def _hand_on_late(self, on_message: OnMessage) -> str:
        """Hands on what is held when it is due, should no further frame come."""
        while True:
            await self._held.wait()
            self._held.clear()
            await self._clock.sleep(max(0.0, self._due_s - self._clock.monotonic_s()))
            self._hand_on(on_message)

    def _hand_on(self, on_message: OnMessage) -> None:
        entries = self._burst.take()
        if not entries:
            return
        for entry in entries:
            self._take(parse(entry) if isinstance(entry, str | bytes) else entry, on_message)
        self.counters.conflated = self._burst.conflated
        if self._burst.late:
            self.counters.ignored[IgnoreReason.LATE.value] = self._burst.late
        now_s = self._clock.monotonic_s()
        self._due_s = now_s + self._pace.spend(len(entries), now_s)

    def _take(self, result: ParseResult, on_message: OnMessage) -> None:
        if isinstance(result, Ignored):
            self._ignore(result)
            if result.book is not None and result.book.symbol in self._wanted:
                on_message(result.book)  # no data that would keep the feed alive
            return
        if isinstance(result, StreamError):
            self._take_error(result)
            return
        if result.symbol not in self._wanted:
            self._ignore(Ignored(IgnoreReason.UNWANTED, result.symbol))
            return
        self._last_data_s = now_s = self._clock.monotonic_s()
        if self._status is not FeedStatus.CONNECTED:
            self._data_flows(now_s)
        if isinstance(result, Ticker):
            self._silence.heard(result.symbol, now_s)
            self._observe_skew(result.event_us, now_s)
        self.counters.messages += 1
        on_message(result)

    def _ignore(self, ignored: Ignored) -> None:
        reason = ignored.reason.value
        self.counters.ignored[reason] += 1
        if self.counters.ignored[reason] == 1:
            logger.warning("ignored a frame (%s): %s; further ones are only counted", reason, ignored.detail)

    def _take_error(self, error: StreamError) -> None:
        code = str(error.code)
        if code not in self.counters.errors and len(self.counters.errors) >= ERROR_CODES_MAX:
            code = OTHER_CODE  # the codes are the exchange's: it may not fill our memory with them
        self.counters.errors[code] += 1
        if self.counters.errors[code] == 1:
            logger.error("the exchange answered with error %s: %s", code, error.message)

    def _described(self, error: BaseException) -> str:
        """What went wrong, which may hold the exchange's own words, or ours of the URL."""
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return in_one_line(words.replace(self._url, self._shown_url), REASON_MAX)

    def _data_flows(self, now_s: float) -> None:
        self._flowing_since_s = now_s
        self._silence.restart(now_s)
        before = f"{self._status.value} for {now_s - self._status_since_s:.1f} s"
        self._change(FeedStatus.CONNECTED, f"data flows (was {before})", logging.INFO)

    def _observe_skew(self, event_us: int, now_s: float) -> None:
        if not self._skew.observe(self._clock.epoch_us() - event_us, now_s):
            return
        if self._skew.skewed:
            logger.warning(
                "event times differ from the local clock by %d ms: wrong clock or late feed",
                self.skew_ms,
            )
        else:
            logger.info("event times agree with the local clock again (%d ms)", self.skew_ms)

    async def _watch(self) -> str:
        """Judges the connection while it is open. Returns why it must be given up."""
        settings = self._settings
        while True:
            await self._clock.sleep(settings.check_interval_ms / 1000)
            now_s = self._clock.monotonic_s()
            idle_ms = (now_s - self._last_data_s) * 1000
            if idle_ms >= settings.drop_after_ms:
                return f"no data for {idle_ms / 1000:.1f} s: connection given up"
            if idle_ms >= settings.stale_after_ms:
                if self._status is not FeedStatus.DISCONNECTED:
                    self._change(FeedStatus.STALE, f"no data for {idle_ms / 1000:.1f} s")
            elif self._status is FeedStatus.CONNECTED:
                if (now_s - self._flowing_since_s) * 1000 >= settings.retry_reset_after_ms:
                    self._backoff.reset()
                self._report_silence(now_s)

    def _report_silence(self, now_s: float) -> None:
        silent, returned = self._silence.check(now_s)
        if silent:
            logger.warning(
                "no ticker of %s for %.0f s: unknown to the exchange, or closed?",
                ", ".join(silent),
                self._settings.silent_after_ms / 1000,
            )
        if returned:
            logger.info("tickers of %s arrive", ", ".join(returned))

    def _change(self, status: FeedStatus, reason: str, level: int = logging.WARNING) -> None:
        if status is self._status:
            return
        self._status = status
        self._status_since_s = self._clock.monotonic_s()
        logger.log(level, "feed %s: %s", status.value, reason)
        change = StatusChange(status, reason, self._clock.epoch_us() // 1000)
        for observer in self._observers:
            observer(change)
