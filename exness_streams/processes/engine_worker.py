"""The composition root: an engine worker with its API, and the platform that `exness-streams run` runs."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from async_timeout import timeout

from exness_streams.api.metrics import CheckpointCollector, WorkerMetrics
from exness_streams.api.routes import add_routes
from exness_streams.engine.build import build_engine
from exness_streams.engine.checkpoint_keeper import CheckpointKeeper
from exness_streams.engine.engine import APP_ID, Engine
from exness_streams.engine.raising import RulesRaiser
from exness_streams.market_data.exchange_states import ExchangeStates
from exness_streams.market_data.feed import BackpackFeed, StatusChange
from exness_streams.market_data.listings import Listings, SharedListing
from exness_streams.market_data.looks import looking_at
from exness_streams.market_data.past_candles import PastCandles
from exness_streams.market_data.rest import BackpackRest
from exness_streams.market_data.resuming import newest_sequences
from exness_streams.market_data.service import MarketDataService
from exness_streams.market_data.source import claim_source, source_of
from exness_streams.market_data.ticks import TickRecord
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder, public_record
from exness_streams.processes.bound import check_bound
from exness_streams.processes.market_data_metrics import FeedCollector
from exness_streams.processes.service_watch import watch_service
from exness_streams.processes.stopping import unless
from exness_streams.settings.platform import Settings
from exness_streams.transport.tasks import given_up

log = logging.getLogger(__name__)

FIRST_PRICE_S = 3.0

OnReady = Callable[[], Awaitable[None]]
OnEnding = Callable[[BaseException | None], None]
OnLeft = Callable[[Mapping[str, Decimal | None]], None]
"""Is told the symbols that are followed although they are not offered any more, with the last price that is known."""


async def run_app(
    app: Any,
    beside: Callable[[], list[Coroutine[Any, Any, None]]],
    until: asyncio.Event,
    on_ending: OnEnding = lambda failed: None,
) -> BaseException | None:
    """Run a Faust app and coroutines beside it until the event is set or something fails, and stop it all.

    The event is heeded also while the app starts, which may wait for brokers or for a table's recovery. on_ending is
    called when the stop begins, with what failed. Returns what failed, None when nothing did.
    """
    tasks: list[asyncio.Task[None]] = []

    def end_with(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            crashing = asyncio.ensure_future(app.crash(error))
            crashing.add_done_callback(lambda done: done.exception())

    ended = asyncio.ensure_future(app.wait_for_stopped(until))
    try:
        if await unless(ended, app.start()) and app.crash_reason is None:
            tasks = [asyncio.create_task(one) for one in beside()]
            for task in tasks:
                task.add_done_callback(end_with)
            await app.wait_for_stopped(until)
    finally:
        on_ending(app.crash_reason or sys.exc_info()[1])
        for task in tasks:
            await given_up(task)
        await app.stop()
    failed: BaseException | None = app.crash_reason
    return failed


def past_candles(rest: BackpackRest, engine: Engine) -> PastCandles:
    """What asks the exchange for the candles that an engine lacks."""
    return PastCandles(rest.fetch_klines, engine.candles, unread=lambda: rest.skipped)


class EngineWorker:
    """One engine worker; others may share the accounts with it.

    feed_url: of the exchange that prices are of. rest_url: of the exchange's API, '' is never asked.
    """

    def __init__(self, settings: Settings, feed_url: str = "", rest_url: str = "") -> None:
        self.settings = settings
        metrics = WorkerMetrics()
        self.engine = build_engine(settings, metrics.engine)
        add_routes(self.engine, metrics)
        self.metrics = metrics.registry
        self.engine.feed_status = self.feed_status
        self.rest = BackpackRest(rest_url) if rest_url else None
        self.source = source_of(feed_url)
        shared = SharedListing(self.rest.fetch_markets) if self.rest else None
        self.listings = Listings(shared.fetch_markets, self.engine.catalogue) if shared else None
        if self.listings is not None:
            self.engine.listed = self.listings.of
        self.states = ExchangeStates.of(
            feed_url,
            self.rest,
            settings.instruments,
            fetch_markets=shared.fetch_markets if shared else None,
            is_wanted=self._wants_states,
        )
        self.engine.markets.exchange = self.states
        self.past = past_candles(self.rest, self.engine) if self.rest else None

    def _wants_states(self) -> bool:
        """Whoever has the ticks listens to the exchange, if their prices are not known to be another one's."""
        return self.engine.candles.is_owned and self.engine.cells.source in (None, self.source)

    def feed_status(self) -> dict[str, Any]:
        """How the feed is, for /readyz and /markets, judged by the age of the newest quote: the feed is elsewhere."""
        source = self.engine.cells.source or "unknown"
        quotes = self.engine.cells.quotes.values()
        if not quotes:
            return {"status": "unknown", "reason": "no quote has arrived yet", "source": source}
        now_ms, market_ms = int(time.time() * 1000), self.engine.cells.market_ms
        if any(quote.is_fresh(now_ms, self.settings.max_quote_age_ms, market_ms) for quote in quotes):
            return {"status": "connected", "reason": "", "source": source}
        newest_ms = max(quote.aged_from_ms for quote in quotes)
        if newest_ms > now_ms:
            reason = f"the newest quote is {newest_ms - now_ms} ms ahead of this machine's clock"
            return {"status": "stale", "reason": reason, "source": source}
        age_ms = max(now_ms, market_ms) - newest_ms
        return {"status": "stale", "reason": f"the newest quote is {age_ms} ms old", "source": source}

    def watch(self, end: Callable[[str], Any]) -> None:
        """Of one on Kafka: have it seen from outside whether anything reaches it. end: ends the process, in words."""
        app, settings = self.engine.app, self.settings

        def unserved() -> str | None:
            return None if app.should_stop else self.engine.cut_off

        watch_service(app.transport.cluster, settings.named(APP_ID), settings.topics, unserved, end)

    @property
    def left(self) -> list[str]:
        """Instruments that are not offered any more, and in which something stands in the cells here."""
        return sorted(self.engine.cells.standing() - set(self.settings.instruments))

    async def run(
        self, until: asyncio.Event, on_ready: OnReady, on_ending: OnEnding = lambda failed: None
    ) -> BaseException | None:
        """Run until the event is set, or something fails; as run_app."""
        return await run_app(self.engine.app, lambda: self.beside(on_ready), until, on_ending)

    def beside(self, on_ready: OnReady) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the app."""
        about_markets = [part.run() for part in (self.listings, self.states, self.past) if part is not None]
        return [check_bound(self.engine.app, self.settings), self._announce(on_ready), *about_markets]

    async def _announce(self, on_ready: OnReady) -> None:
        await self.engine.cells.ready.wait()
        if self.engine.is_shared and (left := self.left):
            log.warning(
                "positions or orders stand in %s, not in EXNESS_INSTRUMENTS any more: they can be closed, and none "
                "opened, while `exness-streams market-data` has it in its EXNESS_INSTRUMENTS. Without prices, "
                "`exness-streams market SYMBOL settle` closes them",
                ", ".join(left),
            )
        # What the announcement proposes should work: wait for a first price, but not for an exchange that is away.
        with suppress(asyncio.TimeoutError):
            async with timeout(FIRST_PRICE_S):
                await self.engine.cells.priced.wait()
        if self.listings is not None:
            await self.listings.tried.wait()
        await on_ready()


class LogPublisher:
    """Publishes market updates on the embedded log."""

    def __init__(self, engine: Engine) -> None:
        self._transport = engine.app.transport
        self.symbols = [terms.symbol for terms in engine.catalogue]

    def publish(self, message: MarketDataMessage) -> None:
        """Append one update. When the log has failed the app ends itself with the log's own words."""
        appended = self._transport.log.append(
            MARKET_UPDATES_TOPIC,
            0,
            message.symbol.encode(),
            public_record(json_encoder.encode(message)),
            message.timestamp,
        )
        appended.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def last_sequences(self) -> Mapping[str, int]:
        """The newest sequence of each symbol on offer, however long ago it was published."""
        log, tp = self._transport.log, (MARKET_UPDATES_TOPIC, 0)
        if log.partitions(MARKET_UPDATES_TOPIC) is None:
            return {}

        async def read(first: int, end: int) -> list[TickRecord]:
            records: list[TickRecord] = []
            while first < end and (some := await log.read(tp, first, end - first, 1 << 22)):
                records += some
                first = some[-1].offset + 1
            return records

        return await newest_sequences(self.symbols, log.start(tp), log.end(tp), read)


