"""The Faust transport on the embedded log: the conformance suite, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.types import TP
from transport_conformance import TransportConformance
from transport_harness import (
    GIVE_UP_S,
    RecordRead,
    collect_batches,
    collect_single,
    numbered,
    offsets_in,
    raw_topic,
    running,
    until,
    until_count,
    until_offsets,
)
from yarl import URL

from exness_streams.transport.embedded.faust_driver import Consumer, EmbeddedFrameLog, Transport
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.embedded.open_log import OpenLog
from exness_streams.transport.faults import LogFault, LogFull, LogLocked
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import CellLog
from exness_streams.transport.recovery import TableManager


class EmbeddedHarness:
    """Holds the log open beside its apps, as `exness-streams run` does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = EmbeddedLog.open(directory / "log")

    def app(self, app_id: str, **settings: Any) -> faust.App:
        defaults = {
            "broker": f"embedded://{self.directory / 'log'}",
            "store": "memory://",
            "datadir": str(self.directory / "data"),
            "web_enabled": False,
            "topic_disable_leader": True,
            "topic_partitions": 1,
            "stream_recovery_delay": 0,
            "stream_wait_empty": False,
            "broker_commit_interval": 0.05,
            "agent_supervisor": "mode.CrashingSupervisor",
            "TableManager": TableManager,
        }
        return faust.App(app_id, **{**defaults, **settings})

    def cell_log(self, app: faust.App, topic: str) -> CellLog:
        cell_log: CellLog = app.transport.cell_log(topic)
        return cell_log

    async def declare(self, topic: str, partitions: int, *, compact: bool = False) -> None:
        self.log.declare(topic, partitions, compact=compact)

    async def produce(self, records: Sequence[LogRecord]) -> list[int]:
        return await self.log.transact("nobody", records, {})

    async def read(self, topic: str, partition: int) -> list[RecordRead]:
        found: list[RecordRead] = []
        offset = 0
        while records := await self.log.read((topic, partition), offset, 1000, 1 << 20):
            found += records
            offset = records[-1].offset + 1
        return found

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        return self.log.committed(group, (topic, partition))

    async def trim(self, topic: str, partition: int, before_offset: int) -> None:
        await self.log.trim((topic, partition), before_offset)

    async def restart(self) -> None:
        self.log.close()
        self.log = EmbeddedLog.open(self.directory / "log")


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[EmbeddedHarness]:
    harness = EmbeddedHarness(tmp_path)
    yield harness
    harness.log.close()


class TestConformance(TransportConformance):
    pass


async def crash_of(app: faust.App) -> BaseException | None:
    """Why the app crashed, once it has; the app is then stopped."""
    await until(lambda: app.crashed)
    await asyncio.wait_for(app.stop(), GIVE_UP_S)
    reason: BaseException | None = app.crash_reason
    return reason


class SmallLog(OpenLog):
    """On a disk that is soon full."""

    def open(self) -> None:
        self._log = EmbeddedLog(self.directory, pages_max=100)


def with_small_log(app: Any, directory: Path) -> None:
    app.transport = Transport([URL(f"embedded://{directory}")], app)
    app.transport.held = SmallLog(directory, app.conf)


async def test_a_full_disk_crashes_the_app(tmp_path: Path, harness: EmbeddedHarness) -> None:
    app = harness.app("full")
    with_small_log(app, tmp_path / "small")
    seen = collect_single(app, "t")
    topic = raw_topic(app, "t", 1)
    await app.start()
    with pytest.raises(LogFull):
        while True:
            await (await topic.send(key=b"k", value=b"x" * 3000))
    assert isinstance(await crash_of(app), LogFull)
    assert seen


async def test_a_fault_reaches_the_agent_that_commits(tmp_path: Path, harness: EmbeddedHarness) -> None:
    app = harness.app("full-cell")
    with_small_log(app, tmp_path / "small")
    app.self_committed_topics = {"journal"}
    cells, raised = app.transport.cell_log("journal"), []

    async def fold(event: Any) -> None:
        try:
            while True:
                await cells.lease(0).commit([LogRecord("journal", b"k", b"x" * 3000)], event.message.offset + 1)
        except LogFault as fault:
            raised.append(fault)
            raise

    collect_batches(app, "journal", on_batch=fold)
    await app.start()
    app.transport.log.append("journal", 0, b"k", b"v")
    assert isinstance(await crash_of(app), LogFull)
    assert [fault.written for fault in raised] == [False]


