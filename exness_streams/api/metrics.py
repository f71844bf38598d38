"""Metrics in Prometheus' format. Counters that exist anyway are read when a scraper asks; durations are observed.

docs/operations.md lists them. No label names an account.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exness_streams import __version__
from exness_streams.api.access.caller import PASSED_ON
from exness_streams.api.api_view import ApiView
from exness_streams.api.errors import Handler
from exness_streams.api.stream.hub import STREAM_MESSAGES, StreamHub
from exness_streams.api.suspension_metrics import suspension_metrics
from exness_streams.domain.events import CloseReason, Event
from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.domain.ticks import TickFault
from exness_streams.engine.engine import REFUSED_FOR
from exness_streams.engine.event_counts import DROPPED, OPENED, REDUCED, closed, of_type
from exness_streams.engine.lag import event_lags, journal_lags, tick_lags
from exness_streams.engine.work_metrics import EngineMetrics, WorkMetrics

if TYPE_CHECKING:
    from exness_streams.engine.checkpoint_keeper import CheckpointKeeper
    from exness_streams.engine.engine import Engine

API_BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
TRANSACTION_BUCKETS_S = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
RECORDS_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

FAUST_COUNTERS = {
    "messages_received_total": "Messages read; a batch counts as one",
    "events_total": "Events handed to agents",
    "assignments_completed": "Assignments of partitions made by this process as the group's leader",
    "assignments_failed": "Assignments of partitions that failed",
}
"""Counters of Faust's monitor, which it keeps in any case."""


def process_registry() -> CollectorRegistry:
    """A registry of its own for each process object, with prometheus-client's metrics of the process in it."""
    # A `_created` beside each counter and histogram would be half as many series again, for nobody.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class MetricsView(ApiView):
    """GET /metrics: Prometheus' text, or OpenMetrics when it is asked for."""

    def __init__(self, app: Any, web_server: Any, registry: CollectorRegistry) -> None:
        super().__init__(app, web_server)
        self._answer = exposition(registry)

    async def get(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request)


def exposition(registry: CollectorRegistry) -> Handler:
    """GET /metrics: Prometheus' text, or OpenMetrics when it is asked for."""

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (ValueError, ArithmeticError, LookupError, TypeError):
            encode, content_type = choose_encoder("")  # it asks for a version that is none
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return metrics


