"""The topics and agents of an engine worker, and what it does when partitions come and go."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from faust.types import TP

from exness_streams.engine.cell_conditions import LOOK_S
from exness_streams.engine.clock_watch import ClockWatch
from exness_streams.engine.engine import Engine, EngineApp
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.loading import Loading
from exness_streams.engine.stalls import StallWatch, standings
from exness_streams.engine.table_watch import watch_tables
from exness_streams.settings.kafka import KafkaSettings

log = logging.getLogger(__name__)

DAY_S = 24 * 3600.0
JOURNAL_ON_KAFKA_S = 7 * DAY_S


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


def add_agents(engine: Engine) -> None:
    """Declare the topics and add the agents; what they work with is the engine's."""
    app, cells, table = engine.app, engine.cells, engine.table
    partitions, topics = engine.settings.partitions, engine.topics
    # On the embedded log the journal is trimmed by checkpoints (audit/checkpoints.py), not by age.
    on_kafka = isinstance(engine.settings, KafkaSettings)
    journal = _topic(app, topics.journal, partitions, JOURNAL_ON_KAFKA_S if on_kafka else None)
    ticks = _topic(app, topics.market_updates, 1, DAY_S)
    events = _topic(app, topics.events, partitions, None)

    @app.agent(journal, name="trading", isolated_partitions=True)  # type: ignore[untyped-decorator]
    async def trading(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            await cells.fold(event.message.partition, event.value)
            await manual.ack(event)

    @app.task  # type: ignore[untyped-decorator]
    async def watch_cells() -> None:
        try:
            await cells.run()
        except Exception as error:
            await app.crash(error)

    async def take_leases(_: Any, assigned: set[TP], **__: Any) -> None:
        engine.gateway.abandon(cells.take_leases())

    table.on_recover(Loading(app, cells, engine.history, engine.candles, engine.settings.checkpoints_dir).load)
    app.on_partitions_assigned.connect(take_leases, weak=False)
    _add_market_agent(engine, ticks)
    _add_history_agent(app, engine.history, events)
    if table.lineage is not None:
        app.task(partial(watch_tables, app, (table, engine.candles.table, engine.history.table)))

    @app.task  # type: ignore[untyped-decorator]
    async def watch_conditions() -> None:
        while not app.should_stop:
            engine.conditions.look()  # for since when
            await asyncio.sleep(LOOK_S)

    app.task(ClockWatch(engine.clock_fault).run)
    app.task(StallWatch(lambda: standings(engine), engine.settings.stalled_after_s).run)


def _add_market_agent(engine: Engine, ticks: Any) -> None:
    app, framer, candles = engine.app, engine.framer, engine.candles

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

    @app.task  # type: ignore[untyped-decorator]
    async def keep_markets() -> None:
        try:
            await engine.markets.run()
        except Exception as error:
            await app.crash(error)

    @app.task  # type: ignore[untyped-decorator]
    async def tell_the_time() -> None:
        try:
            await framer.run()
        except Exception as error:
            await app.crash(error)

    async def drop_ticks(_: Any, revoked: set[TP], **__: Any) -> None:
        if any(tp.topic == app.named_topics.market_updates for tp in revoked):
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

    async def drop_lost(_: Any, assigned: set[TP], **__: Any) -> None:
        histories.drop_lost()

    app.on_partitions_assigned.connect(drop_lost, weak=False)
