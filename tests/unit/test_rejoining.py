"""A partition that the log refuses, or another has committed: its group says whose it is; no damage is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from account_events import closed
from cell_worker import Log as CellsLog
from cell_worker import Worker, deposit
from event_loop import turns
from history_log import Log as EventsLog
from history_log import batch, worker
from kept_frames import KeptFrames, KeptTicks

from exness_streams.engine.cells import CellHost
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import FramerState
from exness_streams.engine.journal_faults import JournalGap
from exness_streams.transport import rejoining as rejoining_module
from exness_streams.transport.faults import CellReleased, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from exness_streams.transport.rejoining import ASKED_MAX, ASKED_WITHIN_S, BACK_OFF_S, Rejoining


class Group:
    """What a worker's group was asked. now_s: its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0
        self.offset: int | None = None
        self.rejoining = Rejoining(lambda: self.now_s)
        self.rejoining.rejoin = self._ask
        self.asks_again_in_s, self.ask_again = self.rejoining.asks_again_in_s, self.rejoining.ask_again

    def _ask(self) -> None:
        self.asked += 1

    async def committed(self) -> int | None:
        return self.offset

    def lease(self, committed: int | None = None) -> Lease:
        async def fenced(*_: object) -> Sequence[int]:
            raise LogFenced("taken over", written=None)

        return Lease(0, "partition 0", committed, fenced, ownership=self)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoining_module, "BACK_OFF_S", 0.0)


async def test_the_owner_that_a_late_worker_fenced_asks_its_group_and_goes_on() -> None:
    group = Group()
    lease = group.lease()
    assert lease.state == "held"
    with pytest.raises(CellReleased, match="partition 0 is another worker's"):
        await lease.commit([], 1)
    assert group.asked == 1
    assert (lease.is_held, lease.state) == (False, "doubted")
    with pytest.raises(CellReleased):
        await lease.commit([], 1)
    await lease.quiesce()
    assert lease.state == "quiesced"
    lease.end()
    assert lease.state == "ended"


async def test_all_that_one_late_worker_took_is_asked_for_once() -> None:
    group = Group()
    for _ in range(3 * ASKED_MAX):
        with pytest.raises(CellReleased):
            await group.lease().commit([], 1)
    assert (group.asked, group.rejoining.count) == (1, 1)
    group.rejoining.dealt_out()
    with pytest.raises(CellReleased):
        await group.lease().commit([], 1)
    assert (group.asked, group.rejoining.count) == (2, 2)


async def test_who_is_fenced_again_and_again_ends_and_says_so() -> None:
    group = Group()
    for _ in range(ASKED_MAX):
        with pytest.raises(CellReleased):
            await group.lease().commit([], 1)
        group.rejoining.dealt_out()
    lease = group.lease()
    with pytest.raises(LogFenced, match="taken over"):
        await lease.commit([], 1)
    assert lease.is_held, "whoever holds it takes this for its own fault, and no release"
    group.offset = 7
    with pytest.raises(LogFenced, match="again and again: this worker must start again"):
        await lease.is_lost()
    group.now_s = ASKED_WITHIN_S
    with pytest.raises(CellReleased):
        await lease.commit([], 1)
    assert group.asked == ASKED_MAX + 1


def test_it_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoining_module, "BACK_OFF_S", BACK_OFF_S)
    group, waits = Group(), []
    for _ in range(ASKED_MAX):
        waits.append(group.asks_again_in_s())
        group.ask_again("partition 0")
        assert group.asks_again_in_s() == 0.0, "it is asked already"
        group.rejoining.dealt_out()
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert group.asks_again_in_s() is None


async def test_a_rebalance_that_comes_meanwhile_needs_no_question() -> None:
    group = Group()

    async def fenced(*_: object) -> Sequence[int]:
        raise LogFenced("taken over", written=False)

    lease = Lease(0, "partition 0", None, fenced, fenced_wait_s=30.0, ownership=group)
    committing = asyncio.ensure_future(lease.commit([], 1))
    await turns(3)
    assert not lease.is_held, "nothing is told while it is in doubt"
    quiesced = asyncio.ensure_future(lease.quiesce())
    with pytest.raises(CellReleased):
        await committing
    await quiesced
    assert group.asked == 0


@pytest.mark.parametrize(
    ("ours", "logs", "is_lost"),
    [(None, None, False), (None, 0, False), (0, None, False), (5, 5, False), (5, 4, False), (5, None, False),
     (None, 1, True), (0, 1, True), (5, 6, True), (5, 500, True)],
)  # fmt: skip
async def test_what_another_has_committed_tells_that_it_is_lost(
    ours: int | None, logs: int | None, is_lost: bool
) -> None:
    group = Group()
    group.offset = logs
    lease = group.lease(ours)
    assert await lease.is_lost() is is_lost
    assert lease.is_held is not is_lost
    assert group.asked == is_lost


