"""A partition that leaves while a batch of it is under way, for good or to come back at once as another object.

Whatever the old object still does, it may change nothing, commit nothing and tell nobody anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from account_events import deposited
from cell_worker import BATCHES, CHANGELOG, SLICE, Log, Read, Worker, deposit, quiet

from exness_streams.domain import codec
from exness_streams.engine import cells as cells_module
from exness_streams.engine import history as history_module
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.journal_faults import JournalFault
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import CellReleased
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "SLICE_RECORDS_MAX", SLICE)
    monkeypatch.setattr(history_module, "SLICE_EVENTS_MAX", SLICE)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("turns", range(12))
async def test_a_partition_that_leaves_and_comes_back_during_a_batch_counts_each_record_once(
    name: str, turns: int
) -> None:
    """Faust leaves the agent of a partition that stays with the worker alone, and seeks the committed offset."""
    batch = BATCHES[name]
    worker = Worker(Log())
    old = asyncio.create_task(worker.host.fold(0, batch))
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.host.drop([0])
    worker.load()
    again = batch[worker.log.offset or 0 :]
    await asyncio.gather(old, worker.fold(again) if again else asyncio.sleep(0))
    deposits = sum(read.value == deposit(read.offset).value for read in batch)
    assert worker.cash == deposits
    assert [event.sequence for event in worker.log.events] == list(range(1, deposits + 1))
    # A client may be told twice what was settled and not committed; it is the same, and nothing is left out.
    assert {event.sequence for event in worker.told.events} == set(range(1, deposits + 1))
    assert {reply.command_id for reply in worker.replies} == {
        f"c{r.offset}" for r in batch if r.value != quiet(0).value
    }


@pytest.mark.parametrize("turns", range(1, 12))
async def test_a_cell_that_was_dropped_tells_nobody_anything(turns: int) -> None:
    worker = Worker(Log())
    old = asyncio.create_task(worker.host.fold(0, BATCHES["deposits from the first"]))
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.host.drop([0])
    before = len(worker.replies), len(worker.told.events), worker.log.offset
    await old
    assert (len(worker.replies), len(worker.told.events), worker.log.offset) == before


async def test_records_that_are_delivered_twice_have_their_effect_once() -> None:
    worker = Worker(Log())
    await worker.fold([deposit(n) for n in range(8)])
    replies = len(worker.replies)
    await worker.fold([deposit(n) for n in range(4)])
    assert (worker.cash, worker.log.offset, len(worker.replies)) == (8, 8, replies)
    await worker.fold([deposit(n) for n in range(6, 12)])
    assert (worker.cash, worker.log.offset, len(worker.replies)) == (12, 12, 12)


async def test_a_gap_is_said_in_one_line() -> None:
    worker = Worker(Log())
    with pytest.raises(JournalFault, match="expected record 0 of the journal, got 1"):
        await worker.fold([deposit(1)])


async def test_a_row_from_a_later_record_is_a_fault_and_nobody_goes_on_with_that_cell() -> None:
    """Two holders of one cell have written: the earlier record must not be applied on top."""
    worker = Worker(Log())
    await worker.fold([deposit(0)])
    row = codec.decode_row(worker.log.table.entries[codec.row_key("ann")])
    ahead = msgspec.structs.replace(row, applied_offset=7)
    worker.log.table.entries[codec.row_key("ann")] = codec.encode(ahead)
    with pytest.raises(JournalFault, match=r"account ann .*record 7.*record 1") as fault:
        await worker.fold([deposit(1)])
    assert "\n" not in str(fault.value)
    assert worker.log.offset == 1
    assert worker.host.cell(0) is None, "half changed"
    assert not worker.host.is_ready


async def test_a_cell_that_is_loaded_over_another_ends_its_followers() -> None:
    worker = Worker(Log())
    worker.log.changelog.append(LogRecord(CHANGELOG, b"quote/OF_ANOTHER", None))
    worker.load()
    assert worker.told.dropped_cells == [0]


# Histories, and whatever else commits a table


@pytest.mark.parametrize("turns", range(14))
async def test_a_history_that_leaves_and_comes_back_during_a_batch_takes_each_event_once(turns: int) -> None:
    log = Log()
    table: Any = log.table
    cell_log: Any = log
    host = HistoryHost(table, cell_log, pace_s=0.0)
    host.load(0, events_start=0, events_end=100)
    batch = [Read(n, codec.encode(event)) for n, event in enumerate(deposited(n, str(n)) for n in range(1, 21))]
    old = asyncio.create_task(host.fold(0, batch))
    for _ in range(turns):
        await asyncio.sleep(0)
    host.drop([0])
    log.fence_now(0)
    log.recover()
    host.load(0, events_start=0, events_end=100)
    await asyncio.gather(old, host.fold(0, batch))
    head = host.head(0, "demo")
    await host.close()
    assert (head.sequence, head.points.end, log.offset) == (20, 20, 20)
    meta = codec.decode_meta(log.table.entries[codec.META_KEY])
    assert (meta.accounts, meta.taken) == (1, 20)


def commits_of(log: Log) -> TableCommits:
    table: Any = log.table
    return TableCommits(table, WorkMetrics())


async def ended_by_the_log(log: Log) -> None:
    await log.release([0])


async def ended_by_the_next_holder(log: Log) -> None:
    log.fence_now(0)


async def quiesced(log: Log) -> None:
    await log.quiesce([0])


ENDS: list[Callable[[Log], Awaitable[None]]] = [ended_by_the_log, ended_by_the_next_holder]


@pytest.mark.parametrize("end", [*ENDS, quiesced])
async def test_a_lease_that_is_not_held_commits_nothing(end: Callable[[Log], Awaitable[None]]) -> None:
    log = Log()
    commits, lease = commits_of(log), log.fence_now(0)
    await commits.commit(lease, {b"a": b"1"}, [], 1)
    await end(log)
    assert not lease.is_held
    with pytest.raises(CellReleased):
        await commits.commit(lease, {b"a": b"2"}, [], 2)
    assert (log.offset, log.table.entries) == (1, {b"a": b"1"})


@pytest.mark.parametrize("end", ENDS)
async def test_a_lease_that_ends_during_its_transaction_leaves_the_table_to_recovery(
    end: Callable[[Log], Awaitable[None]],
) -> None:
    """The table may have newer entries by then, of another worker's transactions."""
    log = Log()
    commits, lease = commits_of(log), log.fence_now(0)
    log.gate = asyncio.Event()
    committing = asyncio.create_task(commits.commit(lease, {b"a": b"1"}, [], 1))
    await asyncio.sleep(0)
    ending = asyncio.ensure_future(end(log))
    await asyncio.sleep(0)
    log.changelog.append(LogRecord(CHANGELOG, b"a", b"newer"))
    log.recover()
    log.gate.set()
    await asyncio.gather(committing, ending)
    assert log.table.entries == {b"a": b"newer"}
    assert log.table.offset == 1
    assert lease.committed is None, "a later fence tells how it ended"


