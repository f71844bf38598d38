"""A cell whose entries or offset are lost: refused in words that lead to a restore, or gone on with exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trading_samples as samples
from leased_log import LeasedLog
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.domain.codec import META_KEY, Meta, decode_meta
from exness_streams.engine.cells import CellHost
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.journal_faults import JournalFault
from exness_streams.engine.losses import check_kept
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

CHANGELOG = "exness-streams-accounts-changelog"


class Record:
    """As a transport's batch holds it."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value = offset, value


class Log(LeasedLog):
    """A changelog and the journal's committed offset."""

    def __init__(self) -> None:
        super().__init__()
        self.changelog: list[LogRecord] = []
        self.transactions: list[int] = []
        self.next_offset: int | None = None

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        first = len(self.changelog)
        self.changelog += [record for record in records if record.topic == CHANGELOG]
        self.transactions.append(len(self.changelog) - first)
        self.next_offset = next_offset
        return list(range(first, first + len(records)))

    def committed(self, partition: int) -> int | None:
        return self.next_offset


JOURNAL = [
    samples.frame(samples.quote(149, 151)),
    samples.deposit_command(4_900, account="ann", key="d1"),
    samples.open_command(account="ann", margin=100, key="o1"),
    samples.deposit_command(100, account="bob", key="d2"),
    samples.frame(samples.quote(150, 152, 2)),
    samples.deposit_command(1, account="ann", key="d3"),
    samples.deposit_command(2, account="bob"),
]
VALUES = [codec.encode(record) for record in JOURNAL]
END = len(VALUES)


async def folded(cuts: Sequence[int] = (1, 2, 4, 6, 7)) -> tuple[Log, dict[bytes, bytes]]:
    """The log after JOURNAL, folded in several transactions, and the entries."""
    log = Log()
    host, table = await loaded(log, journal_end=0)
    for first, end in zip((0, *cuts), cuts, strict=False):
        await host.fold(0, [Record(offset, VALUES[offset]) for offset in range(first, end)])
        host._cells[0].hand_over_rest()  # quotes alone wait
        host.committer.soon(host._cells[0])
        await host.settle()
    return log, table.entries


async def loaded(
    log: Log, *, journal_start: int = 0, journal_end: int = END, trimmed: bool = False
) -> tuple[CellHost, LogTable]:
    """A process with no table of its own recovers, and takes the cell over as load_cells does."""
    table: Any = LogTable(CHANGELOG, log.changelog)
    if trimmed:
        table.trimmed.add(0)
    cell_log: Any = log
    host = CellHost(table, cell_log, lambda reply: None)
    log.fence_now(0)
    await host.mend_offset(0, journal_start=0)
    host.load(0, journal_start=journal_start, journal_end=journal_end)
    return host, table


def deleted(log: Log) -> None:
    log.changelog.clear()


def tail_cut(log: Log) -> None:
    del log.changelog[-log.transactions[-1] :]


def beginning_trimmed(log: Log) -> None:
    del log.changelog[: sum(log.transactions[:2])]


def middle_cut(log: Log) -> None:
    first = sum(log.transactions[:2])
    del log.changelog[first : first + log.transactions[2]]


def made_anew_and_written(log: Log) -> None:
    del log.changelog[: -log.transactions[-1]]


def an_account_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != b"account/bob"]


def an_older_account(log: Log) -> None:
    last = max(n for n, record in enumerate(log.changelog) if record.key == b"account/bob")
    del log.changelog[last]


def an_answer_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != b"outcome/ann/d1"]


def a_slot_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != b"slot/ann/0"]


