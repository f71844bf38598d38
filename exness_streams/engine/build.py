"""How an engine worker is put together: Faust's settings, tables, hosts, agents. processes/ adds views and feeds."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from exness_streams.domain.codec import META_KEY
from exness_streams.engine.agents import add_agents
from exness_streams.engine.ahead import Bounds
from exness_streams.engine.candle_reader import CandleReader
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.cells import CellHost
from exness_streams.engine.engine import APP_ID, Engine, EngineApp
from exness_streams.engine.framer import Framer, epoch_ms, nothing_known, nothing_told
from exness_streams.engine.framer_state import seen_by
from exness_streams.engine.gateway import Gateway
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.kept_markets import KeptMarkets
from exness_streams.engine.known_rules import KnownRules
from exness_streams.engine.losses import check_kept
from exness_streams.engine.market_board import MarketBoard
from exness_streams.engine.passed_over import PassedOver
from exness_streams.engine.settings_watch import SettingsWatch
from exness_streams.engine.work_metrics import EngineMetrics
from exness_streams.settings.deciding import deciding_digest
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import Settings
from exness_streams.settings.topic_prefix import claim_prefix
from exness_streams.transport.agent import Agent
from exness_streams.transport.faults import Misconfigured, TableFault
from exness_streams.transport.faust_environment import NO_ENVIRONMENT, ignored_variables
from exness_streams.transport.faust_mends import refuse_other_faust
from exness_streams.transport.kafka.aiokafka_mends import refuse_other_aiokafka
from exness_streams.transport.kafka.assignor import NamedAssignor
from exness_streams.transport.leases import CellLog
from exness_streams.transport.recovery import HEARTBEATS, TableManager
from exness_streams.transport.table import BLOCK_CACHE_BYTES, CellTable
from exness_streams.transport.table_store import clear_the_way

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 16 * 1024
UNFLUSHED_BYTES = 16 << 20
"""Of each partition of accounts. RocksDB would gather 64 MB, and twice that while it writes: memory that only grows for
the first hours looks like a leak, and is read again from its log at each start."""

SMALL_CACHE_BYTES = 8 << 20
"""Of each partition of histories, and of the candles: what is read of them is mostly their newest part."""


def build_engine(settings: Settings, metrics: EngineMetrics | None = None) -> Engine:
    """A worker, on Kafka with KafkaSettings, on the embedded log with others. Nothing is opened before app.start()."""
    metrics = metrics or EngineMetrics()
    refuse_other_aiokafka()
    refuse_other_faust()
    if ignored := ignored_variables():
        log.warning("ignored environment variables of Faust: %s", ", ".join(ignored))
    on = _kafka_settings(settings) if isinstance(settings, KafkaSettings) else _embedded_settings(settings)
    if isinstance(settings, KafkaSettings):
        claim_prefix(settings.data_dir, settings.topic_prefix)
    topics = settings.topics
    app = EngineApp(settings.named(APP_ID), **{**NO_ENVIRONMENT, **_faust_settings(settings), **on})
    app.named_topics = topics
    app.metrics = metrics.accounts
    if not isinstance(settings, KafkaSettings):
        clear_the_way(Path(app.conf.tabledir), beneath=settings.tables_dir)
    settings.tables_dir.mkdir(parents=True, exist_ok=True)
    table: CellTable = app.Table(
        "accounts",
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
        options={"block_cache_size": BLOCK_CACHE_BYTES, "write_buffer_size": UNFLUSHED_BYTES},
    )

    async def append(partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        sent = await app.producer.send(topics.journal, account_id.encode(), value, partition, None, None)
        durable: asyncio.Future[object] = asyncio.ensure_future(sent)
        return durable

    gateway = Gateway(append, is_fresh=app.transport.freshness.is_fresh)
    logs = {topic: app.transport.cell_log(topic) for topic in topics}
    cells = _cells(settings, app, table, gateway, metrics)
    catalogue = settings.catalogue()
    kept_candles, kept_history = _small_table(app, "candles", 1), _small_table(app, "history", settings.partitions)
    candles = _candles(settings, kept_candles, logs[topics.market_updates], metrics)
    markets = _markets(settings, cells, candles)
    framer, watch = _framer(settings, app, cells, candles, markets, metrics)
    history = HistoryHost(kept_history, logs[topics.events], topic=topics.events, metrics=metrics.history)
    cells.tell(history)

    async def before_stop(answer_s_max: float) -> None:
        await gateway.close(answer_s_max)
        # Faust stops the tables before the agents.
        await asyncio.gather(cells.close(), history.close(), candles.close())

    app.before_stop = before_stop
    for kept in (table, candles.table, history.table):
        kept.check_kept = partial(check_kept, kept)
        if not isinstance(settings, KafkaSettings):
            kept.lineage = app.transport
    reader = CandleReader(candles)
    engine = Engine(settings, app, table, cells, gateway, framer, catalogue, history, candles, reader, markets)
    engine.settings_fault = lambda: watch.reason
    for kept in (table, candles.table, history.table):
        kept.on_fault = partial(_end_with, engine)
    add_agents(engine)
    return engine


def _cells(settings: Settings, app: EngineApp, table: CellTable, gateway: Gateway, metrics: EngineMetrics) -> CellHost:
    """The host of cells. Where their journal does not go on, it reads what operators have written about that."""
    topics = settings.topics
    bounds = Bounds(settings.ahead_records, settings.ahead_mb << 20, settings.ahead_worker_mb << 20)
    cell_log = app.transport.cell_log(topics.journal)
    cells = CellHost(table, cell_log, gateway.on_reply, topics=topics, metrics=metrics.accounts, bounds=bounds)

    async def search(partition: int, offset: int, is_wanted: Callable[[bytes | None], bool]) -> bytes | None:
        value: bytes | None = await app.transport.first_value(topics.journal, partition, offset, is_wanted)
        return value

    cells.passed_over = PassedOver(search)
    return cells


def _candles(settings: Settings, table: CellTable, cell_log: CellLog, metrics: EngineMetrics) -> CandleHost:
    """The candles of what is on offer, and the price guard, also of what is not any more: positions may stand there."""
    bands, of_others = settings.price_bands(), settings.price_band
    return CandleHost(table, cell_log, settings.instruments, bands=bands, band=of_others, metrics=metrics.candles)


def _markets(settings: Settings, cells: CellHost, candles: CandleHost) -> KeptMarkets:
    """Which markets are not open, for while the ticks are this worker's."""
    board = MarketBoard(
        candles.symbols, clock_ms=epoch_ms, suspended=lambda: candles.guard.suspended, standing=cells.standing
    )
    is_shared = isinstance(settings, KafkaSettings)
    return KeptMarkets(board, candles, candles.price, seen=lambda: cells.markets, is_shared=is_shared)


