"""Clients are answered at the fold: what is folded and not committed is readable, bounded, and committed in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from cell_worker import CHANGELOG, Log, Worker, deposit, quiet
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.engine.ahead import EVENT_BYTES, Ahead, Bounds, Part, Room
from exness_streams.engine.cells import CellHost
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

SMALL = Bounds(10, 1 << 20, 1 << 30)


class HeldLog(Log):
    """Holds each transaction before it is written, until it is let go. fault: what the next one fails with."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: asyncio.Event = asyncio.Event()
        self.begun = 0
        self.fault: LogFault | None = None
        self.commits: list[int] = []

    async def commit(self, partition: int, written: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        self.begun += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.commits.append(next_offset)
        return await super().commit(partition, written, next_offset)


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def cash_of(worker: Worker) -> Decimal:
    cell = worker.host.cell(0)
    assert cell is not None
    row = cell.account("ann")
    assert row is not None
    return row.cash


async def test_a_client_is_answered_and_the_next_batch_folded_while_a_transaction_is_under_way() -> None:
    log = HeldLog()
    worker = Worker(log)
    for offset in range(6):
        await worker.host.fold(0, [deposit(offset)])
        await turns()
    assert log.begun == 1
    assert [reply.command_id for reply in worker.replies] == [f"c{n}" for n in range(6)]
    assert len(worker.told.events) == 6
    assert (log.offset, log.events, log.table.entries) == (None, [], {})
    assert cash_of(worker) == 6
    log.gate.set()
    await worker.host.settle()
    assert log.commits == [1, 6], "one transaction at a time, and all that gathered in the next"
    assert [event.sequence for event in log.events] == [1, 2, 3, 4, 5, 6]
    assert worker.cash == 6
    assert worker.host.ahead_of(0) == (0, 0)


async def test_a_key_of_what_is_not_committed_is_known() -> None:
    log = HeldLog()
    worker = Worker(log)
    once = codec.decode_record(deposit(0).value or b"")
    await worker.host.fold(0, [deposit(0)])
    cell = worker.host.cell(0)
    assert cell is not None
    assert cell.stored("ann") is not None
    assert cell.account("ann") == codec.decode_row(cell.stored("ann") or b"")
    assert once.command_id == "c0"
    log.gate.set()
    await worker.host.settle()


def host_of(log: HeldLog, bounds: Bounds) -> CellHost:
    table: Any = LogTable(CHANGELOG)
    cell_log: Any = log
    host = CellHost(table, cell_log, lambda reply: None, bounds=bounds)
    log.fence_now(0)
    host.load(0, journal_start=0, journal_end=0)
    return host


async def waiting(host: CellHost, log: HeldLog) -> asyncio.Task[None]:
    """A batch that finds the cell's bound full."""
    for offset in range(10):
        await host.fold(0, [deposit(offset)])
    late = asyncio.create_task(host.fold(0, [deposit(10)]))
    await turns()
    assert not late.done()
    assert host.ahead_of(0)[0] == 10
    return late


async def test_a_full_bound_makes_the_next_batch_wait_and_a_commit_lets_it_in() -> None:
    log = HeldLog()
    host = host_of(log, SMALL)
    late = await waiting(host, log)
    assert host.progress(0).next_offset == 10
    log.gate.set()
    await asyncio.wait_for(late, 5)
    await host.settle()
    assert host.progress(0)[:3] == (11, 11, 0)


@pytest.mark.parametrize("ending", ["quiesced", "fenced anew", "released", "dropped", "failed", "closed", "cancelled"])
async def test_nobody_waits_for_ever(ending: str) -> None:
    log = HeldLog()
    host = host_of(log, SMALL)
    late = await waiting(host, log)
    ends: list[asyncio.Future[Any]] = []
    if ending == "quiesced":
        ends.append(asyncio.ensure_future(log.quiesce([0])))
    elif ending == "fenced anew":
        await log.fence([0])
    elif ending == "released":
        ends.append(asyncio.ensure_future(log.release([0])))
    elif ending == "dropped":
        host.drop([0])
    elif ending == "failed":
        log.fault = LogFault("no commit")
        log.gate.set()
        with pytest.raises(LogFault, match="no commit"):
            await asyncio.wait_for(host.run(), 5)
    elif ending == "closed":
        ends.append(asyncio.ensure_future(host.close()))
        log.gate.set()
    else:
        late.cancel()
    await asyncio.wait([late], timeout=5)
    assert late.done()
    cell = host.cell(0)
    assert cell is None or cell.next_offset == 10, "it is not folded"
    log.gate.set()
    await asyncio.gather(*ends)


async def test_the_bound_of_a_worker_is_of_all_its_cells_and_one_of_which_nothing_waits_goes_on() -> None:
    log = HeldLog()
    host = host_of(log, Bounds(100, 1 << 20, 1))
    log.fence_now(1)
    host.load(1, journal_start=0, journal_end=0)
    await host.fold(0, [deposit(0)])
    await host.fold(1, [deposit(0)])
    late = asyncio.create_task(host.fold(1, [deposit(1)]))
    await turns()
    assert not late.done()
    assert (host.ahead_of(0)[0], host.ahead_of(1)[0]) == (1, 1)
    log.gate.set()
    await asyncio.wait_for(late, 5)
    await host.settle()
    assert (host.committer.room.records, host.committer.room.size) == (0, 0)


async def test_bytes_are_bounded_as_records_are() -> None:
    log = HeldLog()
    host = host_of(log, Bounds(1_000, 10 * EVENT_BYTES, 1 << 30))
    offset = 0
    late = asyncio.create_task(asyncio.sleep(0))
    while offset < 100 and (await turns() or late.done()):
        late = asyncio.create_task(host.fold(0, [deposit(offset)]))
        offset += 1
    assert offset < 12
    assert host.ahead_of(0)[1] < 12 * EVENT_BYTES
    log.gate.set()
    await asyncio.wait_for(late, 5)
    await host.settle()


async def test_what_a_failed_transaction_held_goes_out_first_when_the_cell_is_kept() -> None:
    """The broker rolled it back, the partition came back, and no record comes: it is committed all the same."""
    log = HeldLog()
    worker = Worker(log)
    await worker.host.fold(0, [deposit(0)])
    await turns()
    await worker.host.fold(0, [deposit(1)])
    quiescing = asyncio.ensure_future(log.quiesce([0]))
    await turns()
    log.fault = LogFault("rolled back")
    log.gate.set()
    await quiescing
    assert (log.offset, worker.host.ahead_of(0)[0]) == (None, 2)
    log.fault = None
    await worker.is_dealt(0)
    await worker.host.settle()
    assert [event.sequence for event in log.events] == [1, 2]
    assert (worker.cash, log.offset, log.commits) == (2, 2, [1, 2])
    await worker.fold([deposit(0), deposit(1), deposit(2)])
    assert (worker.cash, len(worker.replies)) == (3, 3)


async def test_a_cell_that_came_back_commits_nothing_before_it_was_looked_at() -> None:
    """Recovery may be bringing another owner's entries into its table."""
    log = HeldLog()
    worker = Worker(log)
    await worker.host.fold(0, [deposit(0)])
    await turns()
    quiescing = asyncio.ensure_future(log.quiesce([0]))
    await turns()
    log.fault = LogFault("rolled back")
    log.gate.set()
    await quiescing
    log.fault, begun = None, log.begun
    await log.take_over([0])
    assert worker.host.take_leases() == []
    await turns()
    assert log.begun == begun
    worker.host.load(0, journal_start=0, journal_end=1)
    await worker.host.settle()
    assert (log.begun, log.offset, worker.cash) == (begun + 1, 1, 1)


async def test_what_comes_before_a_gap_in_a_batch_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition is being dealt out anew, so the gap is no fault; and the cell is kept, for nobody has committed."""
    log = HeldLog()
    log.gate.set()
    worker = Worker(log)
    lease = log.lease(0)

    async def is_lost() -> bool:
        await lease.quiesce()
        return True

    monkeypatch.setattr(lease, "is_lost", is_lost)
    await worker.host.fold(0, [deposit(0), deposit(2)])
    await worker.is_dealt(0)
    await worker.fold([deposit(0), deposit(1), deposit(2)])
    assert [event.sequence for event in log.events] == [1, 2, 3]
    assert [event.sequence for event in worker.told.events] == [1, 2, 3]
    assert [reply.command_id for reply in worker.replies] == ["c0", "c1", "c2"]


async def test_a_stop_commits_all_that_was_folded_quotes_and_the_time_included() -> None:
    log = HeldLog()
    worker = Worker(log)
    await worker.host.fold(0, [deposit(0)])
    await turns()
    await worker.host.fold(0, [quiet(1), quiet(2)])
    closing = asyncio.ensure_future(worker.host.close())
    await turns()
    assert not closing.done()
    log.gate.set()
    await closing
    assert log.offset == 3
    await worker.host.fold(0, [deposit(3)])
    assert [reply.command_id for reply in worker.replies] == ["c0"], "a worker that stops folds no more"


async def test_a_stop_waits_for_a_log_that_hangs_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exness_streams.engine.paced_commits.CLOSE_S_MAX", 0.01)
    log = HeldLog()
    worker = Worker(log)
    await worker.host.fold(0, [deposit(0)])
    await asyncio.wait_for(worker.host.close(), 5)
    assert log.offset is None
    log.gate.set()
    await worker.host.settle()


# What runs ahead


def part(values: dict[bytes, bytes | None], next_offset: int = 1, records: int = 1) -> Part:
    return Part(values, [], codec.Meta(0, next_offset, 0, 0), records)


def test_the_newest_value_is_read_until_the_table_has_it() -> None:
    table = {b"a": b"stored", b"b": b"stored"}
    ahead = Ahead(Room(Bounds()), table.get)
    ahead.add(part({b"a": b"1", b"b": None}))
    first = ahead.take()
    ahead.add(part({b"a": b"2"}))
    assert (ahead.entry(b"a"), ahead.entry(b"b"), ahead.entry(b"c")) == (b"2", None, None)
    table.update({b"a": b"1"})
    del table[b"b"]
    ahead.committed(first)
    assert (ahead.entry(b"a"), ahead.entry(b"b")) == (b"2", None)
    ahead.committed(ahead.take())
    table[b"a"] = b"the table's"
    assert ahead.entry(b"a") == b"the table's"
    assert (ahead.records, ahead.size) == (0, 0)


def test_parts_are_joined_while_they_fit_into_one_transaction() -> None:
    ahead = Ahead(Room(Bounds()), lambda key: None)
    for offset in range(6):
        ahead.add(part({b"a": b"%d" % offset}, offset + 1, records=200))
    assert [one.records for one in ahead.parts] == [400, 400, 400]
    ahead.add(part({b"large": bytes(1 << 20)}, 7))
    ahead.add(part({b"b": b"1"}, 8))
    assert [one.meta.next_offset for one in ahead.parts] == [2, 4, 6, 7, 8]


def test_what_is_given_up_leaves_its_room_once() -> None:
    room = Room(Bounds())
    ahead, other = Ahead(room, lambda key: None), Ahead(room, lambda key: None)
    ahead.add(part({b"a": b"1"}))
    other.add(part({b"a": b"1"}))
    under_way = ahead.take()
    ahead.add(part({b"b": b"1"}))
    ahead.give_up()
    ahead.committed(under_way)
    ahead.give_up()
    assert room.records == other.records == 1
    assert room.size == other.size
