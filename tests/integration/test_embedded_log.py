"""The embedded log alone: durability, order, faults. No Faust."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_harness import HOUR_MS, LARGE, Clock, append_all, opened, rows_in_file, values_of

from exness_streams.transport.embedded import partition as partition_module
from exness_streams.transport.embedded import upkeep as log_upkeep
from exness_streams.transport.embedded.log import EmbeddedLog, LogReader, Record
from exness_streams.transport.faults import LogClosed, LogFault
from exness_streams.transport.interfaces import LogRecord


def commits_in_wal(directory: Path) -> int:
    """How many transactions the WAL holds: frames whose header gives the database's size after a commit."""
    wal = (directory / "log.sqlite-wal").read_bytes()
    page = int.from_bytes(wal[8:12], "big")
    sizes = (wal[at + 4 : at + 8] for at in range(32, len(wal) - 23, page + 24))
    return sum(any(size) for size in sizes)


# -- writing and reading


async def test_offsets_count_from_zero_in_each_partition(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 2)
        offsets = await asyncio.gather(*[log.append("t", n % 2, None, b"%d" % n) for n in range(10)])
        assert offsets == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert await values_of(log, "t", 0) == [b"0", b"2", b"4", b"6", b"8"]
        assert await values_of(log, "t", 1) == [b"1", b"3", b"5", b"7", b"9"]
        assert (log.start(("t", 0)), log.end(("t", 0))) == (0, 5)