class WorkHistograms:
    """Sizes of batches, sizes and durations of transactions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batch = Histogram(
            "exness_batch_records", "Records read in one batch", ["topic"], registry=registry, buckets=RECORDS_BUCKETS
        )
        self._size = Histogram(
            "exness_transaction_records",
            "Records per transaction, by work",
            ["work"],
            registry=registry,
            buckets=RECORDS_BUCKETS,
        )
        self._duration = Histogram(
            "exness_transaction_duration_seconds",
            "Time from the beginning of a transaction to its commit, by work",
            ["work"],
            registry=registry,
            buckets=TRANSACTION_BUCKETS_S,
        )

    def of(self, work: str) -> WorkMetrics:
        """Who observes one kind of work: accounts, history, candles or ticks."""
        return _Work(self._batch, self._size.labels(work), self._duration.labels(work))


class _Work(WorkMetrics):
    def __init__(self, batch: Histogram, size: Histogram, duration: Histogram) -> None:
        self._batch, self._size, self._duration = batch, size, duration

    def batch(self, topic: str, records: int) -> None:
        self._batch.labels(topic).observe(records)

    def transaction(self, records: int, duration_s: float) -> None:
        self._size.observe(records)
        self._duration.observe(duration_s)


class _CellWork(WorkMetrics):
    """What the cells tell: their work, and how long they took to catch up."""

    def __init__(self, work: WorkMetrics) -> None:
        self._work = work
        self._rebalanced_at_s = 0.0
        self.recovery_s: float | None = None

    def batch(self, topic: str, records: int) -> None:
        self._work.batch(topic, records)

    def transaction(self, records: int, duration_s: float) -> None:
        self._work.transaction(records, duration_s)

    def rebalancing(self) -> None:
        self._rebalanced_at_s = time.monotonic()

    def caught_up(self) -> None:
        self.recovery_s = time.monotonic() - self._rebalanced_at_s


class ApiMetrics:
    """Answers and their durations, by route and outcome."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._known: dict[tuple[str, str, str], Histogram] = {}
        self._duration = Histogram(
            "exness_api_request_duration_seconds",
            "Time to answer; outcome is the status of a success, else the error's code",
            ["route", "outcome", "via"],
            registry=registry,
            buckets=API_BUCKETS_S,
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Outermost, so that it sees errors as they are answered."""
        begun_s = time.perf_counter()
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._observe(request, str(error.status), begun_s)
            raise
        if not isinstance(response, web.WebSocketResponse):  # whose duration is how long somebody stayed
            self._observe(request, _outcome(response), begun_s)
        return response

    def _observe(self, request: web.Request, outcome: str, begun_s: float) -> None:
        # The route and not the path, which anybody can invent.
        resource = request.match_info.route.resource
        route = "unmatched" if resource is None else resource.canonical
        via = "worker" if PASSED_ON in request else "client"
        labels = (route, outcome, via)
        one = self._known.get(labels)
        if one is None:  # looking it up in the histogram costs as much as observing
            one = self._known[labels] = self._duration.labels(*labels)
        one.observe(time.perf_counter() - begun_s)


class _Failure(msgspec.Struct):
    error: str


_failure_decoder = msgspec.json.Decoder(_Failure)


def _outcome(response: web.StreamResponse) -> str:
    if response.status < 400:
        return str(response.status)
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes | bytearray):
        # The body has it also when another worker gave the answer.
        with suppress(msgspec.MsgspecError):
            return _failure_decoder.decode(body).error
    return str(response.status)


class EngineCollector(Collector):
    """What an engine worker counts in any case."""

    def __init__(self, engine: Engine, work: _CellWork) -> None:
        self._engine = engine
        self._work = work

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("exness_build", "The program", {"version": __version__})
        yield from self._trading()
        yield from self._lags()
        yield from self._market()
        yield from self._membership()
        yield from faust_metrics(self._engine.app)

    def _trading(self) -> Iterator[Metric]:
        cells = self._engine.cells
        counted = cells.counters
        yield counter("exness_positions_opened", "Positions opened, by market and pending orders", counted[OPENED])
        gone = CounterMetricFamily("exness_positions_closed", "Positions closed in full, by reason", labels=["reason"])
        for reason in (*get_args(CloseReason), DROPPED):
            gone.add_metric([reason], counted[closed(reason)])
        yield gone
        yield counter("exness_positions_reduced", "Positions closed in part", counted[REDUCED])
        events = CounterMetricFamily("exness_account_events", "Events of accounts, by type", labels=["type"])
        for kind in get_args(Event):
            events.add_metric([kind.__name__], counted[of_type(kind.__name__)])
        yield events
        yield gauge("exness_triggers_standing", "Triggers that wait for their price", cells.triggers_standing)
        yield counter("exness_journal_records", "Journal records folded", cells.counters["records"])
        ahead = cells.committer.room
        yield gauge("exness_ahead_records", "Journal records folded and not committed yet", ahead.records)
        yield gauge("exness_ahead_bytes", "What is held of them in memory", ahead.size)

    def _lags(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily("exness_journal_lag_records", "Journal records not committed yet", labels=["partition"])
        unfolded = GaugeMetricFamily(
            "exness_journal_unfolded_records", "Journal records not folded yet", labels=["partition"]
        )
        for one in journal_lags(self._engine):
            lag.add_metric([str(one.partition)], one.uncommitted)
            unfolded.add_metric([str(one.partition)], one.unfolded)
        ticks = GaugeMetricFamily("exness_ticks_lag_records", "Ticks not framed yet", labels=["partition"])
        for partition, behind in tick_lags(self._engine):
            ticks.add_metric([str(partition)], behind)
        events = GaugeMetricFamily("exness_events_lag_records", "Events not yet in a history", labels=["partition"])
        for partition, behind in event_lags(self._engine):
            events.add_metric([str(partition)], behind)
        yield from (lag, unfolded, ticks, events)
        lost = self._engine.history.losses
        yield counter("exness_events_passed_over", "Records of the events' topic that are no events", lost.passed_over)
        yield counter("exness_events_missing", "Events that the events' topic has lost", lost.missing)

    def _market(self) -> Iterator[Metric]:
        counted = self._engine.framer.counters
        yield counter("exness_ticks_framed", "Ticks taken into frames", counted["ticks"])
        yield counter("exness_ticks_malformed", "Malformed ticks ignored", counted["malformed"])
        yield counter("exness_ticks_ahead", "Ticks with a time in the future, taken as of now", counted["ahead"])
        faults = CounterMetricFamily("exness_tick_faults", "Faulty ticks, by reason", labels=["reason"])
        for fault in TickFault:
            faults.add_metric([fault.value], self._engine.framer.faults[fault])
        yield faults
        yield counter("exness_frames", "Price frames written", counted["frames"])
        yield from suspension_metrics(self._engine.framer, self._engine.catalogue)
        ignored = CounterMetricFamily(
            "exness_frames_ignored", "Frames whose ticks a cell did not take, by reason", labels=["reason"]
        )
        for reason in IgnoredFrame:
            ignored.add_metric([reason.value], self._engine.cells.frame_drops.counts[reason])
        yield ignored
        deaf = GaugeMetricFamily(
            "exness_cell_deaf_seconds", "For how long a cell has dropped all frames, 0 when not", labels=["partition"]
        )
        for partition in self._engine.cells.partitions:
            deaf.add_metric([str(partition)], self._engine.cells.frame_drops.deaf_s(partition))
        yield deaf
        age = GaugeMetricFamily("exness_quote_age_seconds", "Age of the newest quote in the cells", labels=["symbol"])
        for symbol, quote in list(self._engine.cells.quotes.items()):
            age.add_metric([symbol], time.time() - quote.aged_from_ms / 1000)
        yield age

    def _membership(self) -> Iterator[Metric]:
        engine = self._engine
        yield gauge(
            "exness_settings_differ",
            "1 while deciding settings are not those of the worker that makes the frames",
            bool(engine.settings_fault()),
        )
        is_ready = engine.is_ready and engine.freshness.is_fresh() and not engine.conditions.is_unready
        yield gauge("exness_ready", "1 when requests can be served", is_ready)
        yield gauge(
            "exness_cells_owned", "Partitions of the journal that this worker owns", len(engine.cells.partitions)
        )
        refused = CounterMetricFamily(
            "exness_requests_refused", "Requests refused before a record was written, by reason", labels=["reason"]
        )
        for reason in REFUSED_FOR:
            refused.add_metric([reason], engine.refused[reason])
        yield refused
        yield gauge(
            "exness_oldest_wait_seconds",
            "How long the oldest command has waited for its cell",
            engine.gateway.oldest_wait_s,
        )
        if self._work.recovery_s is not None:
            yield gauge(
                "exness_recovery_duration_seconds",
                "The last recovery: from the rebalance until every acknowledged record was folded",
                self._work.recovery_s,
            )


class CheckpointCollector(Collector):
    """The daily checkpoints of the embedded log."""

    def __init__(self, keeper: CheckpointKeeper) -> None:
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        yield counter("exness_checkpoint_refusals", "Daily checkpoints that an audit refused", self._keeper.refusals)
        is_refused = bool(self._keeper.refused)
        yield gauge("exness_checkpoint_refused", "1 while the last daily checkpoint was refused", is_refused)


class StreamCollector(Collector):
    """The live streams' readers."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "exness_stream_clients", "WebSocket clients, including those of accounts on other workers", len(self._hub)
        )
        sent = CounterMetricFamily("exness_stream_messages", "Messages to WebSocket clients, by type", labels=["type"])
        for kind in STREAM_MESSAGES:
            sent.add_metric([kind], self._hub.counters[kind])
        yield sent
        yield counter(
            "exness_stream_slow_closed", "WebSocket clients closed because they were too slow", self._hub.slow_closed
        )
        yield counter("exness_stream_refused", "WebSocket clients refused for lack of room", self._hub.refused)
        yield counter(
            "exness_stream_displaced",
            "WebSocket clients closed because a newer one of their address needed the room",
            self._hub.displaced,
        )


def faust_metrics(app: Any) -> Iterator[Metric]:
    """Rebalances, and what Faust's own monitor has counted."""
    yield counter("exness_rebalances", "Rebalances of the consumer group seen here", app.rebalancing_count)
    monitor = app.monitor
    for name, meaning in FAUST_COUNTERS.items():
        yield counter(f"faust_{name.removesuffix('_total')}", meaning, getattr(monitor, name))


def counter(name: str, meaning: str, value: float) -> CounterMetricFamily:
    """A counter without labels; its sample gets `_total`."""
    return CounterMetricFamily(name, meaning, value=value)


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, meaning, value=value)


class WorkerMetrics:
    """A worker's registry. `engine` goes into the engine when it is built, which is shown from then on."""

    def __init__(self) -> None:
        self.registry = process_registry()
        work = WorkHistograms(self.registry)
        self._cells = _CellWork(work.of("accounts"))
        self.engine = EngineMetrics(self._cells, work.of("history"), work.of("candles"))

    def show(self, engine: Engine) -> ApiMetrics:
        """Show all of an engine. Returns what measures its API."""
        self.registry.register(EngineCollector(engine, self._cells))
        return ApiMetrics(self.registry)
