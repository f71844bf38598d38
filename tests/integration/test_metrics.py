"""GET /metrics: its form, its names, and that its values are what happened."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from platform_harness import CLOSE, OPEN, STATE, PlatformThread, until
from ports import free_port
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from exness_streams.api.access.caller import PASSED_ON
from exness_streams.api.metrics import ApiMetrics, WorkHistograms, process_registry
from exness_streams.market_data.backpack import Ticker, parse
from exness_streams.market_data.feed import FeedCounters, FeedStatus, OnMessage, StatusObserver
from exness_streams.market_data.service import MarketDataService
from exness_streams.messages import MarketDataMessage
from exness_streams.processes.market_data_metrics import FeedCollector, metrics_served
from exness_streams.processes.market_data_worker import MarketDataWorker
from exness_streams.settings.kafka import KafkaSettings, load_kafka_settings
from exness_streams.transport.faults import LogFault
from exness_streams.transport.freshness import real_time_s
from exness_streams.transport.web_server import Site

METRICS = "/metrics"
BASE_UNITS = ("_seconds", "_bytes", "_records", "_ratio")
COUNTED = ("exness_cells_owned", "exness_triggers_standing", "exness_feed_silent_symbols", "exness_stream_clients",
           "exness_connections", "exness_connections_max")  # fmt: skip
FLAGS = (
    "exness_ready",
    "exness_settings_differ",
    "exness_market_suspended",
    "exness_feed_connected",
    "exness_feed_leader",
    "exness_build_info",
    "exness_checkpoint_refused",
)

Labels = Mapping[str, str]


class Scrape:
    """One answer, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(parse_text(text))
        self.samples: list[Sample] = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the samples with these labels; 0 when there are none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def has(self, name: str, /, **labels: str) -> bool:
        return any(s.name == name and labels.items() <= s.labels.items() for s in self.samples)

    @property
    def ours(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.name.startswith("exness_")]


def check_names(scrape: Scrape) -> None:
    """Prometheus' rules: prefix, base unit last, `_total` on counters and on nothing else."""
    for family in scrape.families:
        prefix = family.name.split("_")[0]
        assert prefix in {"exness", "faust", "process", "python"}, family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert not family.name.endswith("_created"), family.name
        if prefix != "exness":
            continue
        assert family.documentation, family.name
        assert "_ms" not in family.name, family.name
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total"}, family.name
        elif family.type == "histogram":
            assert family.name.endswith(BASE_UNITS), family.name
        else:
            assert family.type == "gauge", family.name
            assert not family.name.endswith("_total"), family.name
            assert family.name.endswith(BASE_UNITS) or family.name in COUNTED + FLAGS, family.name


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), partitions=2)
    try:
        yield thread.start()
    finally:
        thread.stop()


def scraped(platform: PlatformThread) -> Scrape:
    reply = platform.get(METRICS)
    assert reply.status == 200
    return Scrape(reply.body.decode())


def risen(platform: PlatformThread, before: Scrape, name: str, by: float, **labels: str) -> None:
    """Wait until a value is `by` more than before: counting follows the commit, which follows the answer."""
    wanted = before.value(name, **labels) + by
    until(lambda: scraped(platform).value(name, **labels) >= wanted)
    assert scraped(platform).value(name, **labels) == wanted