class Platform(EngineWorker):
    """Everything in one process: the engine on the embedded log, and the market data service."""

    def __init__(self, settings: Settings, feed_url: str, rest_url: str = "") -> None:
        super().__init__(settings, feed_url, rest_url)
        settings.checkpoints_dir.mkdir(parents=True, exist_ok=True)  # backups copy it, empty or not
        self.feed = BackpackFeed(feed_url, settings.instruments)
        self._feed_change: StatusChange | None = None
        self.feed.observe(self._on_feed_change)
        self.publisher = LogPublisher(self.engine)
        self.market_data = MarketDataService(
            self.feed,
            self.publisher,
            self.source,
            book_ms_max=settings.max_quote_age_ms,
            looking=looking_at(self.rest, self.source, settings.price_bands()),
            states=self.states,
        )
        self.on_left: OnLeft = lambda prices: None
        self.metrics.register(FeedCollector(self.market_data))
        self.checkpoints = CheckpointKeeper(self.engine)
        self.raiser = RulesRaiser(self.engine)
        self.engine.upkeep_fault = lambda: self.checkpoints.refused or self.raiser.refused
        self.metrics.register(CheckpointCollector(self.checkpoints))

    def _wants_states(self) -> bool:
        """The feed is here, and tells them."""
        return True

    def _on_feed_change(self, change: StatusChange) -> None:
        self._feed_change = change

    def feed_status(self) -> dict[str, Any]:
        """How the feed is: it runs in this process."""
        change = self._feed_change
        return {
            "status": self.feed.status.value,
            "reason": "" if change is None else change.reason,
            "since": None if change is None else change.time_ms,
            "skewMs": self.feed.skew_ms,
            "source": self.source,
        }

    def beside(self, on_ready: OnReady) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the app: the feed, the upkeep of the journal, and later rules for it."""
        return [*super().beside(on_ready), self._publish(), self.checkpoints.run(), self.raiser.run()]

    async def _publish(self) -> None:
        """Mark the directory as this source's, now that all has started, and let its prices in."""
        claim_source(self.settings.data_dir, self.source)
        await self.engine.cells.ready.wait()  # only then it is known what stands where
        self._follow_what_is_left()
        await self.market_data.run()

    def _follow_what_is_left(self) -> None:
        """Prices of instruments that are not offered any more, so that positions there can be closed."""
        left = self.left
        if not left:
            return
        log.warning(
            "positions or orders stand in %s, not in EXNESS_INSTRUMENTS any more: prices are followed until the next "
            "start at which none is left; positions can be closed, and none opened",
            ", ".join(left),
        )
        quotes = self.engine.cells.quotes
        self.on_left({symbol: quotes[symbol].price if symbol in quotes else None for symbol in left})
        self.feed.follow(left)
        self.publisher.symbols += left
        if self.states is not None:
            self.states.follow(left)
