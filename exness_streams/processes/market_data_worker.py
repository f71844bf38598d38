"""The market data service on Kafka: of several processes one ingests, the others stand by.

Faust elects the leader. The leader's updates go out in transactions under one transactional id: taking over
fences the former leader at the brokers, so one that was paused and wakes up publishes nothing, and sequence
numbers of a symbol only grow in the topic.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from exness_streams.domain.outside_text import without_secrets
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.market_data.exchange_states import ExchangeStates
from exness_streams.market_data.feed import BackpackFeed
from exness_streams.market_data.looks import looking_at
from exness_streams.market_data.rest import BackpackRest
from exness_streams.market_data.resuming import newest_sequences
from exness_streams.market_data.service import MarketDataService
from exness_streams.market_data.source import Source, check_topic, source_of
from exness_streams.market_data.ticks import TickRecord, note_sources
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, headers_of, json_encoder, public_record
from exness_streams.processes.service_watch import watch_service
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.topic_prefix import claim_prefix
from exness_streams.transport.faults import LogFault, LogFenced
from exness_streams.transport.faust_environment import NO_ENVIRONMENT
from exness_streams.transport.faust_mends import refuse_other_faust
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.aiokafka_mends import refuse_other_aiokafka
from exness_streams.transport.kafka.assignor import NamedAssignor
from exness_streams.transport.kafka.commits import KafkaCellLog
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics
from exness_streams.transport.leases import Lease
from exness_streams.transport.recovery import HEARTBEATS, TableManager
from exness_streams.transport.tasks import first_to_end, given_up

log = logging.getLogger(__name__)

APP_ID = "exness-market-data"
DAY_MS = 24 * 3600 * 1000
TAIL_S_MAX = 10.0
RETRY_S = 2.0
FAILED_LATELY_S = 60.0
LATE_S_MAX = 5.0

COMPRESSION = "gzip"
"""Python has it of itself, and every client of Kafka reads it."""

GATHER_S = 0.002
"""What the exchange tells of several symbols at one moment goes out together."""

PACE_S = 0.02
"""From one transaction to the next: cells get prices no faster (EXNESS_FRAME_PACE_MS)."""

TICK_HEADERS = headers_of(MarketDataMessage)


class KafkaPublisher:
    """Publishes market updates in batches, one transaction each, at a pace. For one leader at a time.

    published_at_s: when the newest of them were durable (monotonic).
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        source: Source,
        metrics: WorkMetrics,
        group: str = APP_ID,
        symbols: Collection[str] = (),
    ) -> None:
        self._cluster = cluster
        self._symbols = symbols
        self._topic = cluster.topics.market_updates
        self._source = source
        # A cell log with one cell: its fence is what makes this process the only publisher. It has no input, and so no
        # offset to commit.
        self._log = KafkaCellLog(cluster, self._topic, group, compression=COMPRESSION)
        self._lease: Lease | None = None
        self._waiting: list[LogRecord] = []
        self._woken = asyncio.Event()
        self._since_s: float | None = None
        self.published_at_s = float("-inf")
        self._metrics = metrics

    def publish(self, message: MarketDataMessage) -> None:
        """Hand one update over; it goes out with whatever else waits."""
        key, value = message.symbol.encode(), public_record(json_encoder.encode(message))
        if self._since_s is None:
            self._since_s = time.monotonic()
        self._waiting.append(LogRecord(self._topic, key, value, 0, message.timestamp, TICK_HEADERS))
        self._woken.set()

    @property
    def waiting(self) -> int:
        """Updates that are not in a transaction yet."""
        return len(self._waiting)

    @property
    def late_s(self) -> float:
        """For how long updates have come of which none was published."""
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    async def last_sequences(self) -> Mapping[str, int]:
        """Fence the former leader, then read the newest sequence of each symbol. OtherSource, LogFault."""
        self._waiting.clear()
        self._since_s = None
        self._lease = (await self._log.fence([0]))[0]
        sources: Counter[str] = Counter()
        newest = await _newest_sequences(self._cluster, sources, self._symbols)
        check_topic(sources, self._source)
        return newest

    async def run(self) -> None:
        """Write what is published, until cancelled. LogFault when another process has taken over."""
        begun_s = -math.inf
        try:
            while True:
                await self._woken.wait()
                await asyncio.sleep(max(GATHER_S, begun_s + PACE_S - time.monotonic()))
                self._woken.clear()
                batch, self._waiting = self._waiting, []
                if batch:
                    if self._lease is None:
                        raise LogFault("updates were published before the former leader was fenced")
                    begun_s = time.monotonic()
                    await self._lease.commit(batch, None)
                    self.published_at_s = now_s = time.monotonic()
                    self._since_s = now_s if self._waiting else None
                    self._metrics.batch(MARKET_UPDATES_TOPIC, len(batch))
                    self._metrics.transaction(len(batch), time.monotonic() - begun_s)
        finally:
            await self._log.close()


