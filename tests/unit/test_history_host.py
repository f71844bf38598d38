"""Events into histories: exactly once over crashes, handovers and repeats; and readers that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from test_trades import closed, deposited

from exness_streams.domain import trades
from exness_streams.domain.events import Event
from exness_streams.domain.records import encode
from exness_streams.engine.history import HistoryFault, HistoryHost, NotOwned
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.cell_log import LogRecord
from exness_streams.transport.faults import CellReleased, LogFault, LogFenced

CHANGELOG = "history-changelog"
GIVE_UP_S = 30.0


class Read(NamedTuple):
    offset: int
    value: bytes | None


def batch(*events: Event, offset: int = 0) -> list[Read]:
    return [Read(offset + n, encode(event)) for n, event in enumerate(events)]


def of(account_id: str, *sequences: int) -> list[Event]:
    return [closed(sequence, account_id=account_id) for sequence in sequences]


class Log:
    """A log, and the table that follows it. Whoever commits is told what `fails` says, before or after the fact."""

    def __init__(self) -> None:
        self.changelog: list[LogRecord] = []
        self.next_offset: int | None = None
        self.transactions: list[list[LogRecord]] = []
        self.fails: LogFault | None = None
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.begun = asyncio.Event()

    async def fence(self, partitions: Iterable[int]) -> None:
        raise AssertionError("the transport fences")

    async def release(self, partitions: Iterable[int]) -> None:
        raise AssertionError("the transport releases")

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        self.begun.set()
        await self.proceed.wait()
        if self.fails is not None and self.fails.written is False:
            raise self.fails
        assert all(record.topic == CHANGELOG for record in records)
        first = len(self.changelog)
        self.changelog += records
        self.transactions.append(list(records))
        self.next_offset = next_offset
        if self.fails is not None:
            raise self.fails
        return list(range(first, len(self.changelog)))

    def committed(self, partition: int) -> int | None:
        return self.next_offset


class Table:
    """As CellTable."""

    changelog_name = CHANGELOG

    def __init__(self, log: Log) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.offset = -1
        for offset, record in enumerate(log.changelog):  # recovery
            assert record.key is not None
            self.write(0, {record.key: record.value}, offset)

    def entry(self, partition: int, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def write(self, partition: int, entries: Mapping[bytes, bytes | None], changelog_offset: int) -> None:
        assert changelog_offset > self.offset
        self.offset = changelog_offset
        for key, value in entries.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value


def worker(log: Log, *, start: int = 0, end: int = 1_000, pace_s: float = 0.0) -> HistoryHost:
    """A process that has just taken partition 0 over."""
    table: Any = Table(log)
    host = HistoryHost(table, log, pace_s=pace_s)
    host.load(0, events_start=start, events_end=end)
    return host


def trade_ids(host: HistoryHost, account_id: str = "demo") -> list[str]:
    head = host.head(0, account_id)
    return [trade.trade_id for _, trade in host.trades(0, account_id, head.trades_from, head.trades.end)]


async def test_a_batch_is_one_transaction_with_its_offset() -> None:
    log = Log()
    host = worker(log)
    await host.fold(0, batch(closed(1), *of("bob", 1, 2), closed(2), offset=5))
    assert len(log.transactions) == 1
    assert log.next_offset == 9
    assert trade_ids(host) == ["0-2-0", "0-1-0"]
    assert trade_ids(host, "bob") == ["0-2-0", "0-1-0"]
    keys = [record.key for record in log.transactions[0]]
    assert len(keys) == len(set(keys)), "each entry once"


async def test_a_large_batch_is_cut() -> None:
    log = Log()
    host = worker(log)
    await host.fold(0, batch(*(closed(n, str(n)) for n in range(1, 1_001))))
    assert len(log.transactions) == 5
    assert host.head(0, "demo").trades.end == 1_000
    assert list(host.progress()) == [(0, 1_000, 1_000)]


async def test_a_crash_after_the_transaction_loses_and_doubles_nothing() -> None:
    """The table lacks what was committed; the next start has it from the changelog, and reads on behind it."""
    log = Log()
    host = worker(log)
    await host.fold(0, batch(closed(1)))
    log.fails = LogFault("the process died", written=None)
    with pytest.raises(LogFault):
        await host.fold(0, batch(closed(2), offset=1))
    assert trade_ids(host) == ["0-1-0"]
    log.fails = None
    later = worker(log)
    await later.fold(0, batch(closed(3), offset=2))
    assert trade_ids(later) == ["0-3-0", "0-2-0", "0-1-0"]


async def test_a_crash_before_the_transaction_has_the_batch_taken_again() -> None:
    log = Log()
    host = worker(log)
    log.fails = LogFenced("taken over", written=False)
    with pytest.raises(LogFenced):
        await host.fold(0, batch(closed(1)))
    assert trade_ids(host) == []
    log.fails = None
    later = worker(log)
    await later.fold(0, batch(closed(1), closed(2)))
    assert trade_ids(later) == ["0-2-0", "0-1-0"]


async def test_what_was_taken_is_not_taken_again() -> None:
    """By its offset, and, should the same event stand at another one, by its sequence."""
    log = Log()
    host = worker(log)
    await host.fold(0, batch(closed(1), closed(2)))
    await host.fold(0, batch(closed(1), closed(2), closed(3)))
    assert log.next_offset == 3
    await host.fold(0, batch(closed(2), closed(3), offset=3))
    assert log.next_offset == 5
    assert trade_ids(host) == ["0-3-0", "0-2-0", "0-1-0"]
    assert [len(records) for records in log.transactions] == [4, 2, 0]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (batch(closed(1), closed(3), offset=7), "record 8 of partition 0 of trading-events: account demo: event 3 "),
        (batch(closed(2), offset=7), "event 2 came after event 0"),
        ([Read(7, b'{"type":"Nonsense"}')], "record 7 of partition 0 of trading-events can't be read as an event"),
        ([Read(7, b"\xff")], "record 7 of"),
    ],
)
async def test_lost_or_damaged_events_end_it_in_one_line(events: list[Read], words: str) -> None:
    log = Log()
    host = worker(log)
    with pytest.raises(HistoryFault) as raised:
        await host.fold(0, events)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert log.transactions == []


async def test_a_topic_that_lost_its_beginning_is_taken_as_it_is() -> None:
    host = worker(Log(), start=40)
    await host.fold(0, batch(closed(7), closed(8), offset=40))
    assert trade_ids(host) == ["0-8-0", "0-7-0"]
    with pytest.raises(HistoryFault):
        await host.fold(0, batch(closed(10), offset=42))


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (0, 99, "ends at 99, but histories were built from it up to 100"),
        (103, 200, "begins at 103, but the next event needed is 100: 3 offsets are gone"),
    ],
)
def test_a_topic_that_does_not_continue_is_refused(start: int, end: int, words: str) -> None:
    log = Log()
    log.next_offset = 100
    with pytest.raises(HistoryFault, match=words):
        worker(log, start=start, end=end)
    assert worker(log, start=100, end=100).progress()


async def test_a_partition_given_up_is_its_next_owners() -> None:
    log = Log()
    host = worker(log)
    log.fails = CellReleased("another worker's")
    await host.fold(0, batch(closed(1)))  # a moment before we hear of it
    log.fails = LogFenced("another worker's", written=False)
    log.proceed.clear()
    folding = asyncio.ensure_future(host.fold(0, batch(closed(1))))
    await log.begun.wait()
    host.drop([0])
    log.proceed.set()
    await folding
    await host.fold(0, batch(closed(1)))
    assert log.transactions == []
    for read in (lambda: host.head(0, "demo"), lambda: host.trades(0, "demo", 0, 1), lambda: host.points(0, "a", 0, 1)):
        with pytest.raises(NotOwned):
            read()
    with pytest.raises(NotOwned):
        await host.wait_for(0, "demo", 1, GIVE_UP_S)


async def test_events_wait_for_the_pace_and_not_when_somebody_waits() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await host.fold(0, batch(closed(1)))
    folding = asyncio.ensure_future(host.fold(0, batch(closed(2), offset=1)))
    await asyncio.sleep(0)
    assert len(log.transactions) == 1
    reading = asyncio.ensure_future(host.wait_for(0, "demo", 2, GIVE_UP_S))
    assert await reading is True
    await folding
    assert trade_ids(host) == ["0-2-0", "0-1-0"]


async def test_a_backlog_does_not_wait_for_the_pace() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await host.fold(0, batch(closed(1)))
    backlog = batch(*(closed(n) for n in range(2, 402)), offset=1)
    await asyncio.wait_for(host.fold(0, backlog), GIVE_UP_S)
    assert len(log.transactions) == 3


async def test_a_partition_given_up_at_its_pace_is_let_go() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await host.fold(0, batch(closed(1)))
    folding = asyncio.ensure_future(host.fold(0, batch(closed(2), offset=1)))
    await asyncio.sleep(0)
    host.drop([0])
    await asyncio.wait_for(folding, GIVE_UP_S)
    assert len(log.transactions) == 1


async def test_a_stop_lets_the_transaction_under_way_end_and_begins_none() -> None:
    log = Log()
    host = worker(log)
    log.proceed.clear()
    folding = asyncio.ensure_future(host.fold(0, batch(*(closed(n) for n in range(1, 401)))))
    await log.begun.wait()
    closing = asyncio.ensure_future(host.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not closing.done()
    log.proceed.set()
    await asyncio.wait_for(closing, GIVE_UP_S)
    table: Any = host.table
    assert trades.decode_head(table.entries[trades.head_key("demo")]).sequence == 200, "what was committed is in it"
    await folding
    assert len(log.transactions) == 1


async def test_a_reader_waits_for_its_account_only() -> None:
    log = Log()
    host = worker(log)
    await host.fold(0, batch(closed(1)))
    assert await host.wait_for(0, "demo", 1, 0.0)
    assert await host.wait_for(0, "nobody", 0, 0.0)
    reading = asyncio.ensure_future(host.wait_for(0, "demo", 3, GIVE_UP_S))
    await asyncio.sleep(0)
    await host.fold(0, batch(closed(2), *of("bob", 1, 2, 3), offset=1))
    await asyncio.sleep(0)
    assert not reading.done()
    await host.fold(0, batch(closed(3), offset=5))
    assert await reading
    assert trade_ids(host)[0] == "0-3-0"


async def test_a_reader_waits_no_longer_than_it_wants_or_the_partition_is_here() -> None:
    host = worker(Log())
    assert not await host.wait_for(0, "demo", 1, 0.001)
    reading = asyncio.ensure_future(host.wait_for(0, "demo", 1, GIVE_UP_S))
    await asyncio.sleep(0)
    host.drop([0])
    assert await reading is False


async def test_what_was_removed_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "TRADES_KEPT", 2)
    host = worker(Log())
    await host.fold(0, batch(closed(1), deposited(2, "5"), closed(3), closed(4)))
    assert [number for number, _ in host.trades(0, "demo", 0, 3)] == [2, 1]
    assert [str(point.balance) for point in host.points(0, "demo", 0, 3)] == ["10000", "5", "10000"]


def test_the_topic_is_the_public_one() -> None:
    assert EVENTS_TOPIC == "trading-events"