async def test_what_is_under_way_at_a_revocation_is_awaited_and_comes_into_the_table() -> None:
    log = Log()
    commits, lease = commits_of(log), log.fence_now(0)
    log.gate = asyncio.Event()
    committing = asyncio.create_task(commits.commit(lease, {b"a": b"1"}, [], 1))
    late = asyncio.create_task(commits.commit(lease, {b"a": b"2"}, [], 2))
    await asyncio.sleep(0)
    quiescing = asyncio.ensure_future(log.quiesce([0]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not quiescing.done()
    log.gate.set()
    await quiescing
    assert log.table.entries == {b"a": b"1"}, "before the partitions are dealt out"
    await committing
    with pytest.raises(CellReleased):
        await late
    assert lease.committed == log.offset == 1


class FakeProducer:
    """As much of an aiokafka producer as a cell's start and end need."""

    async def stop(self) -> None:
        await asyncio.sleep(0)


class UnstartedCellLog(KafkaCellLog):
    """Fences without brokers."""

    def __init__(self) -> None:
        cluster: Any = None
        super().__init__(cluster, "journal", "group")

    async def _start_producer(self, partition: int) -> Any:
        return FakeProducer()


async def test_kafka_ends_a_lease_before_anything_else_at_a_release_and_a_new_fence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is stopping is not told of a revocation by Faust, but its cells are fenced anew all the same."""

    async def nothing_committed(*_: Any) -> dict[int, int]:
        return {}

    monkeypatch.setattr("exness_streams.transport.kafka.commits.committed_offsets", nothing_committed)
    cells = UnstartedCellLog()
    ways: list[Callable[[], Awaitable[object]]] = [
        lambda: cells.fence([0]), lambda: cells.release([0]), lambda: cells.close(),
    ]  # fmt: skip
    for way in ways:
        lease = (await cells.fence([0]))[0]
        assert lease is cells.lease(0)
        going = asyncio.ensure_future(way())
        await asyncio.sleep(0)
        assert lease.is_over
        await going
    with pytest.raises(CellReleased):
        cells.lease(0)
