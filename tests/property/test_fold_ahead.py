"""Whatever order batches, transactions, rebalances and failures come in: the rows, events, offset and answers are those
of a program that folds one record, commits it, and takes the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from cell_worker import CHANGELOG, Log, Read, Worker, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.domain.cell import Cell
from exness_streams.domain.commands import Deposit, IdempotencyKey
from exness_streams.domain.events import Event
from exness_streams.engine.ahead import Bounds
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord


def record_at(offset: int, what: tuple[int, int] | None) -> Read:
    """what: an account and a key, both among a few, so that keys come again; None: a frame that tells the time."""
    if what is None:
        return quiet(offset)
    account, key = what
    command = Deposit(
        command_id=f"c{offset}", account_id=f"acc{account}", time_ms=1, starting_balance=Decimal(0),
        quote_age_ms_max=5_000, amount=Decimal(offset + 1), idempotency=IdempotencyKey(f"k{key}", f"f{key % 2}"),
    )  # fmt: skip
    return Read(offset, codec.encode(command))


class Naive:
    """Folds a record, commits it, and takes the next."""

    def __init__(self, journal: Sequence[Read]) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.events: list[Event] = []
        self.answers: dict[str, Any] = {}
        cell = Cell(0, self.entries.get)
        for read in journal:
            folded = cell.fold(read.offset, codec.decode_record(read.value or b""))
            self.events += folded.events
            if folded.reply is not None:
                self.answers[folded.reply.command_id] = folded.reply
            for key, value in cell.pending.items():
                self.entries.pop(key, None)
                if value is not None:
                    self.entries[key] = value
            cell.committed()
        self.meta = cell.meta


class FaultyLog(Log):
    """Takes its time, fails as it is told, and refuses whoever was fenced."""

    def __init__(self) -> None:
        super().__init__()
        self.next = "written"
        self.gate: asyncio.Event = asyncio.Event()
        self.gate.set()

    async def commit(self, partition: int, written: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        mine = self.leases[partition]
        await self.gate.wait()
        if self.leases.get(partition) is not mine:
            raise LogFault("fenced")
        outcome, self.next = self.next, "written"
        if outcome == "refused":
            raise LogFault("rolled back", written=False)
        offsets = await super().commit(partition, written, next_offset)
        if outcome == "unknown":
            raise LogFault("no answer", written=None)
        return offsets


STEPS = st.one_of(
    st.tuples(st.just("batch"), st.integers(1, 7)),
    st.tuples(st.just("again"), st.integers(1, 5)),
    st.tuples(st.just("turns"), st.integers(1, 8)),
    st.tuples(
        st.sampled_from(["hold", "go", "refused", "unknown", "comes back", "moves", "crash", "zombie"]), st.just(0)
    ),
)


class Life:
    """The workers of one partition, one after the other."""

    def __init__(self, journal: Sequence[Read], bound: int) -> None:
        self.journal = journal
        self.bounds = Bounds(bound)
        self.log = FaultyLog()
        self.tasks: list[asyncio.Task[None]] = []
        self.workers: list[Worker] = []
        self.answers: dict[str, set[Any]] = {}
        self.worker = self.new_worker(LogTable(CHANGELOG))
        self.read = 0

    def new_worker(self, table: LogTable) -> Worker:
        worker = Worker(self.log, table)
        worker.host.committer.room.bounds = self.bounds
        self.workers.append(worker)
        return worker

    async def step(self, name: str, count: int) -> None:
        log, worker = self.log, self.worker
        if name in ("batch", "again"):
            first = self.read if name == "batch" else max(log.offset or 0, self.read - count)
            batch = self.journal[first : first + count]
            self.read = max(self.read, first + len(batch))
            if batch:
                self.tasks.append(asyncio.create_task(worker.host.fold(0, batch)))
                await asyncio.sleep(0)
        elif name == "turns":
            for _ in range(count):
                await asyncio.sleep(0)
        elif name == "hold":
            log.gate.clear()
        elif name == "go":
            log.gate.set()
        elif name in ("refused", "unknown"):
            log.next = name
        else:
            await self.deal(name)
        if worker.host.committer.fault is not None and worker is self.worker:
            await self.deal("crash")  # what a failed transaction does to a worker

    async def deal(self, name: str) -> None:
        """The partition is dealt out anew: to the same worker, to another, or to one that was started again."""
        log, worker = self.log, self.worker
        if name in ("comes back", "moves"):
            quiescing = asyncio.ensure_future(log.quiesce([0]))
            for _ in range(4):
                await asyncio.sleep(0)
            if not quiescing.done():  # the transports wait for so long, and no longer
                quiescing.cancel()
        if name == "comes back" and worker.host.committer.fault is None:
            await log_fence(log)
            worker.host.take_leases()
            worker.table.recover(log.changelog)
            await worker.host.mend_offset(0, journal_start=0)
            worker.host.load(0, journal_start=0, journal_end=1_000)
        else:
            if name != "zombie":  # that one has not heard of it yet
                worker.host.drop([0])
            await log_fence(log)
            self.worker = self.new_worker(worker.table if name == "crash" else LogTable(CHANGELOG, log.changelog))
        self.read = log.offset or 0

    async def end(self) -> None:
        self.log.gate.set()
        self.log.next = "written"
        await self.deal("moves")
        await self.worker.fold(self.journal[self.read :])
        await self.worker.host.close()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 5)  # nobody waits for ever
        for worker in self.workers:
            if worker is not self.worker:
                worker.host.drop([0])  # at last it hears of it
            await worker.host.settle()


async def log_fence(log: FaultyLog) -> None:
    """A lease ends at once; what is under way for it is decided by then."""
    log.leases[0].end()
    log.fence_now(0)


async def lived(journal: Sequence[Read], steps: Sequence[tuple[str, int]], bound: int) -> Life:
    life = Life(journal, bound)
    for name, count in steps:
        await life.step(name, count)
    await life.end()
    return life


@settings(max_examples=300, deadline=None)
@given(
    records=st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 4))), min_size=1, max_size=24),
    steps=st.lists(STEPS, max_size=40),
    bound=st.sampled_from([1, 3, 1_000]),
)
def test_rows_events_offset_and_answers_are_those_of_the_plain_way(
    records: list[tuple[int, int] | None], steps: list[tuple[str, int]], bound: int
) -> None:
    journal = [record_at(offset, what) for offset, what in enumerate(records)]
    naive = Naive(journal)
    life = asyncio.run(lived(journal, steps, bound))
    log, table = life.log, life.worker.table
    assert log.offset == len(journal)
    entries = {key: value for key, value in table.entries.items() if key != codec.META_KEY}
    assert entries == naive.entries
    assert codec.decode_meta(table.entries[codec.META_KEY]) == naive.meta
    assert log.events == naive.events
    told = [reply for worker in life.workers for reply in worker.replies]
    assert all(reply == naive.answers[reply.command_id] for reply in told)
    assert {reply.command_id for reply in told} == naive.answers.keys()
    for worker in life.workers:
        events = {event.sequence: event for event in worker.told.events if event.account_id == "acc0"}
        assert events.items() <= {one.sequence: one for one in naive.events if one.account_id == "acc0"}.items()
        room = worker.host.committer.room
        assert (room.records, room.size) == (0, 0)