def order(**fields: Any) -> dict[str, Any]:
    return {"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2} | fields


def test_the_form_is_prometheus_text(platform: PlatformThread) -> None:
    reply = platform.get(METRICS)
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.body.endswith(b"\n")
    check_names(Scrape(reply.body.decode()))


def test_open_metrics_when_it_is_asked_for(platform: PlatformThread) -> None:
    reply = platform.send("GET", METRICS, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert any(family.name == "exness_positions_opened" for family in parse_openmetrics(reply.body.decode()))


def test_orders_move_what_counts_them(platform: PlatformThread) -> None:
    before = scraped(platform)
    opened = platform.post(OPEN, order(), "mover")
    assert opened.status == 201
    risen(platform, before, "exness_positions_opened_total", 1)
    risen(platform, before, "exness_triggers_standing", 1)
    risen(platform, before, "exness_api_request_duration_seconds_count", 1, route=OPEN, outcome="201", via="client")
    position_id = opened.json["positionId"]
    assert platform.post(CLOSE, {"positionId": position_id}, "mover").status == 200
    risen(platform, before, "exness_positions_closed_total", 1, reason="manual")
    risen(platform, before, "exness_triggers_standing", 0)
    risen(platform, before, "exness_api_request_duration_seconds_count", 1, route=CLOSE, outcome="200")
    after = scraped(platform)
    for grown in ("exness_transaction_duration_seconds", "exness_transaction_records", "exness_batch_records"):
        assert after.value(f"{grown}_count") > before.value(f"{grown}_count"), grown
    written = "exness_transaction_records_count"
    for work in ("accounts", "history"):
        until(lambda work=work: scraped(platform).value(written, work=work) > before.value(written, work=work))
    assert after.has("exness_batch_records_count", topic="trading-events")
    assert after.value("exness_journal_records_total") >= before.value("exness_journal_records_total") + 2
    assert after.value("exness_positions_closed_total", reason="liquidation") == before.value(
        "exness_positions_closed_total", reason="liquidation"
    )


POSITIONS = ("exness_positions_opened_total", "exness_positions_closed_total", "exness_positions_reduced_total")


def test_each_kind_of_request_moves_its_own_counters(platform: PlatformThread) -> None:
    """type of event -> what the counters of positions move by; the last of a request's events is waited for."""
    position = ""
    far = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2, "kind": "limit", "price": 50}
    steps: list[tuple[str, dict[str, Any], str, tuple[int, int, int]]] = [
        ("/api/v1/account/deposit", {"amount": 5}, "Deposited", (0, 0, 0)),
        ("/api/v1/orders/place", far, "OrderPlaced", (0, 0, 0)),
        (OPEN, order(margin=100), "PositionOpened", (1, 0, 0)),
        ("/api/v1/positions/modify", {"positionId": "", "stopLoss": 100}, "PositionModified", (0, 0, 0)),
        (CLOSE, {"positionId": "", "percentage": 50}, "PositionClosed", (0, 0, 1)),
        (CLOSE, {"positionId": ""}, "PositionClosed", (0, 1, 0)),
        (OPEN, order(margin=100), "PositionOpened", (1, 0, 0)),
        ("/api/v1/account/reset", {"confirm": "RESET"}, "AccountReset", (0, 1, 0)),
    ]
    for path, body, kind, moved in steps:
        before = scraped(platform)
        if "positionId" in body:
            body = body | {"positionId": position}
        answer = platform.post(path, body, "kinds")
        assert answer.status in (200, 201), answer
        position = answer.json.get("positionId") or position
        risen(platform, before, "exness_account_events_total", 1, type=kind)
        risen(platform, before, "exness_account_events_total", 1)
        for name, by in zip(POSITIONS, moved, strict=True):
            risen(platform, before, name, by)


def test_a_liquidation_counts_as_one(platform: PlatformThread) -> None:
    before = scraped(platform)
    platform.set_price("SOL_USDC", "150.00", "150.10")
    assert platform.post(OPEN, order(leverage=10), "liquidated").status == 201
    platform.set_price("SOL_USDC", "120.00", "120.10")
    risen(platform, before, "exness_positions_closed_total", 1, reason="liquidation")
    risen(platform, before, "exness_positions_closed_total", 0, reason="manual")
    platform.set_price("SOL_USDC", "150.00", "150.10")


@pytest.mark.parametrize(
    ("method", "path", "body", "route", "outcome"),
    [
        ("POST", OPEN, {"asset": "SOL"}, OPEN, "INVALID_REQUEST"),
        ("POST", OPEN, order(asset="DOGE"), OPEN, "UNKNOWN_ASSET"),
        ("POST", CLOSE, {"positionId": "none"}, CLOSE, "POSITION_NOT_FOUND"),
        ("GET", "/no/such/path", None, "unmatched", "NOT_FOUND"),
        ("GET", OPEN, None, "unmatched", "METHOD_NOT_ALLOWED"),
        ("GET", STATE, None, STATE, "200"),
    ],
)
def test_an_answer_is_counted_by_its_outcome(
    platform: PlatformThread, method: str, path: str, body: Any, route: str, outcome: str
) -> None:
    before = scraped(platform)
    _ = platform.post(path, body) if method == "POST" else platform.get(path)
    risen(platform, before, "exness_api_request_duration_seconds_count", 1, route=route, outcome=outcome)


def test_nobody_passes_for_a_worker_where_there_is_no_other(platform: PlatformThread) -> None:
    before = scraped(platform)
    platform.send("GET", STATE, headers={"X-Exness-Forwarded": "1"})
    risen(platform, before, "exness_api_request_duration_seconds_count", 1, route=STATE, via="client")
    risen(platform, before, "exness_api_request_duration_seconds_count", 0, route=STATE, via="worker")


@pytest.mark.parametrize("via", ["worker", "client"])
async def test_a_request_that_a_worker_passed_on_is_not_a_clients(via: str) -> None:
    registry, request = CollectorRegistry(), make_mocked_request("GET", "/")
    if via == "worker":
        request[PASSED_ON] = {"m": "GET"}

    async def view(request: web.Request) -> web.Response:
        return web.Response(text="seen")

    await ApiMetrics(registry).middleware(request, view)
    counted = [sample for family in registry.collect() for sample in family.samples if sample.name.endswith("_count")]
    assert [(sample.labels["via"], sample.value) for sample in counted] == [(via, 1)]


def test_no_account_and_no_path_of_a_client_is_shown(platform: PlatformThread) -> None:
    account = "very-particular-account"
    opened = platform.post(OPEN, order(), account)
    platform.post(OPEN, order(margin=10**9), account)
    platform.get("/very-particular-path/" + account)
    text = scraped(platform).text
    assert account not in text
    assert opened.json["positionId"] not in text
    assert "very-particular-path" not in text


def test_what_a_worker_says_of_itself(platform: PlatformThread) -> None:
    scrape = scraped(platform)
    assert scrape.value("exness_ready") == 1
    assert scrape.value("exness_cells_owned") == 2
    assert scrape.value("exness_rebalances_total") == 1
    assert scrape.value("exness_recovery_duration_seconds") > 0
    assert scrape.value("faust_messages_received_total") > 0
    assert scrape.value("process_resident_memory_bytes") > 0
    assert scrape.has("exness_build_info")
    for partition in ("0", "1"):
        assert scrape.has("exness_journal_unfolded_records", partition=partition)
    # Quotes alone are committed once a second, so the lag swings; nothing waits to be folded for long.
    assert scrape.has("exness_journal_lag_records", partition="1")
    until(lambda: scraped(platform).value("exness_journal_unfolded_records") == 0)
    until(lambda: scraped(platform).value("exness_ticks_lag_records") == 0)
    assert scraped(platform).has("exness_ticks_lag_records", partition="0")


def test_lag_is_seen_while_a_cell_does_not_fold(platform: PlatformThread) -> None:
    assert platform.platform is not None
    cells = platform.platform.engine.cells
    partition = platform.call(platform.platform.engine.partition_of, "demo")
    held = platform.call(cells.cell, partition)
    until(lambda: scraped(platform).value("exness_journal_unfolded_records") == 0)
    assert platform.run(_lag_of(platform, held, 3)) >= 3


async def _lag_of(platform: PlatformThread, cell: Any, behind: int) -> float:
    """What is shown of a cell that is held back for one step of the event loop."""
    assert platform.platform is not None
    kept, cell.next_offset = cell.next_offset, cell.next_offset - behind
    try:
        scrape = Scrape(generate_latest(platform.platform.metrics).decode())
    finally:
        cell.next_offset = kept
    return scrape.value("exness_journal_unfolded_records", partition=str(cell.partition))


def test_the_feed_of_the_platform(platform: PlatformThread) -> None:
    before = scraped(platform)
    platform.set_price("SOL_USDC", "151.00", "151.10")
    until(lambda: scraped(platform).value("exness_feed_ticks_total") > before.value("exness_feed_ticks_total"))
    scrape = scraped(platform)
    assert scrape.value("exness_feed_connected") == 1
    assert scrape.has("exness_feed_ticks_total", symbol="SOL_USDC")
    assert scrape.has("exness_feed_last_tick_age_seconds")
    assert scrape.has("exness_quote_age_seconds", symbol="SOL_USDC")
    assert scrape.value("exness_ticks_framed_total") > 0
    assert scrape.value("exness_frames_total") > 0
    platform.set_price("SOL_USDC", "150.00", "150.10")


def test_registries_do_not_meet() -> None:
    first, second = process_registry(), process_registry()
    FeedOnly(first)
    assert b"exness_feed" in generate_latest(first)
    assert b"exness_feed" not in generate_latest(second)


class SilentFeed:
    """A feed that says what a test tells it to."""

    def __init__(self) -> None:
        self.counters = FeedCounters()
        self.status = FeedStatus.DISCONNECTED
        self.silent_symbols: frozenset[str] = frozenset()
        self.skew_ms = self.lasting_skew_ms = 0
        self.on_message: OnMessage | None = None

    def observe(self, observer: StatusObserver) -> None:
        pass

    async def run(self, on_message: OnMessage) -> None:
        self.on_message = on_message
        await asyncio.Event().wait()


class NoLog:
    """Publishes to nobody."""

    def publish(self, message: MarketDataMessage) -> None:
        pass

    async def last_sequences(self) -> Mapping[str, int]:
        return {}


class FeedOnly:
    """A market data service in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.feed = SilentFeed()
        self.service = MarketDataService(self.feed, NoLog())
        self._registry = registry
        registry.register(FeedCollector(self.service))

    def scrape(self) -> Scrape:
        return Scrape(generate_latest(self._registry).decode())


TICKER = b'{"stream":"ticker.SOL_USDC","data":{"e":"ticker","E":1790134357267074,"s":"SOL_USDC","c":"150","v":"7"}}'


async def test_market_data_before_and_after_a_tick() -> None:
    feed_only = FeedOnly(CollectorRegistry())
    before = feed_only.scrape()
    check_names(before)
    assert before.value("exness_feed_connected") == 0
    assert not before.has("exness_feed_last_tick_age_seconds"), "there is no tick to have an age"

    running = asyncio.create_task(feed_only.service.run())
    await asyncio.sleep(0)
    feed = feed_only.feed
    message = parse(TICKER)
    assert isinstance(message, Ticker)
    assert feed.on_message is not None
    feed.on_message(message)
    feed.status = FeedStatus.CONNECTED
    feed.counters.connections, feed.counters.failed_attempts, feed.skew_ms = 3, 5, 250
    feed.counters.ignored["bad_price"] = 2
    feed.counters.errors["4006"] = 1
    after = feed_only.scrape()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    check_names(after)
    assert after.value("exness_feed_connected") == 1
    assert after.value("exness_feed_ticks_total", symbol="SOL_USDC") == 1
    assert after.value("exness_feed_reconnects_total") == 2
    assert after.value("exness_feed_failed_attempts_total") == 5
    assert after.value("exness_feed_ignored_total", reason="bad_price") == 2
    assert after.value("exness_feed_errors_total", code="4006") == 1
    assert after.value("exness_feed_skew_seconds") == 0.25
    assert after.has("exness_feed_last_tick_age_seconds")


@pytest.fixture
def kafka_settings(tmp_path: Path) -> KafkaSettings:
    return load_kafka_settings(data_dir=tmp_path, port=free_port())


async def test_the_web_server_of_a_market_data_process(kafka_settings: KafkaSettings) -> None:
    registry = process_registry()
    worker = MarketDataWorker(kafka_settings, WorkHistograms(registry).of("ticks"))
    url = f"http://127.0.0.1:{kafka_settings.port}"
    async with metrics_served(worker, registry), aiohttp.ClientSession(url) as client:
        async with client.get("/livez") as alive:
            assert alive.status == 200
        async with client.get("/readyz") as alone:
            assert alone.status == 503
            assert alone.headers["Retry-After"] == "1"
            assert (await alone.json())["reasons"]
        await worker._on_assigned()
        async with client.get("/readyz") as unheard:
            assert unheard.status == 503
            assert "have not confirmed" in (await unheard.json())["reasons"][0]
        worker.app.transport.freshness.confirmed(real_time_s())
        async with client.get("/readyz") as standby:
            assert standby.status == 200
            answer = await standby.json()
            assert (answer["status"], answer["role"]) == ("ok", "standby")
        worker.leads.set()
        async with client.get("/readyz") as leader:
            answer = await leader.json()
            assert (leader.status, answer["status"], answer["role"]) == (200, "degraded", "leader")
            assert answer["reasons"] == ["the feed of prices is disconnected"]
        true_feed, fake = worker.feed, SilentFeed()
        fake.status, fake.silent_symbols = FeedStatus.CONNECTED, frozenset({"SOL_USDC", "ETH_USDC"})
        worker.feed = fake  # type: ignore[assignment]
        async with client.get("/readyz") as leader:
            answer = await leader.json()
            assert (leader.status, answer["status"]) == (200, "degraded")
            assert answer["reasons"] == ["ETH_USDC, SOL_USDC: the exchange sends no prices"]
        fake.silent_symbols = frozenset()
        for skew_ms, status, side in ((-60_000, 503, "60.0 s behind"), (60_000, 200, "60.0 s ahead of")):
            fake.lasting_skew_ms = skew_ms
            async with client.get("/readyz") as leader:
                assert leader.status == status
                assert side in (await leader.json())["reasons"][0]
        worker.feed = true_feed
        worker.publisher._metrics.transaction(7, 0.25)
        async with client.get(METRICS) as metrics:
            scrape = Scrape(await metrics.text())
    check_names(scrape)
    assert scrape.value("exness_feed_leader") == 1
    assert scrape.value("exness_feed_connected") == 0
    assert scrape.value("exness_ready") == 1
    assert scrape.value("exness_transaction_records_sum", work="ticks") == 7
    assert scrape.has("exness_rebalances_total")
    await worker._on_revoked()
    assert not worker.joined.is_set()


@pytest.mark.parametrize(
    ("leads", "stopped_s_ago", "published_s_ago", "waits_s", "unready"),
    [
        (False, None, None, None, ""),
        (False, 1.0, None, 60.0, ""),  # it stands by: another process publishes
        (True, None, None, None, ""),
        (True, None, None, 4.0, ""),
        (True, None, 60.0, 6.0, "no update could be published for 6 s"),
        (True, 1.0, None, None, "ingesting has stopped and resumes when Kafka answers: not allowed"),
        (True, 1.0, 9.0, None, "ingesting has stopped and resumes when Kafka answers: not allowed"),
        (True, 9.0, 1.0, 0.0, ""),
    ],
)
async def test_a_market_data_process_is_ready_while_what_it_hears_gets_through(
    kafka_settings: KafkaSettings,
    leads: bool,
    stopped_s_ago: float | None,
    published_s_ago: float | None,
    waits_s: float | None,
    unready: str,
) -> None:
    worker, now_s = MarketDataWorker(kafka_settings), time.monotonic()
    await worker._on_assigned()
    worker.app.transport.freshness.confirmed(real_time_s())
    if leads:
        worker.leads.set()
    if stopped_s_ago is not None:
        worker.stopped_for, worker._failed_at_s = "not allowed", now_s - stopped_s_ago
    if published_s_ago is not None:
        worker.publisher.published_at_s = now_s - published_s_ago
    worker.publisher._since_s = None if waits_s is None else now_s - waits_s
    assert worker.unready == unready
    worker.app.transport.freshness._until_s = 0.0
    assert "have not confirmed" in worker.unready


async def test_a_stranger_gets_no_further_there_than_at_an_engine(kafka_settings: KafkaSettings) -> None:
    async with metrics_served(MarketDataWorker(kafka_settings), process_registry()):
        for head, status in (
            ("GET /livez HTTP/1.1\r\nHost: evil.example", 421),
            ("GET http://127.0.0.2/livez HTTP/1.1\r\nHost: 127.0.0.1", 421),
            ("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 2", 405),
            ("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: x", 417),
            ("GARBAGE", 400),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", kafka_settings.port)
            body = "{}" if "Content-Length" in head else ""
            writer.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            told = answer.partition(b"\r\n\r\n")[2]
            assert int(answer.split()[1]) == status, answer
            assert json.JSONDecoder().raw_decode(told.decode())[0]["error"]


async def test_a_server_that_listens_elsewhere_than_meant_is_ended(
    kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(self: web.TCPSite) -> None:
        await web.SockSite(self._runner, socket.create_server(("0.0.0.0", 0))).start()

    monkeypatch.setattr(Site, "start", start)
    with pytest.raises(LogFault, match=r"listens on 0\.0\.0\.0"):
        async with metrics_served(MarketDataWorker(kafka_settings), process_registry()):
            raise AssertionError("it is open to the network")


async def test_a_port_in_use_is_said(kafka_settings: KafkaSettings) -> None:
    async with metrics_served(MarketDataWorker(kafka_settings), process_registry()):
        with pytest.raises(OSError, match="in use"):
            async with metrics_served(MarketDataWorker(kafka_settings), process_registry()):
                raise AssertionError("both serve on one port")