async def test_a_record_is_visible_only_once_it_is_durable(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        pending = log.append("t", 0, b"k", b"v", 5)
        assert (log.end(("t", 0)), log.read_now(("t", 0), 0, 10, LARGE)) == (0, [])
        assert await pending == 0
        assert log.read_now(("t", 0), 0, 10, LARGE) == [Record(0, 5, b"k", b"v")]


async def test_what_waits_together_shares_a_transaction(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await log.append("t", 0, None, b"first")
        before = commits_in_wal(tmp_path)
        await asyncio.gather(*[log.append("t", 0, None, b"%d" % n) for n in range(500)])
        assert log.end(("t", 0)) == 501
        # The writer takes what is there when it looks: at worst a few small groups before the large one.
        assert commits_in_wal(tmp_path) - before < 50


async def test_transact_writes_records_and_offsets_together(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("rows", 1, compact=True)
        log.declare("events", 1)
        log.declare("input", 1)
        records = [LogRecord("rows", b"a", b"1", 0), LogRecord("events", b"a", b"e", 0, 77)]
        assert await log.transact("g", records, {("input", 0): 8}) == [0, 0]
        assert log.committed("g", ("input", 0)) == 8
        assert log.committed("another", ("input", 0)) is None
        assert await log.read(("events", 0), 0, 10, LARGE) == [Record(0, 77, b"a", b"e")]
        with pytest.raises(LogFault, match="no partition 9 of topic rows"):
            await log.transact("g", [*records, LogRecord("rows", b"b", b"2", 9)], {("input", 0): 9})
        assert (log.end(("events", 0)), log.committed("g", ("input", 0))) == (1, 8)


async def test_arbitrary_bytes_come_back(tmp_path: Path) -> None:
    values = [b"", b"\0", b"a\0b", bytes(range(256)), None, b"\xff\xfe", "é,1".encode(), b"x" * 70_000]
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await asyncio.gather(*[log.append("t", 0, value, value) for value in values])
        assert await values_of(log, "t") == values
    with opened(tmp_path) as log:  # now from disk
        found = await log.read(("t", 0), 0, 100, LARGE)
        assert [(record.key, record.value) for record in found] == [(value, value) for value in values]


async def test_a_read_keeps_to_its_limits_but_makes_progress(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"x" * 1000] * 50)
    for _ in range(2):  # from disk, then again with what the first read learnt
        with opened(tmp_path) as log:
            for _ in range(2):
                assert len(await log.read(("t", 0), 0, 7, LARGE)) == 7
                assert 1 <= len(await log.read(("t", 0), 0, 100, 5_000)) <= 5
                assert len(await log.read(("t", 0), 0, 100, 1)) == 1


async def test_waiting_for_data_ends_with_the_next_record(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        waiting = log.wait_for_data()
        assert not waiting.done()
        await log.append("t", 0, None, b"v")
        await asyncio.wait_for(waiting, 10)
        assert log.end(("t", 0)) == 1


async def test_a_busy_event_loop_does_not_starve_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        for _ in range(10):
            pending = log.append("t", 0, None, b"v")
            for _ in range(2000):
                if pending.done():
                    break
                slice_ends_s = time.perf_counter() + 0.001
                while time.perf_counter() < slice_ends_s:
                    pass
                await asyncio.sleep(0)  # never idle: the GIL comes back before another thread has woken up
            assert pending.done()


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        pending = [log.append("t", 0, None, b"%d" % n) for n in range(1000)]
    assert await asyncio.gather(*pending) == list(range(1000))
    with opened(tmp_path) as log:
        assert log.end(("t", 0)) == 1000


async def test_a_closed_log_refuses(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
    with pytest.raises(LogClosed, match="is closed"):
        await log.append("t", 0, None, b"v")


# -- topics


async def test_the_number_of_partitions_is_fixed(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 3)
        log.declare("t", 3)
    with opened(tmp_path) as log:
        assert (log.partitions("t"), log.partitions("other")) == (3, None)
        with pytest.raises(LogFault, match=r"has 3 partitions, not 4.* EXNESS_PARTITIONS=3.*EXNESS_DATA_DIR"):
            log.declare("t", 4)
        with pytest.raises(LogFault, match="is not compacted"):
            log.declare("t", 3, compact=True)
        with pytest.raises(LogFault, match="has no partition 0 of topic other"):
            log.append("other", 0, None, b"v")


async def test_a_compacted_topic_needs_keys(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("c", 1, compact=True)
        with pytest.raises(LogFault, match="has no key"):
            log.append("c", 0, None, b"v")


async def test_compaction_keeps_each_keys_latest_and_offsets_count_on(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("c", 1, compact=True)
        for n in range(30):
            await log.append("c", 0, b"k%d" % (n % 3), b"%d" % n)
        assert await log.append("c", 0, b"k0", None) == 30
        kept = [(record.offset, record.value) for record in await log.read(("c", 0), 0, 100, LARGE)]
        assert kept == [(28, b"28"), (29, b"29"), (30, None)]
        assert rows_in_file(tmp_path, "latest") == 3


# -- trimming, retention, purging


async def test_trim_moves_the_start_but_keeps_the_last_record(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"%d" % n for n in range(2000)])
        assert await log.trim(("t", 0), 1500) == 1500
        assert log.start(("t", 0)) == 1500
        assert (await log.read(("t", 0), 3, 1, LARGE))[0].offset == 1500  # clamped
        assert await log.trim(("t", 0), 700) == 1500
        assert await log.trim(("t", 0), 99_999) == 1999
        log.tidy()
        assert rows_in_file(tmp_path, "records") == 1
    with opened(tmp_path) as log:
        assert (log.start(("t", 0)), log.end(("t", 0))) == (1999, 2000)
        assert await values_of(log, "t") == [b"1999"]
        assert await log.append("t", 0, None, b"next") == 2000


async def test_a_trim_outlives_a_crash_before_the_space_was_freed(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"%d" % n for n in range(100)])
        await log.trim(("t", 0), 60)
    assert rows_in_file(tmp_path, "records") == 100
    with opened(tmp_path) as log:
        assert log.start(("t", 0)) == 60
        log.tidy()
        assert rows_in_file(tmp_path, "records") == 40
        assert await values_of(log, "t") == [b"%d" % n for n in range(60, 100)]


async def test_retention_drops_what_is_older_and_keeps_the_last(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as log:
        log.declare("brief", 1, retention_ms=HOUR_MS)
        log.declare("forever", 1)
        for hour in range(5):
            for topic in ("brief", "forever"):
                await log.append(topic, 0, None, b"%d" % hour)
            clock.ms += HOUR_MS // 2
        log.tidy()
        assert await values_of(log, "brief") == [b"3", b"4"]
        clock.ms += 100 * HOUR_MS
        log.tidy()
        assert await values_of(log, "brief") == [b"4"]
        assert await log.append("brief", 0, None, b"5") == 5
        assert len(await values_of(log, "forever")) == 5
    with opened(tmp_path, clock=clock) as log:
        log.declare("brief", 1, retention_ms=None)
        clock.ms += 100 * HOUR_MS
        log.tidy()
        assert log.start(("brief", 0)) == 4


async def test_old_tombstones_are_purged_but_never_the_last_record(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as log:
        log.declare("c", 1, compact=True)
        for n in range(2000):
            log.append("c", 0, b"k%d" % n, b"v")
        await asyncio.gather(*[log.append("c", 0, b"k%d" % n, None) for n in range(1, 2000)])
        clock.ms += 23 * HOUR_MS
        log.tidy()
        assert rows_in_file(tmp_path, "latest") == 2000
        assert log.continues(("c", 0), None, 0), "it still tells of all removals"
        clock.ms += 2 * HOUR_MS
        log.tidy()
        kept = await log.read(("c", 0), 0, 10, LARGE)
        assert [(record.key, record.value) for record in kept] == [(b"k0", b"v"), (b"k1999", None)]
        assert [log.continues(("c", 0), None, last) for last in (3996, 3997, 3998)] == [False, True, True]
    with opened(tmp_path, clock=clock) as log:
        assert log.end(("c", 0)) == 3999
        assert [log.continues(("c", 0), None, last) for last in (3996, 3997)] == [False, True]
    with LogReader(tmp_path).snapshot() as snapshot:
        assert [snapshot.continues(("c", 0), None, last) for last in (3996, 3997)] == [False, True]


# -- the WAL


def wal_bytes(directory: Path) -> int:
    return (directory / "log.sqlite-wal").stat().st_size


async def test_an_idle_log_gives_its_wal_back(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"x" * 1000] * 3000)
        assert wal_bytes(tmp_path) > 3_000_000
        for _ in range(3):
            log.tidy()
        assert wal_bytes(tmp_path) == 0
        assert len(await values_of(log, "t")) == 3000


async def test_a_busy_logs_wal_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_upkeep, "WAL_BYTES_MAX", 100_000)
    with opened(tmp_path) as log:
        log.declare("t", 1)
        for _ in range(20):
            await append_all(log, "t", [b"x" * 1000] * 200)
            log.tidy()
        assert wal_bytes(tmp_path) < 2_000_000  # of more than 4 MB written
        assert len(await values_of(log, "t")) == 4000


async def test_a_long_snapshot_neither_changes_nor_stops_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"%d" % n for n in range(100)])
        with LogReader(tmp_path).snapshot() as snapshot:
            for _ in range(3):
                await append_all(log, "t", [b"x" * 1000] * 2000)
                log.tidy()
            await log.trim(("t", 0), 5000)
            log.tidy()
            assert [r.value for r in snapshot.records(("t", 0))] == [b"%d" % n for n in range(100)]
        assert (log.start(("t", 0)), log.end(("t", 0))) == (5000, 6100)


# -- against a model

KEYS = [b"a", b"b", b"c"]
VALUES = st.one_of(st.none(), st.binary(max_size=20))
TPS = st.sampled_from([("plain", 0), ("plain", 1), ("compact", 0)])
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.lists(st.tuples(TPS, st.sampled_from(KEYS), VALUES), max_size=6)),
    st.tuples(st.just("trim"), st.sampled_from([("plain", 0), ("plain", 1)]), st.integers(0, 40)),
    st.tuples(st.just("read"), TPS, st.integers(0, 40), st.integers(1, 8), st.integers(1, 400)),
    st.tuples(st.just("tidy")),
    st.tuples(st.just("reopen")),
)


