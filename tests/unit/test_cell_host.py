"""What becomes of a batch when its cell goes to another worker meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from leased_log import LeasedLog
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.domain.cell import Reply
from exness_streams.domain.commands import ClosePosition, IdempotencyKey
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.instruments import Limits
from exness_streams.engine.cells import CellHost
from exness_streams.engine.frame_times import FrameTimes
from exness_streams.engine.journal_faults import LaterJournal
from exness_streams.processes.exit_codes import exit_code_of
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.interfaces import LogRecord


@dataclass
class JournalRecord:
    """A record as the transport's batches hold it."""

    offset: int
    value: bytes


class FakeLog(LeasedLog):
    """Refuses every commit."""

    def __init__(self, fault: LogFault) -> None:
        super().__init__()
        self.fault = fault

    def committed(self, partition: int) -> int | None:
        return None

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        raise self.fault


def host(fault: LogFault, replies: list[Reply]) -> CellHost:
    table: Any = LogTable("changelog")
    log: Any = FakeLog(fault)
    cells = CellHost(table, log, replies.append)
    cells.load(0, journal_start=0, journal_end=0)
    return cells


BATCH = [
    JournalRecord(
        0,
        codec.encode(
            ClosePosition(
                command_id="c1",
                account_id="ann",
                time_ms=1,
                starting_balance=Decimal(10_000),
                quote_age_ms_max=5_000,
                limits=Limits(),
                idempotency=IdempotencyKey("k", "f"),
                position_id="p",
            )
        ),
    )
]


async def test_a_batch_of_a_cell_that_was_given_up_is_left_to_its_next_owner() -> None:
    # The transport gives cells up a moment before the host hears of it.
    replies: list[Reply] = []
    await host(CellReleased("given up"), replies).fold(0, BATCH)
    assert [reply.command_id for reply in replies] == ["c1"]


async def test_any_other_fault_ends_the_worker() -> None:
    replies: list[Reply] = []
    cells = host(LogFault("no commit"), replies)
    await cells.fold(0, BATCH)
    with pytest.raises(LogFault, match="no commit"):
        await cells.run()
    await cells.fold(0, [JournalRecord(1, BATCH[0].value)])
    assert [reply.command_id for reply in replies] == ["c1"], "nothing is folded after it"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (codec.encode(codec.RulesChanged(1, 9)), "goes on by rules 9"),
        (BATCH[0].value[:-1] + b',"of_a_later_release":1}', "this release knows no such record"),
        (b'{"type":"AccountCorrected","time_ms":1}', "this release knows no such record"),
    ],
)
async def test_what_only_a_later_release_knows_ends_the_worker_before_it(value: bytes, words: str) -> None:
    """Nothing of the batch is committed; a supervisor that starts it again would see the same again."""
    cells = host(LogFault("no commit"), [])
    with pytest.raises(LaterJournal, match=words) as ended:
        await cells.fold(0, [JournalRecord(0, value), JournalRecord(1, BATCH[0].value)])
    assert "\n" not in str(ended.value)
    assert exit_code_of(ended.value) == 2
    assert cells.cell(0) is None


class TakingLog(LeasedLog):
    """Takes every commit."""

    def committed(self, partition: int) -> int | None:
        return None

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        return range(len(records))


async def test_the_host_knows_when_a_frame_came_and_a_command_is_none() -> None:
    now_s = [10.0]
    table: Any = LogTable("changelog")
    log: Any = TakingLog()
    times = FrameTimes(lambda: now_s[0])
    cells = CellHost(table, log, lambda reply: None)
    cells.frame_times = times
    cells.load(0, journal_start=0, journal_end=0)
    assert times.age_s(0) is None
    await cells.fold(0, BATCH)
    assert times.age_s(0) is None
    await cells.fold(0, [JournalRecord(1, codec.encode(PriceFrame(1, ())))])
    now_s[0] += 2
    assert times.age_s(0) == 2
    await cells.fold(0, [JournalRecord(1, codec.encode(PriceFrame(1, ())))])  # delivered again: it is no news
    assert times.age_s(0) == 2
    cells.drop([0])
    assert times.age_s(0) is None


@pytest.mark.parametrize("ending", ["quiesced", "fenced anew", "released", "dropped"])
async def test_a_cell_whose_lease_is_not_held_says_so(ending: str) -> None:
    table: Any = LogTable("changelog")
    leased = TakingLog()
    log: Any = leased
    cells = CellHost(table, log, lambda reply: None)
    assert not cells.holds_lease(0)
    cells.load(0, journal_start=0, journal_end=0)
    assert cells.holds_lease(0)
    assert not cells.holds_lease(1)
    if ending == "quiesced":
        await leased.quiesce([0])
    elif ending == "fenced anew":
        await leased.fence([0])
    elif ending == "released":
        await leased.release([0])
    else:
        cells.drop([0])
    assert not cells.holds_lease(0)


@pytest.mark.parametrize(("seldom_s", "offsets"), [(10.0, []), (0.0, [1, 2])])
async def test_frames_that_only_tell_the_time_let_the_journal_behind_the_cell_go(
    monkeypatch: pytest.MonkeyPatch, seldom_s: float, offsets: list[int]
) -> None:
    """Else a market at rest would leave the committed offset where the journal ends by age."""
    monkeypatch.setattr("exness_streams.engine.owned_cell.IDLE_COMMIT_S", seldom_s)
    committed: list[int] = []

    class NotingLog(TakingLog):
        async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
            committed.append(next_offset)
            return range(len(committed) * 10, len(committed) * 10 + len(records))

    table: Any = LogTable("changelog")
    log: Any = NotingLog()
    cells = CellHost(table, log, lambda reply: None)
    cells.load(0, journal_start=0, journal_end=0)
    for offset in range(2):
        await cells.fold(0, [JournalRecord(offset, codec.encode(PriceFrame(1, ())))])
        await cells.settle()
    assert committed == offsets
