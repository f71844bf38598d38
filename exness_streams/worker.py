"""The composition root: a platform in one process, from the exchange's feed to the web server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from exness_streams.api.routes import add_routes
from exness_streams.config import Settings
from exness_streams.engine.app import Engine, build_engine
from exness_streams.engine.checkpoints import keep_checkpoints
from exness_streams.market_data.feed import BackpackFeed, StatusChange
from exness_streams.market_data.service import MarketDataService
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder, market_data_decoder

log = logging.getLogger(__name__)

TAIL_TICKS = 10_000
"""How far back the ticks' topic is searched for the last sequence of each symbol."""


FIRST_PRICE_S = 3.0


class LogPublisher:
    """Publishes market updates on the embedded log."""

    def __init__(self, engine: Engine) -> None:
        self._transport = engine.app.transport

    def publish(self, message: MarketDataMessage) -> None:
        """Append one update. When the log has failed the app ends itself with the log's own words."""
        appended = self._transport.log.append(
            MARKET_UPDATES_TOPIC, 0, message.symbol.encode(), json_encoder.encode(message), message.timestamp
        )
        appended.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def last_sequences(self) -> Mapping[str, int]:
        """The newest sequence of each symbol among the last ticks."""
        log_, tp = self._transport.log, (MARKET_UPDATES_TOPIC, 0)
        if log_.partitions(MARKET_UPDATES_TOPIC) is None:
            return {}
        newest: dict[str, int] = {}
        offset = max(log_.start(tp), log_.end(tp) - TAIL_TICKS)
        while records := await log_.read(tp, offset, TAIL_TICKS, 1 << 22):
            for record in records:
                tick = market_data_decoder.decode(record.value)
                newest[tick.symbol] = max(tick.sequence, newest.get(tick.symbol, 0))
            offset = records[-1].offset + 1
        return newest


class Platform:
    """Everything that `exness-streams run` runs."""

    def __init__(self, settings: Settings, feed_url: str) -> None:
        self.settings = settings
        self.engine = build_engine(settings)
        add_routes(self.engine)
        self.feed = BackpackFeed(feed_url, settings.instruments)
        self._feed_change: StatusChange | None = None
        self.feed.observe(self._on_feed_change)
        self.engine.feed_status = self.feed_status
        self.market_data = MarketDataService(self.feed, LogPublisher(self.engine))

    def _on_feed_change(self, change: StatusChange) -> None:
        self._feed_change = change

    def feed_status(self) -> dict[str, Any]:
        """How the feed is, for /readyz and /markets."""
        change = self._feed_change
        return {
            "status": self.feed.status.value,
            "reason": "" if change is None else change.reason,
            "since": None if change is None else change.time_ms,
            "skewMs": self.feed.skew_ms,
        }

    async def run(self, until: asyncio.Event, on_ready: Callable[[], Awaitable[None]]) -> BaseException | None:
        """Run until the event is set, or something fails; what failed is returned once all is stopped."""
        app = self.engine.app
        beside: list[asyncio.Task[None]] = []
        try:
            await app.start()
            if app.crash_reason is None:
                beside = [
                    asyncio.create_task(self.market_data.run(), name="market-data"),
                    asyncio.create_task(keep_checkpoints(self.engine), name="checkpoints"),
                    asyncio.create_task(self._announce(on_ready), name="ready"),
                ]
                for task in beside:
                    task.add_done_callback(self._end_with)
                await app.wait_for_stopped(until)
        finally:
            for task in beside:
                task.cancel()
            for task in beside:
                with suppress(asyncio.CancelledError, Exception):
                    await task
            await app.stop()
        failed: BaseException | None = app.crash_reason
        return failed

    async def _announce(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        await self.engine.cells.ready.wait()
        # What the announcement proposes should work: wait for a first price, but not for an exchange that is away.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.engine.cells.priced.wait(), FIRST_PRICE_S)
        await on_ready()

    def _end_with(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            crashing = asyncio.ensure_future(self.engine.app.crash(error))
            crashing.add_done_callback(lambda done: done.exception())