class Model:
    """What the log must answer, kept as plain lists."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[tuple[int, bytes, bytes | None]]] = {}
        self.start: dict[tuple[str, int], int] = {}

    def write(self, tp: tuple[str, int], key: bytes, value: bytes | None) -> None:
        kept = self.records.setdefault(tp, [])
        kept.append((len(kept), key, value))

    def visible(self, tp: tuple[str, int], offset: int) -> list[tuple[int, bytes, bytes | None]]:
        kept = self.records.get(tp, [])
        if tp[0] == "compact":
            last = {key: at for at, key, _ in kept}
            kept = [record for record in kept if last[record[1]] == record[0]]
        first = max(offset, self.start.get(tp, 0))
        return [record for record in kept if record[0] >= first]

    def trim(self, tp: tuple[str, int], before: int) -> None:
        last = len(self.records.get(tp, [])) - 1
        self.start[tp] = max(self.start.get(tp, 0), min(before, last))


def declare_all(log: EmbeddedLog) -> None:
    log.declare("plain", 2)
    log.declare("compact", 1, compact=True)


async def compare_with_model(directory: Path, operations: Sequence[tuple[object, ...]]) -> None:
    log = EmbeddedLog(directory, upkeep_interval_s=3600, clock_ms=Clock())
    declare_all(log)
    model = Model()
    try:
        for operation in operations:
            if operation[0] == "reopen":
                log.close()
                log = EmbeddedLog(directory, upkeep_interval_s=3600, clock_ms=Clock())
            else:
                await apply(log, model, *operation)
        for tp in (("plain", 0), ("plain", 1), ("compact", 0)):
            with LogReader(directory).snapshot() as snapshot:
                found = [(r.offset, r.key, r.value) for r in snapshot.records(tp)]
                assert found == model.visible(tp, 0)
                assert snapshot.start(tp) == log.start(tp) == model.start.get(tp, 0)
                assert snapshot.end(tp) == log.end(tp) == len(model.records.get(tp, []))
    finally:
        log.close()


async def apply(log: EmbeddedLog, model: Model, *operation: object) -> None:
    match operation:
        case ("write", list(writes)):
            records = [LogRecord(topic, key, value, number) for (topic, number), key, value in writes]
            await log.transact("g", records, {})
            for tp, key, value in writes:
                model.write(tp, key, value)
        case ("trim", tuple(tp), int(before)):
            model.trim(tp, before)
            assert await log.trim(tp, before) == model.start[tp]
        case ("read", tuple(tp), int(offset), int(records_max), int(bytes_max)):
            found = [(r.offset, r.key, r.value) for r in await log.read(tp, offset, records_max, bytes_max)]
            expected = model.visible(tp, offset)
            assert found == expected[: len(found)]
            assert min(1, len(expected)) <= len(found) <= records_max
        case _:
            log.tidy()


@settings(max_examples=60, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=40))
def test_memory_and_disk_agree_with_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[object, ...]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partition_module, "TAIL_RECORDS_MAX", 6)
        asyncio.run(compare_with_model(tmp_path_factory.mktemp("log"), operations))


# -- other readers


async def test_a_snapshot_agrees_with_itself_while_the_log_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("in", 1)
        log.declare("out", 1)
        log.declare("rows", 1, compact=True)
        stop, checked = threading.Event(), []

        def watch() -> None:
            reader = LogReader(tmp_path)
            while not stop.is_set():
                with reader.snapshot() as snapshot:
                    count = snapshot.end(("out", 0))
                    assert snapshot.topics() == {"in": 1, "out": 1, "rows": 1}
                    assert (snapshot.committed("g", ("in", 0)) or 0) == count
                    assert [r.offset for r in snapshot.records(("out", 0))] == list(range(count))
                    latest = [r.value for r in snapshot.records(("rows", 0))]
                    assert latest == ([b"%d" % (count - 1)] if count else [])
                    checked.append(count)

        watching = asyncio.get_running_loop().run_in_executor(None, watch)
        n = 0
        while (len(checked) < 20 or len(set(checked)) < 2) and not watching.done():
            records = [LogRecord("out", None, b"%d" % n, 0), LogRecord("rows", b"k", b"%d" % n, 0)]
            n += 1
            await log.transact("g", records, {("in", 0): n})
        stop.set()
        await watching


async def test_a_snapshot_may_start_anywhere(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"%d" % n for n in range(10)])
        await log.trim(("t", 0), 4)
        with LogReader(tmp_path).snapshot() as snapshot:
            assert [r.offset for r in snapshot.records(("t", 0), 7)] == [7, 8, 9]
            assert [r.offset for r in snapshot.records(("t", 0), 1)] == [4, 5, 6, 7, 8, 9]


def test_a_reader_of_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogFault, match="there is no log in"):
        LogReader(tmp_path)


async def test_a_copy_of_the_log_has_other_lives(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with opened(first) as log:
        log.declare("table", 1, compact=True)
        begun = log.life
        assert log.life == begun, "one for each process"
        await log.append("table", 0, b"k", b"1")
    shutil.copytree(first, second)
    with opened(first) as log:
        assert log.continues(("table", 0), begun, 0)
        after = log.life
        assert log.continues(("table", 0), begun, 0)
        assert not log.continues(("table", 0), begun, 1), "that was written in the next one"
        await log.append("table", 0, b"k", b"2")
    with opened(second) as copy:
        await copy.append("table", 0, b"k", b"another")
        assert copy.continues(("table", 0), begun, 0)
        assert not copy.continues(("table", 0), after, 1)
