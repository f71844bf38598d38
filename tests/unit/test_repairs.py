"""Journals with records that can't be read: what stops a cell, what an operator gives up, and that audits agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from cell_worker import Log, Read, Worker, deposit
from trading_samples import NOW_MS, quote

from exness_streams.audit.replay import Replay
from exness_streams.domain import codec, rules
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import JournalRepaired, Meta, RulesChanged
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.repairs import Unreadable, covering, read_record
from exness_streams.engine.journal_faults import JournalFault, LaterJournal
from exness_streams.engine.passed_over import PassedOver
from exness_streams.processes.repair import LossSearch, repairs_for

GARBAGE = {
    "no value": None,
    "nothing": b"",
    "no JSON": b"\xff\x00garbage",
    "half a record": (deposit(0).value or b"")[:40],
    "too deep": b"[" * 100_000,
    "numbers": b"17",
    "a list": b"[]",
    "an object of nobody's": b"{}",
    "a kind that is no name": b'{"type":7}',
}
LATER = {
    "another kind": b'{"type":"AccountCorrected","time_ms":1}',
    "another field": (deposit(0).value or b"").replace(b'{"type"', b'{"newField":1,"type"', 1),
    "rules of later": codec.encode(RulesChanged(1, rules.NEWEST + 1)),
}
UNREADABLE = {**GARBAGE, **LATER}


def repaired(first: int, end: int) -> bytes:
    return codec.encode(JournalRepaired(1_700_000_000_000, first, end, "ann of operations", "a stranger\nwrote it"))


class Journal:
    """All that was written; PassedOver reads on in it."""

    def __init__(self, values: list[bytes | None], start: int = 0) -> None:
        self.values, self.start = values, start

    async def search(self, partition: int, offset: int, is_wanted: Callable[[bytes | None], bool]) -> bytes | None:
        return next((value for value in self.values[max(0, offset - self.start) :] if is_wanted(value)), None)

    @property
    def records(self) -> list[Read]:
        return [Read(offset, value) for offset, value in enumerate(self.values, self.start)]


def worker_on(journal: Journal) -> Worker:
    worker = Worker(Log())
    worker.host.passed_over = PassedOver(journal.search)
    return worker


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_record_that_cannot_be_read_stops_its_cell_and_says_the_way_out(value: bytes | None) -> None:
    journal = Journal([deposit(0).value, value, deposit(2).value])
    worker = worker_on(journal)
    with pytest.raises(JournalFault, match=r"record 1 of partition 0 .*exness-streams repair") as fault:
        await worker.fold(journal.records)
    assert str(fault.value).isprintable()
    assert worker.host.cell(0) is None
    assert isinstance(fault.value, LaterJournal) == (value in LATER.values())


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_an_operator_gave_up_is_passed_over_by_cells_and_audits(
    value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal([deposit(0).value, value, deposit(2).value, repaired(1, 2), deposit(4).value])
    worker = worker_on(journal)
    await worker.fold(journal.records)
    assert worker.cash == Decimal(3)
    assert [reply.command_id for reply in worker.replies] == ["c0", "c2", "c4"]
    said = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert len(said) == 1
    assert "ann of operations" in said[0]
    assert said[0].isprintable()
    told: list[str] = []
    replay = audited(journal, told)
    assert replay.meta == worker.host.cell(0).meta  # type: ignore[union-attr]
    assert len(told) == 1
    await worker.host.close()
    assert worker.table.entries[codec.row_key("ann")] == replay.entries[codec.row_key("ann")]


def audited(journal: Journal, told: list[str]) -> Replay:
    replay = Replay(0, 0, {})
    for record in journal.records:
        try:
            replay.fold(record.offset, record.value)
        except Unreadable as fault:  # noqa: PERF203 - as the audits do it
            repair = replay.known_repair(fault) or covering(journal.values[fault.end :], fault.first)
            if repair is None:
                raise
            replay.give_up(fault, repair, told.append)
    replay.apply()
    return replay


@pytest.mark.parametrize("seed", range(40))
async def test_any_journal_with_garbage_folds_as_one_without_it(seed: int) -> None:
    """A life of its own for each seed: garbage anywhere, given up one by one or in runs, read in any batches."""
    rng = random.Random(seed)
    kinds = [value for value in UNREADABLE.values() if value not in LATER.values() or rng.random() < 0.5]
    values = [rng.choice(kinds) if rng.random() < 0.3 else deposit(offset).value for offset in range(40)]
    bad = [offset for offset, value in enumerate(values) if value in UNREADABLE.values()]
    search = LossSearch(Meta(0, 0, rules=rules.FIRST), 0)
    for offset, value in enumerate(values):
        search.take(offset, value)
    assert [loss.first for loss in search.losses] == bad
    values += [codec.encode(repair) for repair in repairs_for(search.losses, "ann", "tried")]
    journal = Journal(values)
    worker, begun = worker_on(journal), 0
    while begun < len(values):
        size = rng.choice((1, 3, 17))
        await worker.fold(journal.records[begun : begun + size])
        begun += size
    naive = Cell(0, {}.get)
    for offset, value in enumerate(values):
        if offset in bad:
            naive.give_up(offset + 1)
        else:
            naive.fold(offset, codec.decode_record(value or b""))
    assert worker.host.cell(0).meta == naive.meta  # type: ignore[union-attr]
    assert worker.cash == sum(value is not None and b'"Deposit"' in value for value in values) - sum(
        value is not None and b'"Deposit"' in value for value in (values[offset] for offset in bad)
    )
    assert audited(journal, []).meta == naive.meta
    again = LossSearch(Meta(0, 0), 0)
    for offset, value in enumerate(values):
        again.take(offset, value)
    assert again.losses == []


async def test_only_what_stops_a_fold_is_given_up() -> None:
    """A repair of records that can be read changes nothing, whoever wrote it."""
    journal = Journal([deposit(0).value, deposit(1).value, repaired(0, 10), deposit(3).value])
    worker = worker_on(journal)
    await worker.fold(journal.records)
    assert worker.cash == Decimal(3)
    assert audited(journal, []).meta.accounts == 1


@pytest.mark.parametrize(("first", "end"), [(0, 1), (2, 3), (1, 1), (5, 2)])
async def test_a_repair_of_other_records_helps_nobody(first: int, end: int) -> None:
    journal = Journal([deposit(0).value, b"garbage", repaired(first, end)])
    with pytest.raises(JournalFault, match="record 1 "):
        await worker_on(journal).fold(journal.records)
    with pytest.raises(Unreadable):
        audited(journal, [])


async def test_what_is_gone_from_the_beginning_can_be_given_up() -> None:
    journal = Journal([deposit(0).value, deposit(1).value])
    worker = worker_on(journal)
    await worker.fold(journal.records)
    journal = Journal([deposit(n).value for n in range(7, 9)], start=7)
    search = LossSearch(worker.host.cell(0).meta, 7)  # type: ignore[union-attr]
    assert [(loss.first, loss.end, loss.is_beginning) for loss in search.losses] == [(2, 7, True)]
    assert [loss.why.split()[0] for loss in search.losses] == ["are"]
    assert [loss.why.split()[0] for loss in LossSearch(codec.Meta(0, 6), 7).losses] == ["is"]

    async def comes_back(journal: Journal) -> None:
        worker.host.drop([0])
        worker.host.passed_over = PassedOver(journal.search)
        worker.log.fence_now(0)
        worker.table.recover(worker.log.changelog)
        await worker.host.mend_offset(0, journal_start=7)
        worker.host.load(0, journal_start=7, journal_end=1_000)

    with pytest.raises(JournalFault, match=r"begins at 7.*exness-streams repair"):
        await comes_back(journal)
    journal.values += [codec.encode(repair) for repair in repairs_for(search.losses, "ann", "no backup")]
    await comes_back(journal)
    await worker.fold(journal.records)
    assert worker.cash == Decimal(4)
    await comes_back(journal)  # and is where it was
    assert worker.host.cell(0).next_offset == 10  # type: ignore[union-attr]


def test_repairs_of_neighbours_are_one_record() -> None:
    search = LossSearch(Meta(3, 4), 6)
    values: dict[int, Any] = {6: b"x", 7: None, 8: deposit(8).value, 9: b"y"}
    for offset, value in values.items():
        search.take(offset, value)
    made = repairs_for(search.losses, "ann", "why")
    assert [(one.first, one.end, one.operator, one.reason) for one in made] == [
        (4, 8, "ann", "why"),
        (9, 10, "ann", "why"),
    ]
    for one in made:
        assert read_record(3, rules.FIRST, 20, codec.encode(one)) == one


def test_the_first_repair_that_covers_a_record_counts() -> None:
    found = covering([b"", None, repaired(0, 3), b'"JournalRepaired"', repaired(3, 9), repaired(4, 5)], 4)
    assert found is not None
    assert (found.first, found.end) == (3, 9)


def frames(*ends: int, epoch: int = 7) -> list[bytes]:
    """What one owner of the ticks writes: each frame begins where the one before it ended."""
    begun, made = 0, []
    for end in ends:
        symbols = () if end == begun else (SymbolFrame("SOL_USDC", quote(end, end + 1, end)),)
        made.append(codec.encode(PriceFrame(NOW_MS + end, symbols, epoch=epoch, from_offset=begun, to_offset=end)))
        begun = end
    return made


def market_of(cell: Cell) -> tuple[int, bool, Decimal | None]:
    known = cell.quotes.get("SOL_USDC")
    return cell.meta.ticks_end, cell.meta.ticks_lost, None if known is None else known.bid


async def test_prices_go_on_where_frames_were_given_up() -> None:
    """Else the cell would wait for those ticks for ever, and hear no price any more."""
    first, lost, third, fourth = frames(3, 5, 9, 12)
    values = [codec.encode(RulesChanged(1, 2)), first, b"\x00" + lost, third, fourth, repaired(2, 3)]
    journal = Journal(values)
    worker = worker_on(journal)
    await worker.fold(journal.records[:3])
    cell = worker.host.cell(0)
    assert cell is not None
    assert market_of(cell) == (3, True, Decimal(3))
    assert Meta(0, 0, ticks_lost=True) == codec.decode_meta(codec.encode_meta(Meta(0, 0, ticks_lost=True)))
    await worker.fold(journal.records[3:4])
    assert market_of(cell) == (9, False, Decimal(9)), "one frame may begin later, and no other"
    await worker.fold(journal.records[4:])
    assert market_of(cell) == (12, False, Decimal(12))
    assert audited(journal, []).meta == cell.meta


async def test_what_was_lost_is_known_after_a_restart_too() -> None:
    first, lost, third = frames(3, 5, 9)
    journal = Journal([codec.encode(RulesChanged(1, 2)), first, b"\x00" + lost, repaired(2, 3), third])
    worker = worker_on(journal)
    await worker.fold(journal.records[:4])
    await worker.host.close()
    again = Worker(worker.log)
    again.host.passed_over = PassedOver(journal.search)
    await again.fold(journal.records[worker.log.offset or 0 :])
    cell = again.host.cell(0)
    assert cell is not None
    assert market_of(cell) == (9, False, Decimal(9))


async def test_nothing_is_taken_twice_after_a_loss() -> None:
    """The next owner sends the ticks anew that the one before may not have told everybody."""
    first, _, third = frames(3, 5, 9)
    values = [
        codec.encode(RulesChanged(1, 2)),
        first,
        b"garbage",
        codec.encode(
            PriceFrame(NOW_MS, (SymbolFrame("SOL_USDC", quote(99, 100, 2)),), epoch=8, from_offset=1, to_offset=3)
        ),
        repaired(2, 3),
        third,
    ]
    worker = worker_on(Journal(values))
    await worker.fold(Journal(values).records[:4])
    cell = worker.host.cell(0)
    assert cell is not None
    assert market_of(cell) == (3, True, Decimal(3))
