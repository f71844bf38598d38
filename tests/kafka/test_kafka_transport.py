"""The Faust transport on Kafka: the conformance suite, and what is its own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import faust
import pytest
from aiokafka.errors import KafkaError, RequestTimedOutError
from broker import PASSWORD, USER
from faust.transport.drivers import TRANSPORTS
from faust.types import TP
from kafka_harness import KafkaHarness
from ports import free_ports
from transport_conformance import TransportConformance
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
    until_offsets,
)
from yarl import URL

from exness_streams.transport.faults import LogClosed, LogFault, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog
from exness_streams.transport.kafka.faust_driver import Producer, Transport
from exness_streams.transport.kafka.offsets import data_ends
from exness_streams.transport.kafka.security import SASL_MECHANISMS, KafkaSecurity
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, KafkaUnreachable, declare_topics
from exness_streams.transport.table import CellTable


class TestConformance(TransportConformance):
    """Where Kafka's clients differ by nature, the test is here in their terms."""

    async def test_the_producer_answers_with_the_records_place(self, harness: Harness) -> None:
        # The time is the broker's, whatever the writer says.
        app = harness.app("place")
        topic = raw_topic(app, "t", 2)
        collect_single(app, "t", 2)
        async with running(app):
            for offset in range(3):
                metadata = await (await topic.send(value=b"v", partition=1, timestamp=1_700_000_000.5))
                assert (metadata.topic_partition, metadata.offset) == (TP("t", 1), offset)
                assert metadata.timestamp > 1_700_000_000_500
            assert [r.offset for r in await harness.read("t", 1)] == [0, 1, 2]

    async def test_one_batch_is_in_flight_and_the_next_is_what_arrived(self, harness: Harness) -> None:
        # aiokafka fetches once ahead, so what it had by then is a batch of its own before the rest.
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
            for n in range(1, 31):
                await harness.produce(numbered("t", n, n + 1))
                await harness.produce(numbered("other", n, n + 1))
            await until_offsets(others, 30)
            assert offsets_in(batches) == [0]
            proceed.set()
            await until_offsets(batches, 31)
        assert len(batches) <= 3
        assert offsets_in(batches) == list(range(31))


# -- fencing


async def test_a_takeover_fences_the_former_owner(harness: KafkaHarness) -> None:
    for topic in ("journal", "rows"):
        await harness.declare(topic, 2)
    former, later = (KafkaCellLog(harness.cluster, "journal", "group") for _ in range(2))
    await former.fence([0, 1])
    await former.lease(0).commit([LogRecord("rows", b"k", b"1")], 5)
    await later.fence([0])
    assert later.lease(0).committed == 5
    with pytest.raises(LogFenced, match="taken over") as raised:
        await former.lease(0).commit([LogRecord("rows", b"k", b"stale")], 6)
    assert raised.value.written is False
    with pytest.raises(LogFenced):
        await former.lease(0).commit([], 7)
    await later.lease(0).commit([LogRecord("rows", b"k", b"2")], 9)
    await former.lease(1).commit([LogRecord("rows", b"k", b"other cell")], 3)
    assert [record.value for record in await harness.read("rows", 0)] == [b"1", b"2"]
    assert await harness.committed("group", "journal", 0) == 9
    assert await harness.committed("group", "journal", 1) == 3
    await former.close()
    await later.close()


async def test_a_transaction_in_flight_ends_with_the_takeover(harness: KafkaHarness) -> None:
    for topic in ("journal", "rows"):
        await harness.declare(topic, 1)
    former, later = (KafkaCellLog(harness.cluster, "journal", "group") for _ in range(2))
    await former.fence([0])
    await former.lease(0).commit([LogRecord("rows", b"k", b"1")], 5)
    producer = former._fenced[0].producer
    await producer.begin_transaction()  # a worker that is paused in the middle of a commit
    await producer.send_and_wait("rows", b"lost", partition=0)
    await later.fence([0])
    assert later.lease(0).committed == 5
    with pytest.raises(KafkaError):
        await producer.commit_transaction()
    await later.lease(0).commit([LogRecord("rows", b"k", b"2")], 6)
    assert [record.value for record in await harness.read("rows", 0)] == [b"1", b"2"]
    await former.close()
    await later.close()