DAMAGES = [
    deleted,
    tail_cut,
    beginning_trimmed,
    middle_cut,
    made_anew_and_written,
    an_account_cut,
    an_older_account,
    an_answer_cut,
    a_slot_cut,
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_changelog_that_lost_something_is_refused(damage: Callable[[Log], None]) -> None:
    log, _ = await folded()
    damage(log)
    await refused(log)
    assert log.next_offset == END, "a refusal changes nothing"


async def refused(log: Log, **terms: Any) -> str:
    with pytest.raises(JournalFault) as fault:
        await loaded(log, **terms)
    words = str(fault.value)
    assert words.count("\n") == 0
    assert CHANGELOG in words or "journal" in words
    assert "Restore" in words
    for reset in ("remove", "empty data directory", "delete"):
        assert reset not in words
    return words


async def test_the_words_say_what_is_lost() -> None:
    log, _ = await folded()
    log.changelog.clear()
    assert await refused(log) == (
        f"partition 0 of {CHANGELOG} holds nothing, but 7 records were taken into it. Restore it from a backup "
        "(docs/operations.md, Lost state). Reset no offset and keep every worker's directory: one may be the last copy"
    )
    log, _ = await folded()
    an_account_cut(log)
    assert "holds 1 accounts, but had 2 when it was last written" in await refused(log)


async def test_a_whole_changelog_is_taken() -> None:
    log, entries = await folded()
    host, table = await loaded(log)
    assert table.entries == entries
    cell = host.cell(0)
    assert cell is not None
    row = cell.account("ann")
    assert row is not None
    assert row.balance == 14_901
    assert decode_meta(entries[META_KEY]) == cell.meta == Meta(0, 7, accounts=2, taken=6 + 7)
    assert not table.unproven


@pytest.mark.parametrize("offset", [None, 0, 1, 5])
async def test_an_offset_that_is_lost_or_older_is_taken_from_the_table(
    offset: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    log, entries = await folded()
    log.next_offset = offset
    host, table = await loaded(log)
    assert log.next_offset == END
    assert table.entries == entries
    assert host.progress(0).next_offset == END
    (said,) = caplog.records
    assert said.message == (
        f"the committed offset of partition 0 of trading-journal was {'gone' if offset is None else offset}, but its "
        "table stands at 7: going on from there"
    )


async def test_a_table_of_later_rules_is_mended_in_their_layout() -> None:
    """A release that knows no rules could read the other one, and would fold on by the first."""
    log = Log()
    host, table = await loaded(log, journal_end=0)
    values = [codec.encode(codec.RulesChanged(1, 2)), *VALUES]
    await host.fold(0, [Record(offset, value) for offset, value in enumerate(values)])
    await host.settle()
    entries = dict(table.entries)
    log.next_offset = None
    host, table = await loaded(log, journal_end=len(values))
    assert log.next_offset == len(values)
    assert table.entries == entries


async def test_a_journal_made_anew_is_refused_with_and_without_an_offset() -> None:
    for offset in (END, None):
        log, _ = await folded()
        log.next_offset = offset
        assert "ends at 3, but accounts were built from it up to 7" in await refused(log, journal_end=3)


async def test_records_trimmed_before_they_were_folded_are_refused() -> None:
    log, _ = await folded()
    assert "begins at 9, but the next record needed is 7" in await refused(log, journal_start=9, journal_end=12)


@pytest.mark.parametrize("offset", [None, 0, 7])
async def test_nothing_and_no_record_yet_is_a_new_cell(offset: int | None) -> None:
    log = Log()
    log.next_offset = offset if offset != END else None
    host, _ = await loaded(log, journal_end=0)
    assert host.progress(0).next_offset == 0


async def test_a_cell_that_has_only_seen_prices_has_lost_nothing() -> None:
    log = Log()
    host, table = await loaded(log, journal_end=0)
    await host.fold(0, [Record(0, VALUES[0])])
    await host.settle()
    assert log.next_offset == 1
    for entries in (log.changelog, [record for record in log.changelog if record.key != META_KEY]):
        log.changelog = entries
        host, table = await loaded(log)
        assert list(host.quotes) == [samples.SOL]
        assert table.entries.keys() >= {b"quote/SOL_USDC"}


async def test_a_cell_whose_commands_were_all_refused_commits_nothing() -> None:
    log = Log()
    host, _ = await loaded(log, journal_end=0)
    refusal = codec.encode(samples.open_command(margin=1))  # there is no price
    await host.fold(0, [Record(0, refusal)])
    await host.settle()
    assert log.next_offset is None
    host, _ = await loaded(log, journal_end=1)
    assert host.progress(0).next_offset == 0


# -- directories and changelogs of version 0.1.0, which wrote no Meta


async def of_0_1_0() -> Log:
    log, _ = await folded()
    log.changelog = [record for record in log.changelog if record.key != META_KEY]
    return log


async def test_a_table_of_0_1_0_is_taken_and_says_where_it_stands_from_then_on() -> None:
    log = await of_0_1_0()
    host, table = await loaded(log)
    assert META_KEY not in table.entries
    await host.fold(0, [Record(END, VALUES[3])])  # a repeat: nothing changes
    await host.settle()
    assert META_KEY not in table.entries
    await host.fold(0, [Record(END + 1, VALUES[6])])
    await host.settle()
    assert decode_meta(table.entries[META_KEY]) == Meta(0, END + 2, accounts=2, taken=6 + END + 2)


async def test_what_0_1_0_wrote_is_refused_when_it_is_seen_to_be_lost() -> None:
    log = await of_0_1_0()
    log.changelog.clear()
    assert "holds nothing" in await refused(log)
    log = await of_0_1_0()
    an_answer_cut(log)
    assert "holds 2 answers of requests with a key, and lacks some of 4" not in await refused(log)
    log = await of_0_1_0()
    assert "no longer holds its first records" in await refused(log, trimmed=True)
    log = await of_0_1_0()
    log.next_offset = None
    assert "offset of partition 0 of the journal is gone" in await refused(log)
    log = await of_0_1_0()
    log.next_offset = 2
    assert "made by journal record" in await refused(log)


async def test_a_trimmed_changelog_is_taken_when_all_is_there() -> None:
    log, entries = await folded()
    _, table = await loaded(log, trimmed=True)
    assert table.entries == entries


# -- tables kept on this machine


async def test_a_table_of_another_partition_is_refused_before_its_changelog_goes_on() -> None:
    log, _ = await folded()
    table: Any = LogTable(CHANGELOG, log.changelog)
    check_kept(table, 0)
    with pytest.raises(LogFault, match=r"partition 1 of .* is that of partition 0: .* move its directory away"):
        check_kept(table, 1)


async def test_a_changelog_made_anew_under_a_running_cell_ends_it() -> None:
    log, _ = await folded()
    table: Any = LogTable(CHANGELOG, log.changelog)
    commits = TableCommits(table, WorkMetrics())
    lease = log.fence_now(0)
    await commits.commit(lease, {b"account/cid": b"{}"}, [], 8)
    log.changelog.clear()
    with pytest.raises(LogFault, match=r"goes on at record 0, but record \d+ was written before") as fault:
        await commits.commit(lease, {b"account/cid": b"{}"}, [], 9)
    assert fault.value.written is True