async def test_a_damaged_backlog_crashes_the_app(harness: EmbeddedHarness) -> None:
    await harness.declare("t", 1)
    await harness.produce(numbered("t", 0, 20_000))
    await harness.restart()
    file = harness.directory / "log" / "log.sqlite"
    page = file.read_bytes().index(b"15000") // 4096
    with file.open("r+b") as opened:
        opened.seek(page * 4096)
        opened.write(b"\xee" * 4096)
    app = harness.app("damaged")
    batches = collect_batches(app, "t")
    await app.start()
    reason = await crash_of(app)
    assert isinstance(reason, LogFault)
    assert "damaged" in str(reason)
    assert offsets_in(batches) == list(range(len(offsets_in(batches))))


async def test_a_start_on_a_locked_directory_fails_with_the_log_s_words(
    tmp_path: Path, harness: EmbeddedHarness
) -> None:
    other = EmbeddedLog(tmp_path / "held")  # not shared: like another process's
    app = harness.app("locked", broker=f"embedded://{tmp_path / 'held'}")
    collect_single(app, "t")
    with pytest.raises(LogLocked, match="in use by process"):
        await app.start()
    await app.stop()
    other.close()


async def test_another_number_of_partitions_is_a_clear_error(harness: EmbeddedHarness) -> None:
    await harness.declare("t", 2)
    app = harness.app("partitions")
    collect_single(app, "t", 3)
    await app.start()
    reason = await crash_of(app)
    assert isinstance(reason, LogFault)
    assert "topic t" in str(reason)
    assert "has 2 partitions, not 3" in str(reason)


@pytest.mark.parametrize("url", ["embedded://", "embedded:///", "embedded://relative/path"])
async def test_a_url_without_a_directory_is_refused(harness: EmbeddedHarness, url: str) -> None:
    app = harness.app("url")
    with pytest.raises(LogFault, match="names no directory"):
        Transport([URL(url)], app)


async def test_topics_are_kept_as_faust_describes_them(harness: EmbeddedHarness) -> None:
    app = harness.app("terms")
    collect_single(app, "t")
    async with running(app):
        create = app.producer.create_topic
        await create("hour", 1, 1, retention=3600.0)
        await create("config", 2, 1, config={"retention.ms": "5000"})
        await create("config-forever", 1, 1, config={"retention.ms": -1})
        await create("compact", 1, 1, compacting=True, deleting=False)
        await create("hour", 1, 1)  # says nothing of retention: leaves it
        terms = {
            name: (found.compact, found.retention_ms)
            for name in ("hour", "config", "config-forever", "compact", "t")
            if (found := harness.log.topic_terms(name)) is not None
        }
    assert terms == {
        "hour": (False, 3_600_000),
        "config": (False, 5000),
        "config-forever": (False, None),
        "compact": (True, None),
        "t": (False, None),
    }


async def test_changelogs_are_compacted(harness: EmbeddedHarness) -> None:
    app = harness.app("changelogs")
    table = app.Table("counts", partitions=1, key_type=bytes, value_type=int)

    @app.agent(raw_topic(app, "t", 1))  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for event in stream.events():
            table[b"all"] = event.message.offset

    async with running(app):
        await harness.produce(numbered("t", 0, 100))
        await until(lambda: table.get(b"all") == 99)
        assert set(await app.consumer.seek_to_committed()) == {TP("t", 0)}
    kept = await harness.read("changelogs-counts-changelog", 0)
    assert [(record.offset, record.value) for record in kept] == [(99, b"99")]


async def test_the_only_worker_leads_and_owns_every_key(harness: EmbeddedHarness) -> None:
    app = harness.app("leader", topic_disable_leader=False)
    app.Table("counts", partitions=4, key_type=bytes, value_type=int)
    collect_single(app, "t", 4)
    async with running(app):
        assert app.is_leader()
        topic = raw_topic(app, "t", 4)
        for key in (b"a", b"b", b"c"):
            assert app.router.external_topic_key_store(topic, key) == app.conf.canonical_url
            assert app.router.key_store("counts", key) == app.conf.canonical_url


async def test_source_records_wait_for_the_end_of_recovery(harness: EmbeddedHarness) -> None:
    """What is read before the seek is read twice, and what before the queues are cleared is lost."""
    changelog = "held-rows-changelog"
    await harness.declare("t", 1)
    await harness.declare(changelog, 1, compact=True)
    await harness.produce([LogRecord(changelog, b"%d" % n, b"%d" % n, 0) for n in range(3000)])
    await harness.produce(numbered("t", 0, 500))
    for group_committed in (None, 200):
        if group_committed is not None:
            await harness.log.transact("held", [], {("t", 0): group_committed})
        app = harness.app("held")
        table = app.Table("rows", partitions=1, key_type=bytes, value_type=int)
        recovered: list[int] = []

        async def note(_: Any, recovered: list[int] = recovered, table: Any = table) -> None:
            recovered.append(len(table))

        batches = collect_batches(app, "t", on_batch=note)
        async with running(app):
            await until_offsets(batches, 500 - (group_committed or 0))
        assert offsets_in(batches) == list(range(group_committed or 0, 500))
        assert set(recovered) == {3000}


