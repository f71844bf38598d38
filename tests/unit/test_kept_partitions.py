"""Partitions are dealt out anew while a batch is under way: quiesced at once; then kept, loaded anew, or given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from account_events import deposited
from cell_worker import BATCHES, CHANGELOG, SLICE, Log, Read, Worker, deposit, quiet
from history_log import hurry
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.domain.codec import META_KEY
from exness_streams.engine import cells as cells_module
from exness_streams.engine import history as history_module
from exness_streams.engine.history import HistoryHost, NotOwned
from exness_streams.engine.journal_faults import JournalFault
from exness_streams.transport.faults import CellReleased, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "SLICE_RECORDS_MAX", SLICE)
    monkeypatch.setattr(history_module, "SLICE_EVENTS_MAX", SLICE)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def deposits_in(batch: list[Read]) -> int:
    return sum(read.value != quiet(0).value for read in batch)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("before", range(12))
@pytest.mark.parametrize("between", [0, 1, 3])
async def test_a_cell_that_comes_back_goes_on_as_if_nothing_had_been(name: str, before: int, between: int) -> None:
    """Nobody committed meanwhile: each record has its effect once, and is told once, also what ran ahead."""
    batch, worker = BATCHES[name], Worker(Log())
    cell = worker.host.cell(0)
    old = asyncio.create_task(worker.host.fold(0, batch))
    await turns(before)
    await worker.log.quiesce([0])
    told = len(worker.replies)
    assert not worker.host.holds_lease(0)
    await turns(between)
    assert len(worker.replies) == told, "a quiesced cell folds nothing more"
    await worker.is_dealt(0)
    assert worker.host.holds_lease(0)
    assert worker.host.cell(0) is cell
    assert worker.told.dropped_cells == []
    again = batch[worker.log.offset or 0 :]
    await old
    await worker.fold(again)
    deposits = deposits_in(batch)
    assert worker.cash == deposits
    for events in (worker.log.events, worker.told.events):
        assert [event.sequence for event in events] == list(range(1, deposits + 1))
    assert [reply.command_id for reply in worker.replies] == [
        f"c{read.offset}" for read in batch if read.value != quiet(0).value
    ]
    assert worker.host.ahead_of(0) == (0, 0)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("before", range(12))
@pytest.mark.parametrize("taken", [0, 1, SLICE, 20])
async def test_a_cell_that_was_elsewhere_meanwhile_is_loaded_anew(name: str, before: int, taken: int) -> None:
    """Another worker folded `taken` records of what was not committed, and gave the partition back."""
    batch, log = BATCHES[name], Log()
    worker = Worker(log)
    old = asyncio.create_task(worker.host.fold(0, batch))
    await turns(before)
    await log.quiesce([0])
    other = Worker(log, LogTable(CHANGELOG))
    first = log.offset or 0
    await other.fold(batch[first : first + taken])
    has_committed = (log.offset or 0) != first
    await log.quiesce([0])
    await worker.is_dealt(0)
    assert worker.told.dropped_cells == [0] * has_committed
    await old
    rest = batch[log.offset or 0 :]
    if rest:
        await worker.fold(rest)
    deposits = deposits_in(batch)
    assert worker.cash == deposits
    assert [event.sequence for event in log.events] == list(range(1, deposits + 1))


@pytest.mark.parametrize("before", range(12))
async def test_a_cell_that_goes_to_another_worker_is_forgotten(before: int) -> None:
    batch, worker = BATCHES["deposits from the first"], Worker(Log())
    old = asyncio.create_task(worker.host.fold(0, batch))
    await turns(before)
    await worker.log.quiesce([0])
    await worker.log.take_over([])
    assert worker.host.take_leases() == [0]
    seen = len(worker.replies), len(worker.told.events), worker.log.offset
    await old
    assert (len(worker.replies), len(worker.told.events), worker.log.offset) == seen
    assert worker.host.cell(0) is None
    assert not worker.host.holds_lease(0)
    assert worker.told.dropped_cells == [0]


async def test_a_table_that_another_wrote_at_the_same_offset_is_read_anew() -> None:
    worker = Worker(Log())
    await worker.fold([deposit(0)])
    await worker.log.quiesce([0])
    meta = worker.log.table.entries[META_KEY]
    worker.log.changelog.append(LogRecord(CHANGELOG, META_KEY, meta))
    await worker.is_dealt(0)
    assert worker.told.dropped_cells == [0]


async def test_a_kept_cell_tells_nothing_before_it_has_what_an_owner_in_between_may_have_told() -> None:
    """The other one folded, answered, and died before its commit: the offset is as it was, the journal is longer."""
    batch, worker = BATCHES["deposits from the first"], Worker(Log())
    await worker.fold(batch[:10])
    worker.host.load(0, journal_start=0, journal_end=10)
    assert worker.host.is_caught_up(0)
    cell = worker.host.cell(0)
    await worker.log.quiesce([0])
    await worker.log.take_over([0])
    worker.host.take_leases()
    assert not worker.host.is_caught_up(0), "nobody has looked where the journal ends"
    worker.host.load(0, journal_start=0, journal_end=20)
    assert worker.host.cell(0) is cell
    assert not worker.host.is_caught_up(0)
    await worker.fold(batch[10:])
    assert worker.host.is_caught_up(0)


async def test_storms_of_rebalances_keep_the_cell() -> None:
    batch, worker = BATCHES["deposits in between"], Worker(Log())
    cell, folding = worker.host.cell(0), []
    for storm in range(20):
        folding.append(asyncio.create_task(worker.host.fold(0, batch[worker.log.offset or 0 :])))
        await turns(storm % 4)
        await worker.log.quiesce([0])
        await worker.is_dealt(0)
    await asyncio.gather(*folding, worker.fold(batch[worker.log.offset or 0 :]))
    assert worker.host.cell(0) is cell
    assert worker.cash == deposits_in(batch)
    assert [event.sequence for event in worker.told.events] == list(range(1, deposits_in(batch) + 1))


@pytest.mark.parametrize("offset", [0, 3, 7])
async def test_records_from_before_what_was_committed_are_of_another_journal(offset: int) -> None:
    """They would be passed over without a word, and those who wait for them get no answer."""
    worker = Worker(Log())
    await worker.fold([deposit(n) for n in range(8)])
    await worker.log.quiesce([0])
    await worker.is_dealt(0)
    with pytest.raises(JournalFault, match=rf"record {offset} .* all before 8 were committed") as fault:
        await worker.fold([deposit(offset)])
    assert "\n" not in str(fault.value)
    assert worker.host.cell(0) is None


async def test_a_kept_cell_notices_that_the_journal_ends_before_it_or_begins_after_it() -> None:
    for start, end, words in ((0, 7, "ends at 7"), (9, 20, "begins at 9")):
        worker = Worker(Log())
        await worker.fold([deposit(n) for n in range(8)])
        await worker.log.quiesce([0])
        await worker.log.take_over([0])
        worker.host.take_leases()
        with pytest.raises(JournalFault, match=words):
            worker.host.load(0, journal_start=start, journal_end=end)


# Histories


EVENTS = [Read(n, codec.encode(event)) for n, event in enumerate(deposited(n, str(n)) for n in range(1, 21))]


@pytest.mark.parametrize("before", range(14))
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("pace_s", [0.0, 3_600.0])
async def test_a_history_that_comes_back_takes_each_event_once(before: int, elsewhere: bool, pace_s: float) -> None:
    log = Log()
    table: Any = log.table
    cell_log: Any = log
    host = HistoryHost(table, cell_log, pace_s=pace_s)
    host.load(0, events_start=0, events_end=100)
    old = asyncio.create_task(host.fold(0, EVENTS))
    await turns(before)
    await log.quiesce([0])
    with pytest.raises(NotOwned):
        host.head(0, "demo")
    known = host._partitions[0]
    if elsewhere:
        theirs: Any = LogTable(CHANGELOG, log.changelog)
        log.fence_now(0)
        other = HistoryHost(theirs, cell_log, pace_s=0.0)
        other.load(0, events_start=0, events_end=100)
        await other.fold(0, EVENTS[log.offset or 0 :][:3])
        await turns(5)
        await log.quiesce([0])
    committed = known.lease.committed
    await log.take_over([0])
    host.drop_lost()
    table.recover(log.changelog)
    await host.mend(0, events_start=0, events_end=100)
    host.load(0, events_start=0, events_end=100)
    assert (host._partitions[0] is known) is (committed == log.offset)
    await old
    if log.offset != 20:
        await host.fold(0, EVENTS[log.offset or 0 :])
    await hurry(host)
    assert await host.wait_for(0, "demo", 20, 5.0)
    head = host.head(0, "demo")
    assert (head.sequence, head.points.end, log.offset) == (20, 20, 20)
    meta = codec.decode_meta(table.entries[META_KEY])
    assert (meta.accounts, meta.taken) == (1, 20)
    await host.close()


async def test_a_history_of_another_worker_is_forgotten() -> None:
    log = Log()
    table: Any = log.table
    cell_log: Any = log
    host = HistoryHost(table, cell_log, pace_s=0.0)
    host.load(0, events_start=0, events_end=100)
    await log.quiesce([0])
    await log.take_over([])
    host.drop_lost()
    assert list(host.progress()) == []


# The fence of the next owner


@pytest.mark.parametrize("hears", ["before", "after", "never"])
@pytest.mark.parametrize("way", ["quiesced", "given up"])
async def test_a_fenced_owner_that_hears_of_a_rebalance_goes_on_with_its_other_cells(hears: str, way: str) -> None:
    """A lease that stays held was taken by somebody who should not have it: that ends the worker, as before."""

    async def fenced(*_: object) -> list[int]:
        if hears == "before":
            hear()
        raise LogFenced("taken over", written=False)

    lease = Lease(0, "partition 0", None, fenced, fenced_wait_s=0.05)
    leaving: list[asyncio.Future[None]] = []

    def hear() -> None:
        if way == "quiesced":
            leaving.append(asyncio.ensure_future(lease.quiesce()))
        else:
            lease.end()

    committing = asyncio.ensure_future(lease.commit([], 1))
    await turns(3)
    if hears == "after":
        hear()
    with pytest.raises(LogFenced if hears == "never" else CellReleased):
        await committing
    await asyncio.gather(*leaving)


async def test_a_cell_is_caught_up_whatever_another_is_at() -> None:
    worker = Worker(Log())
    worker.log.fence_now(1)
    worker.host.load(1, journal_start=0, journal_end=0)
    assert worker.host.is_caught_up(1)
    assert not worker.host.is_caught_up(0)
    assert not worker.host.is_caught_up(2)
    assert not worker.host.is_ready
