"""The Faust transport `embedded:///absolute/directory`: Faust's consumer and producer on an EmbeddedLog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from faust.assignor.client_assignment import ClientAssignment
from faust.transport import base
from faust.types import TP, AppT, ConsumerMessage

from exness_streams.transport.batching import BatchingConsumer
from exness_streams.transport.broker_clock import BrokerClock
from exness_streams.transport.embedded.commits import EmbeddedCellLog, EmbeddedFrameLog
from exness_streams.transport.embedded.log import EmbeddedLog, Record
from exness_streams.transport.embedded.open_log import OpenLog
from exness_streams.transport.embedded.producer import Producer
from exness_streams.transport.faults import LogFault
from exness_streams.transport.freshness import AlwaysFresh

__all__ = ["Consumer", "EmbeddedCellLog", "EmbeddedFrameLog", "Producer", "Transport"]

SINGLE_RECORDS_MAX = 200
"""Records of one fetch from a partition that is not batched: few, so that batches need not wait for them."""

BATCH_RECORDS_MAX = 10_000
BATCH_BYTES_MAX = 4 << 20


class Consumer(BatchingConsumer):
    """Reads the log for the one member that its consumer group can have."""

    transport: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assigned: set[TP] = set()
        self._positions: dict[TP, int] = {}  # the next offset to deliver; none: not to be read yet
        self._reads: dict[TP, tuple[int, asyncio.Task[list[Record]]]] = {}
        self._new_data: asyncio.Future[None] | None = None

    @property
    def _held(self) -> OpenLog:
        return self.transport.held

    @property
    def _log(self) -> EmbeddedLog:
        return self._held.log

    # -- assignment

    async def create_topic(self, topic: str, partitions: int, replication: int, **terms: Any) -> None:
        self._held.declare(topic, partitions, **terms)

    async def subscribe(self, topics: Iterable[str]) -> None:
        if self.app.should_stop:  # Faust's conductor subscribes once more as it stops
            return
        subscribed: set[TP] = set()
        for topic in topics:
            count = self._held.partitions(topic)
            subscribed |= {TP(topic, number) for number in range(count)}
        # Faust waits for this method's end before it takes an assignment.
        self.add_future(self._assign(subscribed))

    async def _assign(self, assigned: set[TP]) -> None:
        self.app.on_rebalance_start()
        for topic, cells in self.transport.cell_logs.items():
            await cells.quiesce(tp.partition for tp in self._assigned if tp.topic == topic)
        await self.on_partitions_revoked(set(self._assigned))
        self._positions.clear()
        self._assigned = assigned
        self._fill_assignor()
        self.app.consumer_generation_id += 1
        for topic, cells in self.transport.cell_logs.items():
            await cells.take_over(tp.partition for tp in assigned if tp.topic == topic)
        await self.on_partitions_assigned(set(assigned), self.app.consumer_generation_id)

    def _fill_assignor(self) -> None:
        # Recovery takes its changelog partitions from the assignor, and the router takes the owners of keys:
        # left empty, tables stay empty without a word.
        actives: dict[str, list[int]] = {}
        for tp in sorted(self._assigned):
            actives.setdefault(tp.topic, []).append(tp.partition)
        assignor = self.app.assignor
        assignor._assignment = ClientAssignment(actives=actives, standbys={})
        assignor._active_tps = assignor._assignment.active_tps
        assignor._standby_tps = assignor._assignment.standby_tps
        changelogs = self.app.tables.changelog_topics
        url = str(self.app.conf.canonical_url)
        assignor.changelog_distribution = {url: {t: ns for t, ns in actives.items() if t in changelogs}}
        assignor.external_topic_distribution = {url: {t: ns for t, ns in actives.items() if t not in changelogs}}

    def assignment(self) -> set[TP]:
        return set(self._assigned)

    # -- positions

    async def seek_to_committed(self) -> Mapping[TP, int]:
        sought = {tp: self._first_offset(tp) for tp in self._assigned if not self._is_changelog_tp(tp)}
        self._positions.update(sought)
        return sought

    def _first_offset(self, tp: TP) -> int:
        committed = self._log.committed(self.app.conf.id, tp)
        if committed is not None:
            return committed
        latest = self.app.conf.consumer_auto_offset_reset == "latest"
        return self._log.end(tp) if latest else self._log.start(tp)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset  # below the log's start, reading begins at the start

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            await self._seek(tp, offset)
            if offset > 0:
                self._read_offset[tp] = offset
            else:
                self._read_offset.pop(tp, None)
        self._forget_batches(list(partitions))

    async def position(self, tp: TP) -> int | None:
        return self._positions.get(tp)

    def highwater(self, tp: TP) -> int:
        return self._log.end(tp)

    def _is_behind(self, tp: TP) -> bool:
        position = self._positions.get(tp)
        return position is not None and position < self._log.end(tp)

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: self._log.end(tp) for tp in partitions}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: self._log.start(tp) for tp in partitions}

    def topic_partitions(self, topic: str) -> int | None:
        return self._log.partitions(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition if partition is not None else self.transport.key_partition(topic, key)

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    # -- records

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Record]]:
        deadline_s = time.monotonic() + timeout
        while self.flow_active and not self.should_stop and self._log.fault is None:
            self._watch_log()
            found = self._fetch(self._fetchable(self._get_active_partitions()))
            remaining_s = deadline_s - time.monotonic()
            if found or remaining_s <= 0:
                return found
            await self.wakeup.wait(remaining_s)
        if self._log.fault is not None:  # the producer crashes the app with it; until then, do not spin
            await self.wakeup.wait(timeout)
        return {}

    def _watch_log(self) -> None:
        if self._new_data is None or self._new_data.done():
            self._new_data = self._log.wait_for_data()
            self._new_data.add_done_callback(lambda _: self.wakeup.set())

    def _fetch(self, partitions: Iterable[TP]) -> dict[TP, list[Record]]:
        """What memory has; reads from disk are begun, and wake the fetcher when they are done."""
        bytes_max = self.app.conf.consumer_max_fetch_size
        found: dict[TP, list[Record]] = {}
        for tp in partitions:
            position = self._positions.get(tp)
            if position is None:
                continue
            records_max = BATCH_RECORDS_MAX if self._is_batched(tp) else SINGLE_RECORDS_MAX
            records = self._log.read_now(tp, position, records_max, bytes_max)
            if records is None:
                records = self._read_disk(tp, position, records_max, bytes_max)
            if records:
                found[tp] = records
        return found

    def _read_disk(self, tp: TP, position: int, records_max: int, bytes_max: int) -> list[Record] | None:
        begun_at, read = self._reads.get(tp, (None, None))
        if read is None or begun_at != position:
            read = asyncio.ensure_future(self._log.read(tp, position, records_max, bytes_max))
            read.add_done_callback(self._on_read)
            self._reads[tp] = position, read
        if not read.done():
            return None
        del self._reads[tp]
        return None if _failed(read) else read.result()

    def _on_read(self, read: asyncio.Task[list[Record]]) -> None:
        _failed(read)  # looked at here, since a fault ends the fetching before it is looked at there
        self.wakeup.set()

    def _deliver(self, tp: TP, found: Any) -> ConsumerMessage:
        message = super()._deliver(tp, found)
        self._positions[tp] = message.offset + 1
        return message

    async def _give_back(self) -> None:
        """Nothing to do: positions move only with what was delivered."""

    def _to_message(self, tp: TP, record: Record) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp_ms / 1000,
            0,
            [],
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- offsets and end

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            await self._log.transact(self.app.conf.id, [], offsets)
        except LogFault:
            return False  # the producer watches for the log's fault, and crashes the app with it
        return True

    async def on_stop(self) -> None:
        await super().on_stop()
        for _, read in self._reads.values():
            read.cancel()
        self._reads.clear()


def _failed(read: asyncio.Task[list[Record]]) -> bool:
    """Whether nothing was read: that is the log's fault then, which the producer watches for."""
    return read.cancelled() or read.exception() is not None


