"""What any transport of ours must do for Faust and for the engine.

A test module subclasses TransportConformance and gives it a fixture `harness`: the same tests then run
against the embedded log and against Kafka.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust
import pytest
from faust.types import TP
from transport_harness import (
    GIVE_UP_S,
    Harness,
    collect_batches,
    collect_single,
    numbered,
    offsets_in,
    raw_topic,
    running,
    until,
    until_committed,
    until_count,
    until_offsets,
)

from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import CellLog

RECORDS = int(os.environ.get("TEST_RECORDS", "200000"))
"""A multiple of 20,000."""


class TransportConformance:
    """Subclass it, and give it the fixture `harness`."""

    # -- order, offsets, keys

    async def test_records_come_in_order_from_offset_zero(self, harness: Harness) -> None:
        app = harness.app("order")
        seen = collect_single(app, "t", 3)
        async with running(app):
            await harness.produce([r for p in range(3) for r in numbered("t", 0, 50, p)])
            await until_count(seen, 150)
        for partition in range(3):
            own = [(offset, value) for number, offset, value in seen if number == partition]
            assert own == [(n, b"%d" % n) for n in range(50)]

    async def test_a_key_goes_where_kafkas_clients_send_it(self, harness: Harness) -> None:
        # From Kafka's own tests of murmur2 (UtilsTest), as partition = (hash & 0x7fffffff) % n.
        hashes = {
            b"21": -973932308,
            b"foobar": -790332482,
            b"a-little-bit-long-string": -985981536,
            b"a-little-bit-longer-string": -1486304829,
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
            b"abc": 479470107,
        }
        app = harness.app("keys")
        topic = raw_topic(app, "t", 7)
        seen = collect_single(app, "t", 7)
        async with running(app):
            for key, hashed in hashes.items():
                expected = (hashed & 0x7FFFFFFF) % 7
                assert app.producer.key_partition("t", key) == TP("t", expected)
                assert app.consumer.key_partition("t", key) == expected
                metadata = await (await topic.send(key=key, value=key))
                assert (metadata.topic, metadata.partition) == ("t", expected)
            await until_count(seen, len(hashes))
        assert {value: partition for partition, _, value in seen} == {
            key: (hashed & 0x7FFFFFFF) % 7 for key, hashed in hashes.items()
        }

    async def test_the_producer_answers_with_the_records_place(self, harness: Harness) -> None:
        app = harness.app("place")
        topic = raw_topic(app, "t", 2)
        collect_single(app, "t", 2)
        async with running(app):
            for offset in range(3):
                metadata = await (await topic.send(value=b"v", partition=1, timestamp=1_700_000_000.5))
                assert (metadata.topic_partition, metadata.offset) == (TP("t", 1), offset)
                assert metadata.timestamp == pytest.approx(1_700_000_000.5)
            assert [r.offset for r in await harness.read("t", 1)] == [0, 1, 2]

    async def test_messages_sent_soon_are_durable_after_flush_and_call_back(self, harness: Harness) -> None:
        app = harness.app("soon")
        topic = raw_topic(app, "t", 1)
        collect_single(app, "t")
        called: list[int] = []
        async with running(app):
            sent = [
                topic.send_soon(value=b"%d" % n, partition=0, callback=lambda done: called.append(done.result().offset))
                for n in range(300)
            ]
            await app.producer.flush()
            assert [r.value for r in await harness.read("t", 0)] == [b"%d" % n for n in range(300)]
            assert [(await one).offset for one in sent] == list(range(300))
            assert called == list(range(300))

    # -- commits and restarts

    async def test_a_restart_resumes_exactly(self, harness: Harness) -> None:
        for first in (0, 40, 80):
            app = harness.app("resume")
            single, batches = collect_single(app, "single"), collect_batches(app, "batched")
            async with running(app):
                await harness.produce(numbered("single", first, first + 40))
                await harness.produce(numbered("batched", first, first + 40))
                await until_count(single, 40)
                await until_offsets(batches, 40)
                for topic in ("single", "batched"):
                    await until_committed(harness, "resume", topic, first + 40)
            assert [offset for _, offset, _ in single] == list(range(first, first + 40))
            assert offsets_in(batches) == list(range(first, first + 40))
            assert await harness.committed("resume", "single", 0) == first + 40
            assert await harness.committed("resume", "batched", 0) == first + 40
            await harness.restart()

    async def test_offsets_are_committed_while_running(self, harness: Harness) -> None:
        app = harness.app("commits")
        collect_single(app, "single")
        collect_batches(app, "batched")
        async with running(app):
            for end in (5, 25):
                await harness.produce(numbered("single", end - 5, end))
                await harness.produce(numbered("batched", end - 5, end))
                count = len(await harness.read("single", 0))
                await until_committed(harness, "commits", "single", count)
                await until_committed(harness, "commits", "batched", count)

    async def test_what_was_not_acknowledged_comes_again(self, harness: Harness) -> None:
        async def never(_: Any) -> None:
            await asyncio.Event().wait()

        app = harness.app("again")
        batches = collect_batches(app, "t", on_batch=never)
        async with running(app):
            await harness.produce(numbered("t", 0, 10))
            await until(lambda: batches)
        assert await harness.committed("again", "t", 0) is None
        await harness.restart()
        app = harness.app("again")
        batches = collect_batches(app, "t")
        async with running(app):
            await until_offsets(batches, 10)
        assert offsets_in(batches) == list(range(10))

    async def test_groups_commit_apart(self, harness: Harness) -> None:
        await harness.declare("t", 1)
        await harness.produce(numbered("t", 0, 10))
        for group in ("one", "two"):
            app = harness.app(group)
            batches = collect_batches(app, "t")
            async with running(app):
                await until_offsets(batches, 10)
            assert await harness.committed(group, "t", 0) == 10

    async def test_stopping_lets_the_batch_in_hand_finish(self, harness: Harness) -> None:
        proceed, stopping = asyncio.Event(), asyncio.Event()

        async def slow(_: Any) -> None:
            await proceed.wait()

        app = harness.app("graceful", stream_wait_empty=True)
        batches = collect_batches(app, "t", on_batch=slow)
        app.on_before_shutdown.connect(lambda *_, **__: stopping.set())
        await app.start()
        await harness.produce(numbered("t", 0, 10))
        await until(lambda: batches)
        stop = asyncio.ensure_future(app.stop())
        await until(lambda: not app.consumer.flow_active)
        assert not stopping.is_set()
        proceed.set()
        await asyncio.wait_for(stop, GIVE_UP_S)
        assert await harness.committed("graceful", "t", 0) == 10

    # -- positions

    async def test_highwater_and_position(self, harness: Harness) -> None:
        app = harness.app("positions")
        batches = collect_batches(app, "t", 2)
        async with running(app):
            await harness.produce(numbered("t", 0, 12, 1))
            await until_offsets(batches, 12, 1)
            empty, full = TP("t", 0), TP("t", 1)
            assert app.consumer.highwater(full) == 12
            assert await app.consumer.highwaters(empty, full) == {empty: 0, full: 12}
            assert await app.consumer.earliest_offsets(empty, full) == {empty: 0, full: 0}
            assert await app.consumer.position(full) == 12
            assert app.consumer.topic_partitions("t") == 2
            assert {empty, full} <= app.consumer.assignment()

    async def test_seek_goes_back(self, harness: Harness) -> None:
        app = harness.app("seek")
        batches = collect_batches(app, "t")
        async with running(app):
            await harness.produce(numbered("t", 0, 10))
            await until_offsets(batches, 10)
            batches.clear()
            await app.consumer.seek(TP("t", 0), 4)
            await until_offsets(batches, 6)
            await harness.produce(numbered("t", 10, 12))
            await until_offsets(batches, 8)
        assert offsets_in(batches) == list(range(4, 12))

    async def test_reading_below_the_start_begins_at_the_start(self, harness: Harness) -> None:
        await harness.declare("t", 1)
        await harness.produce(numbered("t", 0, 10))
        await harness.trim("t", 0, 6)
        app = harness.app("trimmed")
        batches = collect_batches(app, "t")
        async with running(app):
            await until_offsets(batches, 4)
            batches.clear()
            assert await app.consumer.earliest_offsets(TP("t", 0)) == {TP("t", 0): 6}
            await app.consumer.seek(TP("t", 0), 2)
            await until_offsets(batches, 4)
        assert offsets_in(batches) == [6, 7, 8, 9]

    async def test_an_offset_trimmed_away_does_not_stop_the_commits(self, harness: Harness) -> None:
        await harness.declare("t", 1)
        await harness.produce(numbered("t", 0, 5))
        app = harness.app("stalled")
        seen = collect_single(app, "t")
        async with running(app):
            await until_count(seen, 5)
        await harness.produce(numbered("t", 5, 20))
        await harness.trim("t", 0, 12)
        app = harness.app("stalled")
        seen = collect_single(app, "t")
        async with running(app):
            await until_committed(harness, "stalled", "t", 20)
        assert [offset for _, offset, _ in seen] == list(range(12, 20))

    # -- tombstones, compaction, tables

    async def test_tombstones_arrive_as_none(self, harness: Harness) -> None:
        app = harness.app("tombstones")
        single, batches = collect_single(app, "single"), collect_batches(app, "batched")
        async with running(app):
            for topic in ("single", "batched"):
                await harness.produce([LogRecord(topic, b"k", value, 0) for value in (b"1", None, b"2")])
            await until_count(single, 3)
            await until_offsets(batches, 3)
        assert [value for _, _, value in single] == [b"1", None, b"2"]
        assert [record.value for _, records in batches for record in records] == [b"1", None, b"2"]

    async def test_compaction_keeps_each_keys_latest_and_the_last_record(self, harness: Harness) -> None:
        await harness.declare("c", 1, compact=True)
        written = [LogRecord("c", b"k%d" % (n % 5), b"%d" % n, 0) for n in range(50)]
        assert await harness.produce(written) == list(range(50))
        await harness.produce([LogRecord("c", b"k2", None, 0)])
        await harness.restart()
        kept = await harness.read("c", 0)
        assert {r.key: r.value for r in kept if r.value is not None} == {
            b"k%d" % (n % 5): b"%d" % n for n in range(45, 50) if n % 5 != 2
        }
        assert kept[-1].offset == 50
        assert await harness.produce([LogRecord("c", b"k2", b"new", 0)]) == [51]

    async def test_a_table_comes_back_from_its_changelog(self, harness: Harness) -> None:
        def make() -> tuple[faust.App, Any, list[Any]]:
            app, seen = harness.app("tables"), []
            table = app.Table("sums", partitions=2, key_type=bytes, value_type=int)

            @app.agent(raw_topic(app, "t", 2))  # type: ignore[untyped-decorator]
            async def sums(stream: Any) -> None:
                async for event in stream.events():
                    seen.append(event.message.offset)
                    if event.value is None:
                        del table[event.key]
                    else:
                        table[event.key] = (table.get(event.key) or 0) + int(event.value)

            return app, table, seen

        async def until_all_committed() -> None:
            # What is not committed is delivered again, and a sum would take it twice.
            for partition in range(2):
                written = len(await harness.read("t", partition))
                await until_committed(harness, "tables", "t", written, partition)

        expected: dict[bytes, int] = {}
        for first in (0, 60):
            app, table, seen = make()  # the table's store is memory: it begins empty
            async with running(app):
                assert dict(table.items()) == expected
                numbers = range(first, first + 60)
                keyed = [(b"k%d" % (n % 7), n) for n in numbers]
                await harness.produce([LogRecord("t", key, b"%d" % n, n % 7 % 2) for key, n in keyed])
                await until_count(seen, 60)
                for key, n in keyed:
                    expected[key] = expected.get(key, 0) + n
                assert dict(table.items()) == expected
                await until_all_committed()
            await harness.restart()
        app, table, seen = make()
        async with running(app):
            await harness.produce([LogRecord("t", b"k3", None, 1)])
            await until_count(seen, 1)
            await until_all_committed()
        await harness.restart()
        app, table, _ = make()
        del expected[b"k3"]
        async with running(app):
            assert dict(table.items()) == expected

    # -- batches

    async def test_one_batch_is_in_flight_and_the_next_is_what_arrived(self, harness: Harness) -> None:
        proceed = asyncio.Event()

        async def slow(event: Any) -> None:
            if event.message.topic == "t":
                await proceed.wait()

        app = harness.app("in-flight")
        batches = collect_batches(app, "t", on_batch=slow)
        others = collect_batches(app, "other")
        async with running(app):
            await harness.produce(numbered("t", 0, 1))
            await until(lambda: batches)
            for n in range(1, 11):
                await harness.produce(numbered("t", n, n + 1))
                await harness.produce(numbered("other", n, n + 1))
            # The fetcher has been at work since, and brought nothing more of this partition.
            await until_offsets(others, 10)
            assert offsets_in(batches) == [0]
            proceed.set()
            await until_offsets(batches, 11)
        assert [len(records) for _, records in batches] == [1, 10]
        assert offsets_in(batches) == list(range(11))

    async def test_batches_of_partitions_go_on_side_by_side(self, harness: Harness) -> None:
        stuck = asyncio.Event()

        async def stick(event: Any) -> None:
            if event.message.partition == 2:
                await stuck.wait()

        app = harness.app("isolated")
        batches = collect_batches(app, "t", 5, on_batch=stick)
        async with running(app):
            for n in range(20):
                await harness.produce([r for p in range(5) for r in numbered("t", n, n + 1, p)])
            for partition in (0, 1, 3, 4):
                await until_offsets(batches, 20, partition)
            assert len([number for number, _ in batches if number == 2]) == 1
            stuck.set()
            await until_offsets(batches, 20, 2)
        for partition in range(5):
            assert offsets_in(batches, partition) == list(range(20))

    async def test_a_batching_agent_that_acknowledges_by_itself(self, harness: Harness) -> None:
        # Faust's stream iterators do not call the consumer's `ack`: the next batch must come all the same.
        app = harness.app("automatic")
        seen: list[int] = []
        app.batched_topics = {"t"}

        @app.agent(raw_topic(app, "t", 1))  # type: ignore[untyped-decorator]
        async def automatic(stream: Any) -> None:
            async for records in stream:
                seen.extend(record.offset for record in records)

        async with running(app):
            for n in range(50):
                await harness.produce(numbered("t", n, n + 1))
            await until_count(seen, 50)
            await until_committed(harness, "automatic", "t", 50)
        assert seen == list(range(50))

    @pytest.mark.long
    async def test_very_many_records_in_order(self, harness: Harness) -> None:
        count, chunk = RECORDS, 20_000
        await harness.declare("ticks", 1)
        for _ in range(count // chunk):
            value = b'{"symbol":"SOL_USDC","price":150.12,"bid":150.11,"ask":150.13,"sequence":' + b"1" * 40 + b"}"
            await harness.produce([LogRecord("ticks", b"SOL_USDC", value, 0)] * chunk)
        app = harness.app("many")
        next_offset, batches, done = 0, 0, asyncio.Event()

        async def check(event: Any) -> None:
            nonlocal next_offset, batches
            offsets = [record.offset for record in event.value]
            assert offsets == list(range(next_offset, next_offset + len(offsets)))
            next_offset, batches = event.message.offset + 1, batches + 1
            if next_offset == count:
                done.set()

        collected = collect_batches(app, "ticks", on_batch=check)
        async with running(app):
            await asyncio.wait_for(done.wait(), GIVE_UP_S)
            await until_committed(harness, "many", "ticks", count)
        assert sum(len(records) for _, records in collected) == count
        assert batches < count / 100

    # -- cells

    async def test_a_commit_holds_rows_events_and_offset(self, harness: Harness) -> None:
        app = harness.app("cells")
        for topic in ("journal", "events"):
            await harness.declare(topic, 2)
        await harness.declare("rows", 2, compact=True)
        collect_batches(app, "journal", 2)
        app.self_committed_topics = {"journal"}
        async with running(app):
            cells = harness.cell_log(app, "journal")
            await cells.fence([0, 1])
            rows = [
                LogRecord("rows", b"a", b"1"),
                LogRecord("rows", b"b", b"2"),
                LogRecord("events", b"a", b"e"),
            ]
            first = await cells.lease(1).commit(rows, 7)
            second = await cells.lease(1).commit(rows, 9)
            await cells.lease(1).commit([], 10)
            assert len(first) == len(second) == 3
            assert all(before < after for before, after in zip(first, second, strict=True))
            await cells.release([0, 1])
        assert [(r.offset, r.key, r.value) for r in await harness.read("rows", 1)] == [
            (second[0], b"a", b"1"),
            (second[1], b"b", b"2"),
        ]
        assert [r.offset for r in await harness.read("events", 1)] == [first[2], second[2]]
        assert await harness.read("events", 0) == []
        assert await harness.committed("cells", "journal", 1) == 10
        assert await harness.committed("cells", "journal", 0) is None
        await harness.restart()
        assert await harness.committed("cells", "journal", 1) == 10

    async def test_a_commit_without_an_offset_leaves_it_where_it_is(self, harness: Harness) -> None:
        app = harness.app("fed")
        for topic in ("journal", "events"):
            await harness.declare(topic, 1)
        collect_batches(app, "journal")
        app.self_committed_topics = {"journal"}
        async with running(app):
            cells = harness.cell_log(app, "journal")
            await cells.fence([0])
            event = LogRecord("events", b"a", b"e")
            for next_offset, committed in ((None, None), (7, 7), (None, 7)):
                await cells.lease(0).commit([event], next_offset)
                assert cells.lease(0).committed == committed
                assert await harness.committed("fed", "journal", 0) == committed
            await cells.release([0])
        assert [r.value for r in await harness.read("events", 0)] == [b"e"] * 3

    async def test_a_commit_that_fails_writes_nothing(self, harness: Harness) -> None:
        app = harness.app("atomic")
        for topic in ("journal", "events"):
            await harness.declare(topic, 1)
        collect_batches(app, "journal")
        app.self_committed_topics = {"journal"}
        async with running(app):
            cells = harness.cell_log(app, "journal")
            await cells.fence([0])
            await cells.lease(0).commit([LogRecord("events", b"a", b"good")], 3)
            bad = [LogRecord("events", b"a", b"lost"), LogRecord("events", b"a", b"nowhere", 99)]
            with pytest.raises(LogFault) as raised:
                await cells.lease(0).commit(bad, 4)
            assert raised.value.written is False
            assert cells.lease(0).committed == 3
            await cells.release([0])
        assert [r.value for r in await harness.read("events", 0)] == [b"good"]
        assert await harness.committed("atomic", "journal", 0) == 3

    async def test_faust_leaves_a_cells_offset_to_the_cell(self, harness: Harness) -> None:
        app = harness.app("hands-off")
        batches = collect_batches(app, "journal")
        app.self_committed_topics = {"journal"}
        async with running(app):
            await harness.produce(numbered("journal", 0, 10))
            await until_offsets(batches, 10)
            await harness.produce(numbered("journal", 10, 20))
            await until_offsets(batches, 20)  # the first batch is acknowledged
            await app.consumer.commit()
        assert await harness.committed("hands-off", "journal", 0) is None

    async def test_a_cells_own_commits_are_where_it_resumes(self, harness: Harness) -> None:
        for first in (0, 30):
            app = harness.app("own")
            cells = harness.cell_log(app, "journal")

            async def fold(event: Any, cells: CellLog = cells) -> None:
                rows = [LogRecord("rows", record.value, b"row") for record in event.value]
                await cells.lease(event.message.partition).commit(rows, event.message.offset + 1)

            await harness.declare("rows", 1, compact=True)
            batches = collect_batches(app, "journal", on_batch=fold)
            app.self_committed_topics = {"journal"}
            async with running(app):
                await cells.fence([0])
                await harness.produce(numbered("journal", first, first + 30))
                await until_committed(harness, "own", "journal", first + 30)
                await cells.release([0])
            assert offsets_in(batches) == list(range(first, first + 30))
            await harness.restart()
        assert len(await harness.read("rows", 0)) == 60
