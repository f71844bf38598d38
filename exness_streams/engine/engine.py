"""An engine worker: the Faust app with its topics, table and agents. processes/engine_worker.py adds the views."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import faust
from faust.types import TP

from exness_streams.domain.instruments import Catalogue
from exness_streams.engine.candle_reader import CandleReader
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.cells import CellHost
from exness_streams.engine.framer import Framer
from exness_streams.engine.gateway import Gateway
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.loading import Loading
from exness_streams.engine.losses import check_kept
from exness_streams.engine.stalls import StallWatch, standings
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import Settings
from exness_streams.transport.faults import LogFault, TableFault
from exness_streams.transport.faust_environment import NO_ENVIRONMENT, ignored_variables
from exness_streams.transport.faust_mends import refuse_other_faust
from exness_streams.transport.kafka.aiokafka_mends import refuse_other_aiokafka
from exness_streams.transport.recovery import HEARTBEATS, TableManager
from exness_streams.transport.table import BLOCK_CACHE_BYTES, CellTable
from exness_streams.transport.web_server import WebServer

log = logging.getLogger(__name__)

APP_ID = "exness-streams"
DAY_S = 24 * 3600.0
JOURNAL_ON_KAFKA_S = 7 * DAY_S
BODY_BYTES_MAX = 16 * 1024
SMALL_CACHE_BYTES = 8 << 20
"""Of each partition of histories, and of the candles: what is read of them is mostly their newest part."""

STOP_ANSWER_S_MAX = 1.0
"""How long a stop waits for the outcomes of the commands under way."""


class EngineApp(faust.App):  # type: ignore[misc]
    """A Faust app whose agents commit through the cells' own transactions (transport/batching.py)."""

    batched_topics = frozenset({JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, EVENTS_TOPIC})
    self_committed_topics = batched_topics

    rebalanced_at_s = 0.0
    before_stop: Callable[[float], Awaitable[None]] | None = None

    def on_rebalance_start(self) -> None:
        """Faust's; remembers when, on the monotonic clock."""
        self.rebalanced_at_s = time.monotonic()
        super().on_rebalance_start()

    async def on_stop(self) -> None:
        """Faust's; first the clients that wait are answered."""
        if self.before_stop is not None:
            await self.before_stop(0.0 if self.crashed else STOP_ANSWER_S_MAX)
        await super().on_stop()

    def _new_web(self) -> WebServer:
        return WebServer(self)