async def _newest_sequences(
    cluster: KafkaCluster, sources: Counter[str], symbols: Collection[str] = ()
) -> dict[str, int]:
    """The newest sequence of each symbol; and, counted, the sources of the topic's last updates. LogFault."""
    consumer = AIOKafkaConsumer(
        **cluster.client_settings,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        tp = TopicPartition(cluster.topics.market_updates, 0)
        consumer.assign([tp])
        begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]

        async def read(first: int, last: int) -> list[TickRecord]:
            records: list[TickRecord] = []
            consumer.seek(tp, first)
            deadline_s = asyncio.get_running_loop().time() + TAIL_S_MAX
            while await consumer.position(tp) < last and asyncio.get_running_loop().time() < deadline_s:
                for some in (await consumer.getmany(tp, timeout_ms=200)).values():
                    records += [record for record in some if record.offset < last]
            if last == end:
                note_sources(records, sources)
            return records

        return await newest_sequences(symbols, begin, end, read)
    except (KafkaError, OSError) as error:
        raise cluster.unreachable(error) from error
    finally:
        await consumer.stop()


class MarketDataWorker:
    """One of the market data processes."""

    def __init__(self, settings: KafkaSettings, metrics: WorkMetrics | None = None) -> None:
        refuse_other_aiokafka()
        refuse_other_faust()
        self.settings = settings
        credentials = settings.security().credentials()
        self.cluster = KafkaCluster(settings.kafka_brokers, credentials, settings.topics)
        claim_prefix(settings.data_dir, settings.topic_prefix)
        settings.tables_dir.mkdir(parents=True, exist_ok=True)
        self.app: Any = faust.App(
            settings.named(APP_ID),
            **NO_ENVIRONMENT,
            broker=settings.broker_url,
            broker_credentials=credentials,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / HEARTBEATS,
            consumer_group_instance_id=settings.worker_name,
            datadir=str(settings.tables_dir),
            topic_replication_factor=settings.replication_factor,
            topic_disable_leader=False,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            web_enabled=False,
            PartitionAssignor=NamedAssignor,
            TableManager=TableManager,
        )
        self.feed = BackpackFeed(settings.backpack_ws_url, settings.instruments)
        self.source = source_of(settings.backpack_ws_url)
        self.publisher = KafkaPublisher(
            self.cluster, self.source, metrics or WorkMetrics(), settings.named(APP_ID), settings.instruments
        )
        rest = BackpackRest(settings.backpack_rest_url) if settings.backpack_rest_url else None
        self.states = ExchangeStates.of(settings.backpack_ws_url, rest, settings.instruments)
        self.service = MarketDataService(
            self.feed,
            self.publisher,
            self.source,
            book_ms_max=settings.max_quote_age_ms,
            looking=looking_at(rest, self.source, settings.price_bands()),
            states=self.states,
        )
        self.leads = asyncio.Event()
        self.joined = asyncio.Event()
        self._freshness = self.app.transport.freshness
        self.stopped_for = ""
        self._changed = asyncio.Event()
        self._failed_at_s = -FAILED_LATELY_S
        self.app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        self.app.on_partitions_revoked.connect(self._on_revoked, weak=False)

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        self.joined.set()
        self._changed.set()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self.joined.clear()
        self._changed.set()

    async def declare(self) -> None:
        """Make the topic when it is missing. LogFault when there is another one, OtherSource when it is another's."""
        topic = KafkaTopic(
            self.cluster.topics.market_updates,
            1,
            self.settings.replication_factor,
            retention_ms=DAY_MS,
            is_one_by_design=True,
        )
        await declare_topics(self.cluster, [topic])
        # Before it leads: that would fence the one that ingests the right prices.
        sources: Counter[str] = Counter()
        await _newest_sequences(self.cluster, sources)
        check_topic(sources, self.source)

    @property
    def unready(self) -> str:
        """Why prices do not get through here, or would not if this process had to take over; empty when they do.

        `stopped_for`: why the leader does not ingest; it tries again every two seconds.
        """
        if not self.joined.is_set():
            return "not (yet) a member of the consumer group"
        if not self._freshness.is_fresh():
            return "the brokers have not confirmed for a session timeout that this process is in its group"
        if self.leads.is_set() and self.stopped_for and self.publisher.published_at_s < self._failed_at_s:
            return f"ingesting has stopped and resumes when Kafka answers: {self.stopped_for}"
        if self.leads.is_set() and (late_s := self.publisher.late_s) > LATE_S_MAX:
            return f"no update could be published for {late_s:.0f} s"
        return ""

    def watch(self, end: Callable[[str], Any]) -> None:
        """Have it seen from outside whether it gets anywhere. end: ends the process, in words."""
        app = self.app

        def unserved() -> str | None:
            return None if app.should_stop else self.unready

        topics = [self.cluster.topics.market_updates]
        watch_service(self.cluster, self.settings.named(APP_ID), topics, unserved, end)

    async def run(self) -> None:
        """Ingest while this process is the leader, and know the markets' state before it may be. Runs for ever."""
        await (self.lead() if self.states is None else first_to_end(self.lead(), self.states.run()))

    async def lead(self) -> None:
        """Ingest while this process is the leader. Runs for ever."""
        ingesting: asyncio.Task[None] | None = None
        try:
            while True:
                self._changed.clear()
                leads = bool(self.app.is_leader())
                if leads and ingesting is None:
                    if not self._failed_lately():
                        log.info("leading: ingesting %s", without_secrets(self.settings.backpack_ws_url))
                    ingesting = asyncio.create_task(self._ingest())
                elif not leads and ingesting is not None:
                    log.info("standing by: another process leads")
                    await given_up(ingesting)
                    ingesting = None
                (self.leads.set if leads else self.leads.clear)()
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({changed, ingesting} if ingesting else {changed}, return_when="FIRST_COMPLETED")
                changed.cancel()
                if ingesting is not None and ingesting.done():
                    await self._after(ingesting)
                    ingesting = None
        finally:
            if ingesting is not None:
                await given_up(ingesting)

    def _failed_lately(self) -> bool:
        """Whether the outage was told already."""
        return time.monotonic() - self._failed_at_s < FAILED_LATELY_S

    async def _after(self, ended: asyncio.Task[None]) -> None:
        """Kafka may be away for a while; anything else, a takeover by another process above all, ends this one."""
        fault = ended.exception()
        if fault is None or isinstance(fault, LogFenced) or not isinstance(fault, LogFault):
            ended.result()
            return
        if not self._failed_lately():
            log.warning("ingesting has stopped and resumes when Kafka answers: %s", fault)
        self._failed_at_s, self.stopped_for = time.monotonic(), str(fault)
        await asyncio.sleep(RETRY_S)
        self._changed.set()

    async def _ingest(self) -> None:
        await first_to_end(self.service.run(), self.publisher.run())