def _framer(
    settings: Settings,
    app: EngineApp,
    cells: CellHost,
    candles: CandleHost,
    markets: KeptMarkets,
    metrics: EngineMetrics,
) -> tuple[Framer, SettingsWatch]:
    """The framer, and who holds the settings that it tells against this worker's."""
    topics, partitions, digest = settings.topics, settings.partitions, deciding_digest(settings)
    watch = SettingsWatch(digest)
    cells.on_frame = watch.take
    changelog = cells.table.changelog_name

    async def metas() -> dict[int, bytes | None]:
        found: dict[int, bytes | None] = await app.transport.newest_of_key(changelog, partitions, META_KEY)
        return found

    is_shared = isinstance(settings, KafkaSettings)
    known = KnownRules(metas, partitions)
    framer = Framer(
        app.transport.frame_log(topics.market_updates),
        partitions,
        settings.frame_pace_ms,
        candles,
        settings.catalogue(),
        topics=topics,
        metrics=metrics.candles,
        settings=digest,
        markets=markets.told,
        board=markets,
        seen=lambda: seen_by(cells.all_cells(), partitions),
        told=known.seen if is_shared else nothing_told,
        rules=known.look if is_shared else nothing_known,
    )
    return framer, watch


def _end_with(engine: Engine, fault: TableFault) -> None:
    """A table's files fail: whoever asked may be a client, so the worker ends. While they are loaded, the loading does
    what there is to do."""
    if engine.is_ready:
        crashing = asyncio.ensure_future(engine.app.crash(fault))
        crashing.add_done_callback(lambda done: done.exception())


def _small_table(app: EngineApp, name: str, partitions: int) -> CellTable:
    table: CellTable = app.Table(
        name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        options={"block_cache_size": SMALL_CACHE_BYTES, "write_buffer_size": SMALL_CACHE_BYTES},
    )
    return table


def _faust_settings(settings: Settings) -> dict[str, Any]:
    return {
        "store": "rocksdb://",
        "datadir": str(settings.tables_dir),
        "topic_partitions": settings.partitions,
        "topic_disable_leader": True,
        "producer_acks": -1,
        "producer_linger_ms": 0,
        "agent_supervisor": "mode.CrashingSupervisor",
        "Agent": Agent,
        "Table": CellTable,
        "TableManager": TableManager,
        "stream_recovery_delay": 0.0,
        "stream_wait_empty": False,
        "recovery_consistency_check": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "broker_commit_interval": 0.5,
        "PartitionAssignor": NamedAssignor,
        "canonical_url": settings.own_url,
        "web_bind": settings.host,
        "web_host": settings.host,
        "web_port": settings.port,
        "web_ssl_context": settings.server_tls(),
        "HttpClient": partial(_http_client, settings),
        "web_application_options": {"client_max_size": BODY_BYTES_MAX},
        "web_tables_enabled": False,
        "web_router_enabled": False,
    }


def _http_client(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=settings.client_tls()))


def _embedded_settings(settings: Settings) -> dict[str, Any]:
    return {"broker": f"embedded://{settings.log_dir}"}


def _kafka_settings(settings: KafkaSettings) -> dict[str, Any]:
    if not settings.advertised_url and settings.host in ("0.0.0.0", "::"):  # nosec B104 - compared
        raise Misconfigured(
            f"EXNESS_HOST={settings.host} is no address under which other workers reach this one: set "
            f"EXNESS_ADVERTISED_URL to one, such as {settings.scheme}://{socket.gethostname()}:{settings.port}"
        )
    return {
        "broker": settings.broker_url,
        "broker_credentials": settings.security().credentials(),
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.session_timeout_s / HEARTBEATS,
        "consumer_group_instance_id": settings.worker_name,  # a quick restart needs no rebalance
        "PartitionAssignor": NamedAssignor,
        "canonical_url": settings.own_url,
        "topic_replication_factor": settings.replication_factor,
        "table_standby_replicas": settings.standby_replicas,
    }