@dataclass
class Engine:
    """The parts of one worker that views and commands need."""

    settings: Settings
    app: EngineApp
    table: CellTable
    cells: CellHost
    gateway: Gateway
    framer: Framer
    catalogue: Catalogue
    history: HistoryHost
    candles: CandleHost
    candle_reader: CandleReader
    feed_status: Callable[[], dict[str, Any]] = field(default=lambda: {"status": "unknown", "source": "unknown"})

    upkeep_fault: Callable[[], str] = field(default=lambda: "")
    """Why the journal is not trimmed although it should be; empty when it is."""

    @property
    def is_shared(self) -> bool:
        """Whether other workers may have accounts, too."""
        return isinstance(self.settings, KafkaSettings)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served: tables recovered, all that was acknowledged folded, and the log works."""
        return bool(self.app.tables.actives_ready) and self.cells.is_ready and self.fault is None

    @property
    def fault(self) -> LogFault | None:
        """Why the log takes nothing more; the worker is ending then."""
        fault: LogFault | None = self.app.transport.fault
        return fault

    def partition_of(self, account_id: str) -> int:
        """The cell of an account."""
        partition: int = self.app.transport.key_partition(JOURNAL_TOPIC, account_id.encode())
        return partition


def build_engine(settings: Settings) -> Engine:
    """A worker, on Kafka with KafkaSettings, on the embedded log with others. Nothing is opened before app.start()."""
    refuse_other_aiokafka()
    refuse_other_faust()
    if ignored := ignored_variables():
        log.warning("variables of Faust's that change nothing here: %s", ", ".join(ignored))
    settings.tables_dir.mkdir(parents=True, exist_ok=True)
    on = _kafka_settings(settings) if isinstance(settings, KafkaSettings) else _embedded_settings(settings)
    app = EngineApp(APP_ID, **{**NO_ENVIRONMENT, **_faust_settings(settings), **on})
    table: CellTable = app.Table(
        "accounts",
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
        options={"block_cache_size": BLOCK_CACHE_BYTES},
    )

    async def append(partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        sent = await app.producer.send(JOURNAL_TOPIC, account_id.encode(), value, partition, None, None)
        durable: asyncio.Future[object] = asyncio.ensure_future(sent)
        return durable

    gateway = Gateway(append)
    cells = CellHost(table, app.transport.cell_log(JOURNAL_TOPIC), gateway.on_reply)
    catalogue = settings.catalogue()
    frame_log = app.transport.frame_log(MARKET_UPDATES_TOPIC)
    symbols = [terms.symbol for terms in catalogue]
    candles = CandleHost(_small_table(app, "candles", 1), app.transport.cell_log(MARKET_UPDATES_TOPIC), symbols)
    framer = Framer(frame_log, settings.partitions, settings.frame_pace_ms, catalogue, candles)
    history = HistoryHost(_small_table(app, "history", settings.partitions), app.transport.cell_log(EVENTS_TOPIC))

    async def before_stop(answer_s_max: float) -> None:
        await gateway.close(answer_s_max)
        await asyncio.gather(history.close(), candles.close())  # Faust stops the tables before the agents

    app.before_stop = before_stop
    for kept in (table, candles.table, history.table):
        kept.check_kept = partial(check_kept, kept)
        if not isinstance(settings, KafkaSettings):
            kept.lineage = app.transport
    engine = Engine(settings, app, table, cells, gateway, framer, catalogue, history, candles, CandleReader(candles))
    for kept in (table, candles.table, history.table):
        kept.on_fault = partial(_end_with, engine)
    _add_agents(engine)
    return engine


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
        "Table": CellTable,
        "TableManager": TableManager,
        "stream_recovery_delay": 0.0,
        "stream_wait_empty": False,
        "recovery_consistency_check": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "broker_commit_interval": 0.5,
        "canonical_url": settings.own_url,
        "web_bind": settings.host,
        "web_host": settings.host,
        "web_port": settings.port,
        "web_application_options": {"client_max_size": BODY_BYTES_MAX},
        "web_tables_enabled": False,
        "web_router_enabled": False,
    }


def _embedded_settings(settings: Settings) -> dict[str, Any]:
    return {"broker": f"embedded://{settings.log_dir}"}


def _kafka_settings(settings: KafkaSettings) -> dict[str, Any]:
    return {
        "broker": settings.broker_url,
        "broker_credentials": settings.security().credentials(),
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.session_timeout_s / HEARTBEATS,
        "consumer_group_instance_id": settings.worker_name,  # a quick restart needs no rebalance
        "canonical_url": settings.own_url,
        "topic_replication_factor": settings.replication_factor,
        "table_standby_replicas": settings.standby_replicas,
    }


def _topic(app: EngineApp, name: str, partitions: int, retention_s: float | None) -> Any:
    return app.topic(
        name,
        key_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        internal=True,
        config={"retention.ms": -1 if retention_s is None else int(retention_s * 1000)},
    )


def _add_agents(engine: Engine) -> None:
    app, cells, table = engine.app, engine.cells, engine.table
    partitions = engine.settings.partitions
    # On the embedded log the journal is trimmed by checkpoints (audit/checkpoints.py), not by age.
    on_kafka = isinstance(engine.settings, KafkaSettings)
    journal = _topic(app, JOURNAL_TOPIC, partitions, JOURNAL_ON_KAFKA_S if on_kafka else None)
    ticks = _topic(app, MARKET_UPDATES_TOPIC, 1, DAY_S)
    events = _topic(app, EVENTS_TOPIC, partitions, None)

    @app.agent(journal, name="trading", isolated_partitions=True)  # type: ignore[untyped-decorator]
    async def trading(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            await cells.fold(event.message.partition, event.value)
            await manual.ack(event)

    async def drop_cells(_: Any, revoked: set[TP], **__: Any) -> None:
        gone = {tp.partition for tp in revoked if tp.topic == JOURNAL_TOPIC}
        cells.drop(gone)
        engine.gateway.abandon(gone)

    table.on_recover(Loading(app, cells, engine.history, engine.candles).load)
    app.on_partitions_revoked.connect(drop_cells, weak=False)
    _add_market_agent(app, engine.framer, engine.candles, ticks)
    _add_history_agent(app, engine.history, events)
    app.task(StallWatch(lambda: standings(engine), engine.settings.stalled_after_s).run)


def _add_market_agent(app: EngineApp, framer: Framer, candles: CandleHost, ticks: Any) -> None:
    @app.agent(ticks, name="market")  # type: ignore[untyped-decorator]
    async def market(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            await framer.frame(event.message.partition, event.value)
            await manual.ack(event)

    @app.task  # type: ignore[untyped-decorator]
    async def keep_candles() -> None:
        try:
            await candles.run()
        except Exception as error:
            await app.crash(error)

    async def drop_ticks(_: Any, revoked: set[TP], **__: Any) -> None:
        if any(tp.topic == MARKET_UPDATES_TOPIC for tp in revoked):
            framer.drop()
            candles.drop()

    app.on_partitions_revoked.connect(drop_ticks, weak=False)


def _add_history_agent(app: EngineApp, histories: HistoryHost, events: Any) -> None:
    @app.agent(events, name="history", isolated_partitions=True)  # type: ignore[untyped-decorator]
    async def history(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            await histories.fold(event.message.partition, event.value)
            await manual.ack(event)

    @app.task  # type: ignore[untyped-decorator]
    async def watch_histories() -> None:
        try:
            await histories.run()
        except Exception as error:
            await app.crash(error)

    async def drop_histories(_: Any, revoked: set[TP], **__: Any) -> None:
        histories.drop({tp.partition for tp in revoked if tp.topic == EVENTS_TOPIC})

    app.on_partitions_revoked.connect(drop_histories, weak=False)