async def test_a_cell_that_was_released_takes_no_commit(harness: KafkaHarness) -> None:
    for topic in ("journal", "rows"):
        await harness.declare(topic, 1)
    cells = KafkaCellLog(harness.cluster, "journal", "group")
    lease = (await cells.fence([0]))[0]
    committing = asyncio.ensure_future(lease.commit([LogRecord("rows", b"k", b"1")], 1))
    await asyncio.sleep(0)
    await cells.release([0])
    assert list(await committing) == [0]  # the one in flight was let finish
    with pytest.raises(LogClosed) as raised:
        await lease.commit([], 2)
    assert raised.value.written is False
    with pytest.raises(LogClosed):
        cells.lease(0)


class RefusedCellLog(KafkaCellLog):
    """Brokers refuse its producers."""

    async def fence(self, partitions: Iterable[int]) -> None:
        raise LogFault(f"refused: {sorted(partitions)}")


async def test_a_worker_that_cannot_fence_its_cells_crashes_before_it_reads(harness: KafkaHarness) -> None:
    app = harness.app("refused")
    app.transport.cell_logs["journal"] = RefusedCellLog(harness.cluster, "journal", "refused")
    batches = collect_batches(app, "journal", 2)
    await harness.declare("journal", 2)
    await harness.produce(numbered("journal", 0, 5))
    await app.start()
    await until(lambda: app.crashed)
    await asyncio.wait_for(app.stop(), GIVE_UP_S)
    assert str(app.crash_reason) == "refused: [0, 1]"
    assert not batches