async def test_without_a_group_a_gap_is_a_gap() -> None:
    async def never(*_: object) -> Sequence[int]:
        raise AssertionError

    assert not await Lease(0, "partition 0", 5, never).is_lost()


@pytest.mark.parametrize("another", [True, False])
async def test_a_cell_that_another_has_committed_is_released_and_no_record_is_called_lost(another: bool) -> None:
    """Loaded up to record 2; then a late worker commits up to record 5, and reading begins there."""
    log, group = CellsLog(), Group()
    log.rejoining = group.rejoining
    log.fence_now(0)
    ours = Worker(log)
    log.fence_now(1)
    ours.host.load(1, journal_start=0, journal_end=0)
    await ours.host.fold(0, [deposit(0), deposit(1)])
    if another:
        log.offset = 5
        await ours.host.fold(0, [deposit(5)])
        assert group.asked == 1
        assert not ours.host.holds_lease(0)
        assert ours.host.holds_lease(1)
    else:
        with pytest.raises(JournalGap, match="expected record 2 of the journal, got 5"):
            await ours.host.fold(0, [deposit(5)])
        assert group.asked == 0
        assert ours.host.cell(0) is None
    assert len(ours.replies) == 2


@pytest.mark.parametrize("holes", [{2}, {2, 3}, {3}, {0}, {2, 4, 5}, set[int]()], ids=str)
@pytest.mark.parametrize("size", [1, 2, 100])
async def test_offsets_that_never_held_a_record_are_passed_over(holes: set[int], size: int) -> None:
    """A stranger's transaction leaves its marks, and what it rolled back."""
    log, group = CellsLog(), Group()
    log.rejoining, log.holes = group.rejoining, holes
    ours = Worker(log)
    records = [deposit(offset) for offset in range(8) if offset not in holes]
    for first in range(0, len(records), size):
        await ours.host.fold(0, records[first : first + size])
    await ours.host.settle()
    assert (len(ours.replies), ours.cash, log.offset) == (len(records), len(records), 8)
    assert group.asked == 0


async def test_a_gap_of_which_a_part_is_lost_is_a_gap() -> None:
    log, group = CellsLog(), Group()
    log.rejoining, log.holes = group.rejoining, {1, 3}
    ours = Worker(log)
    with pytest.raises(JournalGap, match="expected record 1 of the journal, got 4"):
        await ours.host.fold(0, [deposit(0), deposit(4)])


@pytest.mark.parametrize("another", [True, False])
async def test_histories_that_another_has_committed_are_released_and_no_event_is_called_lost(another: bool) -> None:
    log, group = EventsLog(), Group()
    log.rejoining = group.rejoining
    host = worker(log)
    await host.fold(0, batch(closed(1), closed(2)))
    while host.uncommitted(0):
        await turns(1)
    if another:
        log.next_offset = 5
        await host.fold(0, batch(closed(6), offset=5))
        assert group.asked == 1
    else:
        await host.fold(0, batch(closed(6), offset=5))
        assert group.asked == 0
    assert host.losses.missing == (0 if another else 3)


class LateTicks(KeptTicks):
    """Of a worker whose partition is another's: the log refuses what it commits."""

    async def keep(self, *_: Any) -> bool:
        return False


@pytest.mark.parametrize("is_late", [True, False])
async def test_a_framer_says_that_ticks_are_gone_only_when_they_are_its_own(
    is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = (LateTicks if is_late else KeptTicks)(FramerState(1, 0, 2), ticks_start=5)
    kept = KeptFrames()
    await Framer(kept, 1, 0, ticks).beat()
    assert ("were removed by age" in caplog.text) is not is_late
    assert not (is_late and kept.appended)


class RefusingLog(CellsLog):
    """Whose partition another has fenced."""

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        raise LogFenced("taken over", written=False)


async def test_an_offset_is_said_to_be_mended_once_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """To a late worker the offset that it has read is older than what the next owner has put into the table."""
    log, group = CellsLog(), Group()
    await Worker(log).fold([deposit(0), deposit(1)])
    late = RefusingLog()
    late.rejoining = group.rejoining
    late.changelog, late.table = log.changelog, log.table
    late.offset = 1
    table: Any = log.table
    cell_log: Any = late
    host = CellHost(table, cell_log, lambda reply: None)
    with pytest.raises(CellReleased):
        await host.mend_offset(0, journal_start=0)
    assert "going on from there" not in caplog.text