class Transport(base.Transport):  # type: ignore[misc]
    """The log of one directory for one app. URL: `embedded:///absolute/directory`."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer

    default_port = 0
    driver_version = "embedded"

    def __init__(self, url: Any, app: AppT, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(url, app, loop)
        first = url[0] if isinstance(url, list) else url
        if first.host or not Path(first.path).is_absolute() or first.path == "/":
            raise LogFault(f"{first} names no directory: write embedded:///absolute/path")
        self.held = OpenLog(Path(first.path), app.conf)
        self.cell_logs: dict[str, EmbeddedCellLog] = {}
        self.freshness = AlwaysFresh()
        self.broker_clock = BrokerClock()  # hears of none: this log has its process's own

    def lacks_topic(self, topic: str) -> bool:
        """As Kafka's. A log that is one process's has them all."""
        return False

    def unanswered(self) -> str:
        """As Kafka's."""
        return ""

    @property
    def fault(self) -> LogFault | None:
        """Why the log no longer works, if so."""
        return self.held.fault

    @property
    def log(self) -> EmbeddedLog:
        """The log, while the app's producer runs."""
        return self.held.log

    def key_partition(self, topic: str, key: bytes | None) -> int:
        """The partition of a key, as Kafka's clients choose it (murmur2)."""
        return self.held.key_partition(topic, key)

    def cell_log(self, topic: str) -> EmbeddedCellLog:
        """The CellLog of an input topic in the app's own consumer group: one, whose cells follow the assignment."""
        return self.cell_logs.setdefault(topic, EmbeddedCellLog(lambda: self.log, topic, self.app.conf.id))

    @property
    def life(self) -> bytes:
        """As Lineage; usable once the app runs."""
        return self.log.life

    def continues(self, tp: tuple[str, int], life: bytes | None, last: int) -> bool:
        """As Lineage."""
        return self.log.continues(tp, life, last)

    async def first_value(
        self, topic: str, partition: int, first: int, is_wanted: Callable[[bytes | None], bool]
    ) -> bytes | None:
        """The first value of a topic from an offset on that is wanted; None: none is there. LogFault."""
        log, tp = self.log, (topic, partition)
        offset, end = max(first, log.start(tp)), log.end(tp)
        while offset < end and (records := await log.read(tp, offset, BATCH_RECORDS_MAX, BATCH_BYTES_MAX)):
            for record in records:
                if is_wanted(record.value):
                    return record.value
            offset = records[-1].offset + 1
        return None

    def frame_log(self, topic: str) -> EmbeddedFrameLog:
        """The FrameLog of the ticks' topic; usable once the app runs. It does not move the app's own offset."""
        return EmbeddedFrameLog(lambda: self.log, topic, f"{self.app.conf.id}-frames")