async def test_many_records_of_many_sizes_get_their_offsets(harness: KafkaHarness) -> None:
    for topic in ("journal", "rows", "events"):
        await harness.declare(topic, 2)
    cells = KafkaCellLog(harness.cluster, "journal", "group")
    await cells.fence([1])
    written = [
        LogRecord(("rows", "events")[n % 2], b"%d" % n, b"%d:" % n + b"x" * (n * 37 % 4000), n // 2 % 2)
        for n in range(1000)
    ]
    offsets = await cells.lease(1).commit(written, 1)
    for topic in ("rows", "events"):
        for partition in range(2):
            read = {record.offset: record.value for record in await harness.read(topic, partition)}
            expected = {
                offset: record.value
                for offset, record in zip(offsets, written, strict=True)
                if (record.topic, record.partition) == (topic, partition)
            }
            assert read == expected
    await cells.close()


def folding_app(harness: KafkaHarness, worker: str) -> faust.App:
    """A worker of one group: each journal record becomes one row, which says who wrote it."""
    app = harness.app("handover", datadir=str(harness.directory / worker), table_standby_replicas=0)
    app.self_committed_topics = {"journal"}
    cells = app.transport.cell_log("journal")
    expected: dict[int, tuple[int, int]] = {}

    async def fold(event: Any) -> None:
        partition, records = event.message.partition, event.value
        try:
            generation, next_offset = expected.get(partition, (-1, 0))
            if generation != event.message.generation_id:
                next_offset = cells.lease(partition).committed or 0
            assert [r.offset for r in records] == list(range(next_offset, event.message.offset + 1))
            rows = [LogRecord("rows", b"%d" % r.offset, worker.encode()) for r in records]
            await cells.lease(partition).commit(rows, event.message.offset + 1)
        except LogClosed:
            if not app.rebalancing:
                raise
            return
        expected[partition] = event.message.generation_id, event.message.offset + 1

    collect_batches(app, "journal", 4, on_batch=fold)
    return app


async def test_a_static_member_that_stops_leaves_its_group(harness: KafkaHarness) -> None:
    # Otherwise nobody takes its cells over before its session has timed out.
    app = harness.app("static", consumer_group_instance_id="worker-1")
    collect_batches(app, "t")

    async def members() -> list[Any]:
        (described,) = await harness.admin.describe_consumer_groups(["static"])
        return list(described.groups[0][5])

    async with running(app):
        assert len(await members()) == 1
    assert await members() == []


async def test_a_record_whose_acknowledgement_got_lost_is_appended_once(harness: KafkaHarness) -> None:
    app = harness.app("lost-answer")
    topic = raw_topic(app, "t", 1)
    collect_single(app, "t", 1)
    async with running(app):
        client = app.producer._producer.client
        really_send, lost = client.send, []

        async def send(node_id: Any, request: Any, **options: Any) -> Any:
            answer = await really_send(node_id, request, **options)
            if type(request).__name__.startswith("Produce") and not lost:
                lost.append(answer)
                raise RequestTimedOutError("the broker has written it, and its answer gets lost")
            return answer

        client.send = send
        await (await topic.send(value=b"once"))
        assert lost
        assert [record.value for record in await harness.read("t", 0)] == [b"once"]


async def test_a_handover_loses_and_doubles_nothing(harness: KafkaHarness) -> None:
    await harness.declare("journal", 4)
    await harness.declare("rows", 4)
    first, second = folding_app(harness, "first"), folding_app(harness, "second")
    count = 0

    async def produce_while(condition: Any) -> None:
        nonlocal count
        give_up_s = time.monotonic() + GIVE_UP_S
        while condition():
            assert time.monotonic() < give_up_s
            for partition in range(4):
                await harness.produce(numbered("journal", count, count + 3, partition))
            count += 3
            await asyncio.sleep(0.01)

    async with running(first):
        await produce_while(lambda: count < 60)
        async with running(second):
            await produce_while(lambda: not owned(second, "journal"))
            more = count + 60
            await produce_while(lambda: count < more)
            await first.stop()
            await produce_while(lambda: len(owned(second, "journal")) < 4)
            for partition in range(4):
                await until_committed(harness, "handover", "journal", count, partition)
    for partition in range(4):
        rows = await harness.read("rows", partition)
        assert Counter(row.key for row in rows) == Counter(b"%d" % n for n in range(count))
    writers = {row.value for partition in range(4) for row in await harness.read("rows", partition)}
    assert writers == {b"first", b"second"}


def owned(app: faust.App, topic: str) -> set[TP]:
    return {tp for tp in app.consumer.assignment() if tp.topic == topic}


# -- tables, frames, restarts


async def test_a_table_recovers_though_its_changelog_ends_in_markers(harness: KafkaHarness) -> None:
    changelog = TP("marked-rows-changelog", 0)
    await harness.declare("journal", 1)
    await harness.declare(changelog.topic, 1, compact=True)
    cells = KafkaCellLog(harness.cluster, "journal", "marked")
    await cells.fence([0])
    (last,) = await cells.lease(0).commit([LogRecord(changelog.topic, b"k", b"v")], 1)
    producer = cells._fenced[0].producer
    for _ in range(20):  # then so many that were rolled back, that nothing else is near its end
        await producer.begin_transaction()
        await producer.send_and_wait(changelog.topic, b"no", key=b"k", partition=0)
        await producer.abort_transaction()
    await cells.close()
    assert await data_ends(harness.cluster, [changelog]) == {changelog: last + 1}
    app = harness.app("marked", store="rocksdb://", Table=CellTable)
    table = app.Table("rows", partitions=1, key_type=bytes, value_type=bytes, options={"block_cache_size": 1 << 20})
    collect_single(app, "journal")
    async with running(app):
        assert table.entry(0, b"k") == b"v"


async def test_frames_leave_no_gaps_in_the_journal(harness: KafkaHarness) -> None:
    await harness.declare("journal", 2)
    app = harness.app("market")
    collect_batches(app, "ticks")
    await harness.declare("ticks", 1)
    async with running(app):
        frames = app.transport.frame_log("ticks")
        assert frames.framed_end(0) is None
        for number in range(3):
            await frames.append([LogRecord("journal", None, b"frame", cell) for cell in range(2)], 0, number + 1)
    for cell in range(2):
        read = await harness.read("journal", cell)
        assert [record.offset for record in read] == [0, 1, 2]


async def test_a_worker_goes_on_after_the_broker_was_restarted(harness: KafkaHarness) -> None:
    app = harness.app("restarted")
    app.self_committed_topics = {"journal"}
    await harness.declare("rows", 1)
    cells = app.transport.cell_log("journal")

    async def fold(event: Any) -> None:
        rows = [LogRecord("rows", b"%d" % record.offset, b"row") for record in event.value]
        await cells.lease(0).commit(rows, event.message.offset + 1)

    batches = collect_batches(app, "journal", on_batch=fold)
    async with running(app):
        await harness.produce(numbered("journal", 0, 10))
        await until_offsets(batches, 10)
        await until_committed(harness, "restarted", "journal", 10)  # the stop cuts off no commit
        await asyncio.to_thread(harness.broker.restart)
        await harness.produce(numbered("journal", 10, 20))
        await until(lambda: len(set(offsets_in(batches))) == 20)
        await until_committed(harness, "restarted", "journal", 20)
    assert Counter(row.key for row in await harness.read("rows", 0)) == Counter(b"%d" % n for n in range(20))


# -- topics and brokers that are not as they should be


async def test_topics_are_made_as_wanted(harness: KafkaHarness) -> None:
    wanted = [KafkaTopic("plain", 3, retention_ms=5000), KafkaTopic("kept", 1), KafkaTopic("rows", 2, compact=True)]
    await declare_topics(harness.cluster, wanted)
    await declare_topics(harness.cluster, wanted)  # they are there: as wanted
    assert {topic.name: await harness.settings(topic.name) for topic in wanted} == {
        "plain": ("delete", "5000"),
        "kept": ("delete", "-1"),
        "rows": ("compact", "604800000"),
    }


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (KafkaTopic("t", 4), "topic t has 4 partitions, not 2"),
        (KafkaTopic("t", 2, compact=True), "topic t has cleanup.policy compact, not delete"),
    ],
)
async def test_a_topic_that_is_otherwise_is_refused(harness: KafkaHarness, found: KafkaTopic, words: str) -> None:
    await declare_topics(harness.cluster, [found])
    with pytest.raises(LogFault, match=words) as raised:
        await declare_topics(harness.cluster, [KafkaTopic("t", 2)])
    assert "\n" not in str(raised.value)


