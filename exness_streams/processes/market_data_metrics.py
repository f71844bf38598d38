"""The metrics of the market data service, and the small web server of a process that only ingests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from exness_streams import __version__
from exness_streams.api.aiohttp_mends import refuse_other_aiohttp
from exness_streams.api.answers import json_response
from exness_streams.api.connection_metrics import ConnectionCollector
from exness_streams.api.door import Door
from exness_streams.api.metrics import counter, exposition, faust_metrics, gauge
from exness_streams.api.metrics_port import metrics_port_of
from exness_streams.market_data.service import MarketDataService
from exness_streams.processes.bound import refuse_elsewhere
from exness_streams.transport.web_server import Site, new_connections, runner_of

if TYPE_CHECKING:
    from exness_streams.processes.market_data_worker import MarketDataWorker


class FeedCollector(Collector):
    """The feed of this process, and what was published of it."""

    def __init__(self, service: MarketDataService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        now = self._service.metrics()
        yield gauge("exness_feed_connected", "1 while data flows", now.status == "connected")
        yield counter("exness_feed_reconnects", "Reconnections", now.reconnects)
        yield counter("exness_feed_failed_attempts", "Failed connection attempts", now.failed_attempts)
        yield _labelled("exness_feed_ticks", "Market updates handed to the log", "symbol", now.published)
        yield _labelled("exness_feed_ignored", "Frames ignored, by reason", "reason", now.ignored)
        yield counter("exness_feed_messages", "Messages that were handed on", now.messages)
        yield counter("exness_feed_conflated", "Frames left out of bursts, since newer ones say more", now.conflated)
        yield counter("exness_feed_looks", "Looks at the exchange's REST since a price jumped", now.looks)
        yield counter("exness_feed_failed_looks", "Such looks that told nothing", now.failed_looks)
        yield counter("exness_feed_ahead", "Frames with a time in the future, taken as of now", now.ahead)
        yield _labelled("exness_feed_errors", "Error frames of the exchange, by its code", "code", now.errors)
        yield gauge("exness_feed_silent_symbols", "Symbols without a recent ticker", len(now.silent_symbols))
        if now.last_tick_ms is not None:
            yield gauge(
                "exness_feed_last_tick_age_seconds",
                "Local clock minus the event time of the newest market update",
                time.time() - now.last_tick_ms / 1000,
            )
            yield gauge("exness_feed_skew_seconds", "Local clock minus event time on arrival", now.skew_ms / 1000)


def _labelled(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


class _WorkerCollector(Collector):
    def __init__(self, worker: MarketDataWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        worker = self._worker
        yield InfoMetricFamily("exness_build", "The program", {"version": __version__})
        yield gauge("exness_feed_leader", "1 in the process that ingests", worker.leads.is_set())
        yield gauge("exness_feed_waiting_records", "Updates that wait for a transaction", worker.publisher.waiting)
        yield gauge("exness_ready", "1 if this process ingests or can take over", not worker.unready)
        yield from faust_metrics(worker.app)


class MarketDataViews:
    """The routes of a market data process."""

    def __init__(self, worker: MarketDataWorker) -> None:
        self._worker = worker

    async def live(self, request: web.Request) -> web.Response:
        """GET /livez: answers while the process does; restart it when this fails."""
        return json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """GET /readyz: 503 unless it publishes or could take over; prices that do not come only degrade the leader."""
        worker = self._worker
        reasons = [worker.unready] if worker.unready else []
        leads, status = worker.leads.is_set(), worker.feed.status.value
        skew_ms = worker.feed.lasting_skew_ms if leads else 0
        if skew_ms < 0:
            reasons.append(
                f"this machine's clock is {-skew_ms / 1000:.1f} s behind the exchange's, so its prices pass for that "
                "old and no order fills: set it by a time service"
            )
        is_unready = bool(reasons)
        if skew_ms > 0:
            reasons.append(
                f"this machine's clock is {skew_ms / 1000:.1f} s ahead of the exchange's, or its prices come late"
            )
        if leads and status != "connected":
            reasons.append(f"the feed of prices is {status}")
        if leads and (silent := sorted(worker.feed.silent_symbols)):
            reasons.append(f"{', '.join(silent)}: the exchange sends no prices")
        body: dict[str, Any] = {
            "status": "unready" if is_unready else "degraded" if reasons else "ok",
            "reasons": reasons,
            "role": "leader" if leads else "standby",
            "feed": {"status": status, "source": worker.source},
        }
        return json_response(body, 503 if is_unready else 200, {"Retry-After": "1"} if is_unready else None)


@asynccontextmanager
async def metrics_served(worker: MarketDataWorker, registry: CollectorRegistry) -> AsyncIterator[None]:
    """Serve /livez and /readyz of a market data process on PORT, and /metrics there or on a port of its own.

    Several may run on one machine, and none needs a port for its work: so only on those that are given. OSError,
    LogFault.
    """
    settings = worker.settings
    refuse_other_aiohttp()
    registry.register(FeedCollector(worker.service))
    registry.register(_WorkerCollector(worker))
    async with AsyncExitStack() as stack:
        if "port" in settings.model_fields_set:
            await _serve(worker, registry, stack)
        if (apart := metrics_port_of(settings, registry)) is not None:
            stack.push_async_callback(apart.stop)
            await apart.start()
        yield


async def _serve(worker: MarketDataWorker, registry: CollectorRegistry, stack: AsyncExitStack) -> None:
    settings, views = worker.settings, MarketDataViews(worker)
    connections = new_connections(settings)
    registry.register(ConnectionCollector(connections))
    web_app = web.Application()
    Door(settings.own_hosts).mount(web_app)
    if settings.metrics_beside_api:
        web_app.router.add_get("/metrics", exposition(registry))
    web_app.router.add_get("/livez", views.live)
    web_app.router.add_get("/readyz", views.ready)
    runner = runner_of(web_app, connections)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await Site(runner, settings.host, settings.port, settings.server_tls()).start()
    refuse_elsewhere(runner.addresses, settings)