class SlowSeekConsumer(Consumer):
    """Leaves the fetcher time between the seek and the clearing of the queues."""

    async def perform_seek(self) -> None:
        await super().perform_seek()
        for _ in range(200):
            await asyncio.sleep(0)


class SlowSeekTransport(Transport):
    Consumer = SlowSeekConsumer


async def test_nothing_is_lost_between_the_seek_and_the_clearing_of_the_queues(
    harness: EmbeddedHarness,
) -> None:
    changelog = "slow-rows-changelog"
    await harness.declare("t", 1)
    await harness.declare(changelog, 1, compact=True)
    await harness.produce([LogRecord(changelog, b"k", b"1", 0)])
    await harness.produce(numbered("t", 0, 60))
    app = harness.app("slow")
    app.transport = SlowSeekTransport([URL(app.conf.broker[0])], app)
    app.Table("rows", partitions=1, key_type=bytes, value_type=int)
    seen: list[int] = []

    @app.agent(raw_topic(app, "t", 1))  # type: ignore[untyped-decorator]
    async def slower_than_the_fetcher(stream: Any) -> None:
        async for event in stream.events():
            await asyncio.sleep(0.005)
            seen.append(event.message.offset)

    async with running(app):
        await until(lambda: seen and seen[-1] == 59)
    assert seen == list(range(60))


async def test_a_topic_added_while_running_is_read(harness: EmbeddedHarness) -> None:
    """A second assignment: partitions read before go on where they were committed."""
    app = harness.app("added")
    app.topics._resubscribe_sleep_lock_seconds = 0.0  # Faust waits 45 s
    batches, late = collect_batches(app, "t"), []
    async with running(app):
        await harness.produce(numbered("t", 0, 10))
        await until_offsets(batches, 10)
        await app.consumer.commit()

        async def read_late() -> None:
            async for event in raw_topic(app, "late", 1).stream().events():
                offset = event.message.offset
                late.append(offset)

        reading = app.add_future(read_late())
        await until(lambda: app.consumer_generation_id == 2 and not app.rebalancing)
        await harness.produce(numbered("t", 10, 20))
        await harness.produce(numbered("late", 0, 5))
        await until(lambda: len(late) == 5 and len(offsets_in(batches)) == 20)
        reading.cancel()
    assert offsets_in(batches) == list(range(20))
    assert late == list(range(5))


async def test_frames_and_the_ticks_offset_are_one_transaction(harness: EmbeddedHarness) -> None:
    for topic in ("ticks", "journal"):
        await harness.declare(topic, 2)
    frames = EmbeddedFrameLog(lambda: harness.log, "ticks", "market")
    await frames.append([LogRecord("journal", None, b"frame", number) for number in range(2)], 1, 33)
    assert await harness.committed("market", "ticks", 1) == 33
    assert [len(await harness.read("journal", number)) for number in range(2)] == [1, 1]
    with pytest.raises(LogFault):
        await frames.append([LogRecord("journal", None, b"x", 0), LogRecord("nothing", None, b"x", 0)], 1, 34)
    assert len(await harness.read("journal", 0)) == 1
    assert await harness.committed("market", "ticks", 1) == 33
    assert (frames.framed_end(1), frames.framed_end(0)) == (33, 0)


async def test_release_lets_the_commit_in_flight_finish(harness: EmbeddedHarness) -> None:
    await harness.declare("journal", 1)
    app = harness.app("release")
    collect_single(app, "t")
    async with running(app):
        cells = app.transport.cell_log("journal")
        lease = (await cells.fence([0]))[0]
        committing = asyncio.ensure_future(lease.commit([LogRecord("journal", b"k", b"v")], 5))
        await asyncio.sleep(0)
        await cells.release([0])
        assert (await cells.fence([0]))[0].committed == 5
        assert list(await committing) == [0]


async def test_rocksdb_tables_go_on_where_they_were(harness: EmbeddedHarness) -> None:
    for first in (0, 50):
        app = harness.app("rocks", store="rocksdb://")
        table = app.Table("rows", partitions=1, key_type=bytes, value_type=int, options={"block_cache_size": 1 << 20})
        seen: list[int] = []

        @app.agent(raw_topic(app, "t", 1))  # type: ignore[untyped-decorator]
        async def rows(stream: Any, table: Any = table, seen: list[int] = seen) -> None:
            async for event in stream.events():
                table[event.value] = event.message.offset
                seen.append(event.message.offset)

        async with running(app):
            assert len(table) == first
            await harness.produce(numbered("t", first, first + 50))
            await until_count(seen, 50)
        await harness.restart()