async def test_another_replication_is_refused(harness: KafkaHarness) -> None:
    await declare_topics(harness.cluster, [KafkaTopic("t", 1)])
    with pytest.raises(LogFault, match="topic t has replication factor 1, not 3"):
        await declare_topics(harness.cluster, [KafkaTopic("t", 1, replication_factor=3)])
    with pytest.raises(LogFault, match="Kafka refuses to make topic new"):
        await declare_topics(harness.cluster, [KafkaTopic("new", 1, replication_factor=3)])


async def test_another_number_of_partitions_crashes_the_app(harness: KafkaHarness) -> None:
    await harness.declare("t", 2)
    app = harness.app("partitions")
    collect_single(app, "t", 3)
    await app.start()
    await until(lambda: app.crashed)
    await asyncio.wait_for(app.stop(), GIVE_UP_S)
    assert isinstance(app.crash_reason, LogFault)
    assert "topic t has 2 partitions, not 3" in str(app.crash_reason)


@pytest.mark.parametrize("mechanism", SASL_MECHANISMS)
async def test_a_worker_signs_in(harness: KafkaHarness, mechanism: str) -> None:
    security = KafkaSecurity(sasl_mechanism=mechanism, username=USER, password=PASSWORD)
    app = harness.app("signed-in", broker_credentials=security.credentials())
    app.transport = Transport([URL(f"fenced-kafka://127.0.0.1:{harness.broker.sasl_port}")], app)
    app.self_committed_topics = {"journal"}
    cells = app.transport.cell_log("journal")

    async def fold(event: Any) -> None:
        await cells.lease(0).commit([], event.message.offset + 1)

    collect_batches(app, "journal", on_batch=fold)
    async with running(app):
        await harness.produce(numbered("journal", 0, 5))
        await until_committed(harness, "signed-in", "journal", 5)


async def test_a_wrong_password_is_told_without_it(harness: KafkaHarness) -> None:
    security = KafkaSecurity(sasl_mechanism="PLAIN", username=USER, password="wrong-word")
    cluster = KafkaCluster((f"127.0.0.1:{harness.broker.sasl_port}",), security.credentials())
    with pytest.raises(KafkaUnreachable, match="the credentials") as raised:
        await declare_topics(cluster, [KafkaTopic("t", 1)])
    assert "wrong-word" not in str(raised.value)


async def test_the_url_chooses_the_transport(harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the entry point in pyproject.toml does.
    monkeypatch.setitem(TRANSPORTS.aliases, "fenced-kafka", "exness_streams.transport.kafka.faust_driver:Transport")
    address = harness.broker.address
    app = faust.App("chosen", broker=f"fenced-kafka://{address};fenced-kafka://127.0.0.1:1", web_enabled=False)
    assert isinstance(app.transport, Transport)
    assert app.transport.cluster.addresses == (address, "127.0.0.1:1")
    assert isinstance(app.producer, Producer)


async def test_brokers_that_do_not_answer_are_named(harness: KafkaHarness) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    with pytest.raises(KafkaUnreachable, match=address):
        await declare_topics(KafkaCluster((address,)), [KafkaTopic("t", 1)])
    app = harness.app("nowhere")
    app.transport = Transport([URL(f"fenced-kafka://{address}")], app)
    collect_single(app, "t")
    with pytest.raises(KafkaUnreachable, match=address):
        await app.start()
    await app.stop()
    app.consumer._thread.thread_loop.close()  # mode makes it before the thread, and closes it in the thread only
