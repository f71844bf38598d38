"""Events into histories: exactly once over crashes, handovers and repeats; and readers that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from account_events import closed, deposited
from event_loop import turns
from history_log import Log, Read, batch, of, restarted, table_of, take, trade_ids, worker

from exness_streams.domain import account_history
from exness_streams.domain.codec import META_KEY, Meta, decode_meta
from exness_streams.engine import history_mending
from exness_streams.engine.ahead import Bounds
from exness_streams.engine.history import HistoryHost, NotOwned, NotWhole
from exness_streams.engine.history_committer import BOUNDS
from exness_streams.engine.history_partition import SLICE_EVENTS_MAX
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.faults import CellReleased, LogFault, LogFenced
from exness_streams.transport.interfaces import LogRecord

GIVE_UP_S = 30.0
MOST = BOUNDS.records


async def test_a_batch_is_one_transaction_with_its_offset() -> None:
    log = Log()
    host = worker(log)
    await take(host, batch(closed(1), *of("bob", 1, 2), closed(2), offset=5))
    assert len(log.transactions) == 1
    assert log.next_offset == 9
    assert trade_ids(host) == ["0-2-0", "0-1-0"]
    assert trade_ids(host, "bob") == ["0-2-0", "0-1-0"]
    keys = [record.key for record in log.transactions[0]]
    assert len(keys) == len(set(keys)), "each entry once"


async def test_a_large_batch_is_cut() -> None:
    log = Log()
    host = worker(log)
    await take(host, batch(*(closed(n, str(n)) for n in range(1, 1_001))))
    assert 2 <= len(log.transactions) <= 5
    assert host.head(0, "demo").trades.end == 1_000
    assert list(host.progress()) == [(0, 1_000, 1_000)]


async def test_a_crash_after_the_transaction_loses_and_doubles_nothing() -> None:
    """The table lacks what was committed; the next start has it from the changelog, and reads on behind it."""
    log = Log()
    host = worker(log)
    await take(host, batch(closed(1)))
    log.fails = LogFault("the process died", written=None)
    with pytest.raises(LogFault):
        await take(host, batch(closed(2), offset=1))
    log.fails = None
    later = worker(log)
    await take(later, batch(closed(3), offset=2))
    assert trade_ids(later) == ["0-3-0", "0-2-0", "0-1-0"]


async def test_a_crash_before_the_transaction_has_the_batch_taken_again() -> None:
    log = Log()
    host = worker(log)
    log.fails = LogFenced("taken over", written=False)
    with pytest.raises(LogFenced):
        await take(host, batch(closed(1)))
    assert table_of(host).entries == {}
    log.fails = None
    later = worker(log)
    await take(later, batch(closed(1), closed(2)))
    assert trade_ids(later) == ["0-2-0", "0-1-0"]


async def test_what_was_taken_is_not_taken_again() -> None:
    """By its offset, and, should the same event stand at another one, by its sequence."""
    log = Log()
    host = worker(log)
    await take(host, batch(closed(1), closed(2)))
    await take(host, batch(closed(1), closed(2), closed(3)))
    assert log.next_offset == 3
    await take(host, batch(closed(2), closed(3), offset=3))
    assert log.next_offset == 5
    assert trade_ids(host) == ["0-3-0", "0-2-0", "0-1-0"]
    changed = [[record.key for record in records if record.key != META_KEY] for records in log.transactions]
    assert [len(keys) for keys in changed] == [4, 2, 0]


async def test_lost_events_are_counted_and_said_once_and_those_behind_them_are_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A history is a view: nothing that is missing in it stops the workers."""
    log = Log()
    host = worker(log)
    await take(host, batch(closed(1), closed(3), *of("bob", 5), closed(4), closed(7), offset=7))
    assert trade_ids(host) == ["0-7-0", "0-4-0", "0-3-0", "0-1-0"]
    assert trade_ids(host, "bob") == ["0-5-0"]
    assert (log.next_offset, host.losses.missing) == (12, 1 + 4 + 2)
    (said,) = caplog.messages
    assert said.startswith(
        "partition 0 of trading-events lacks 3 events of account demo, and 7 so far of all: its trades"
    )
    assert "\n" not in said
    await take(host, batch(closed(9), offset=12))
    assert (host.losses.missing, len(caplog.messages)) == (8, 1)


GARBAGE = (
    b"",
    b"\xff",
    b"{}",
    b"7",
    b'{"type":"Nonsense"}',
    b'{"type":"PositionClosed","sequence":2}',
    b"[" * 100_000,
    None,
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: repr(value)[:30])
async def test_what_is_no_event_is_passed_over_and_counted(
    garbage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may have written it: a view does not stop the workers for that."""
    log = Log()
    host = worker(log)
    first, second = (record.value for record in batch(closed(1), closed(2)))
    await take(host, [Read(0, garbage), Read(1, first), Read(2, garbage), Read(3, second), Read(4, garbage)])
    assert trade_ids(host) == ["0-2-0", "0-1-0"]
    assert (log.next_offset, host.losses.passed_over, host.losses.missing) == (5, 3, 0)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("record 0 of partition 0 of trading-events can't be read as an event (")
    assert len(caplog.messages[0]) < 500


async def test_a_damaged_event_is_noticed_by_the_accounts_next() -> None:
    host = worker(Log())
    first, third = (record.value for record in batch(closed(1), closed(3)))
    await take(host, [Read(0, first), Read(1, b'{"type":"PositionClosed"'), Read(2, third)])
    assert trade_ids(host) == ["0-3-0", "0-1-0"]
    assert (host.losses.passed_over, host.losses.missing) == (1, 1)


async def test_a_topic_that_lost_its_beginning_is_taken_as_it_is() -> None:
    host = worker(Log(), start=40)
    await take(host, batch(closed(7), closed(8), offset=40))
    assert trade_ids(host) == ["0-8-0", "0-7-0"]
    assert host.losses.missing == 6


async def test_a_partition_given_up_is_its_next_owners() -> None:
    log = Log()
    host = worker(log)
    log.fails = CellReleased("another worker's")
    await host.fold(0, batch(closed(1)))  # a moment before we hear of it
    await turns()
    log.fails = LogFenced("another worker's", written=False)
    log.fence_now(0)
    host.load(0, events_start=0, events_end=1)
    log.begun.clear()
    log.proceed.clear()
    await host.fold(0, batch(closed(1)))
    await log.begun.wait()
    host.drop([0])
    log.proceed.set()
    await host.fold(0, batch(closed(1)))
    await turns()
    assert log.transactions == []
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(host.run(), 0.001)
    for read in (lambda: host.head(0, "demo"), lambda: host.trades(0, "demo", 0, 1), lambda: host.points(0, "a", 0, 1)):
        with pytest.raises(NotOwned):
            read()
    with pytest.raises(NotOwned):
        await host.wait_for(0, "demo", 1, GIVE_UP_S)


async def test_events_are_taken_and_shown_at_once_and_committed_at_the_pace() -> None:
    """A batch left unread would hold back all that the consumer fetches."""
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    for n in range(2, 50):
        await asyncio.wait_for(host.fold(0, batch(closed(n), offset=n - 1)), GIVE_UP_S)
        assert trade_ids(host)[0] == f"0-{n}-0"
    await turns()
    assert len(log.transactions) == 1
    assert host.uncommitted(0) == 48
    assert next(host.progress())[1] == 1
    assert await host.wait_for(0, "demo", 49, GIVE_UP_S) is True
    assert len(log.transactions) == 1, "nobody waits for a transaction"
    assert len(trade_ids(host)) == 49
    assert [str(point.balance) for point in host.points(0, "demo", 0, 1)] == ["10000"]
    assert host.uncommitted(7) == 0


@pytest.mark.parametrize("before_the_fact", [True, False])
async def test_what_is_in_its_transaction_is_shown(before_the_fact: bool) -> None:
    """While it is under way, after it, and when nobody knows what became of it."""
    log = Log()
    host = worker(log)
    log.proceed.clear()
    await host.fold(0, batch(closed(1), closed(2)))
    await log.begun.wait()
    await host.fold(0, batch(closed(3), offset=2))
    expected = ["0-3-0", "0-2-0", "0-1-0"]
    assert trade_ids(host) == expected
    log.fails = LogFault("cut off", written=False if before_the_fact else None)
    log.proceed.set()
    with pytest.raises(LogFault):
        await asyncio.wait_for(host.run(), GIVE_UP_S)
    assert trade_ids(host) == expected


async def test_while_a_transaction_is_under_way_events_go_on_being_taken() -> None:
    log = Log()
    host = worker(log)
    log.proceed.clear()
    await host.fold(0, batch(closed(1)))
    await log.begun.wait()
    await asyncio.wait_for(host.fold(0, batch(closed(2), closed(3), offset=1)), GIVE_UP_S)
    log.proceed.set()
    await take(host, batch(closed(4), offset=3))
    assert trade_ids(host) == [f"0-{n}-0" for n in (4, 3, 2, 1)]


async def test_what_is_not_committed_is_bounded() -> None:
    log = Log()
    host = worker(log)
    log.proceed.clear()
    taking = asyncio.ensure_future(host.fold(0, batch(*(closed(n) for n in range(1, 2 * MOST + 1)))))
    await log.begun.wait()
    await turns(2_000)
    assert not taking.done()
    assert log.transactions == []
    log.proceed.set()
    await asyncio.wait_for(taking, GIVE_UP_S)
    assert await host.wait_for(0, "demo", 2 * MOST, GIVE_UP_S)
    assert host.uncommitted(0) <= MOST


LARGE = "9" * 2_000
BOUND_BY = {
    "records": Bounds(100, 1 << 30, 1 << 30),
    "bytes": Bounds(1 << 30, 100_000, 1 << 30),
    "the worker's bytes": Bounds(1 << 30, 1 << 30, 100_000),
}
LET_GO: dict[str, Callable[[Log, HistoryHost], None]] = {
    "given up": lambda log, host: host.drop([0]),
    "revoked": lambda log, host: log.lease(0).end(),
    "failed": lambda log, host: (setattr(log, "fails", LogFault("no", written=False)), log.proceed.set())[0],
    "committed": lambda log, host: log.proceed.set(),
}


@pytest.mark.parametrize("bounds", BOUND_BY.values(), ids=BOUND_BY)
@pytest.mark.parametrize("way", LET_GO)
async def test_who_waits_for_room_is_let_go(bounds: Bounds, way: str) -> None:
    """However it ends, at once: nobody polls."""
    log = Log()
    host = worker(log, bounds=bounds)
    log.proceed.clear()
    taking = asyncio.ensure_future(host.fold(0, batch(*(closed(n, asset=LARGE) for n in range(1, 1_001)))))
    await log.begun.wait()
    await turns(2_000)
    assert not taking.done()
    assert host.uncommitted(0) == SLICE_EVENTS_MAX
    LET_GO[way](log, host)
    await turns(5_000)
    assert taking.done()
    await taking
    assert bool(log.transactions) is (way == "committed")
    log.proceed.set()
    await host.close()


async def test_a_stop_lets_who_waits_for_room_go() -> None:
    log = Log()
    host = worker(log)
    log.proceed.clear()
    taking = asyncio.ensure_future(host.fold(0, batch(*(closed(n) for n in range(1, 3 * MOST)))))
    await log.begun.wait()
    await turns(2_000)
    closing = asyncio.ensure_future(host.close())
    await turns()
    assert taking.done()
    log.proceed.set()
    await asyncio.wait_for(closing, GIVE_UP_S)


async def test_a_batch_of_which_events_seem_to_be_missing_since_another_took_them_is_not_taken_in_part() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    await host.fold(0, batch(closed(2), offset=1))
    log.lease(0).end()
    await host.fold(0, batch(closed(3), closed(5), offset=2))
    assert (log.next_offset, host.uncommitted(0), host.losses.missing) == (1, 1, 0)


async def test_a_backlog_does_not_wait_for_the_pace() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    await asyncio.wait_for(take(host, batch(*(closed(n) for n in range(2, 402)), offset=1)), GIVE_UP_S)
    assert len(log.transactions) == 3


async def test_a_partition_given_up_at_its_pace_is_let_go() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    await host.fold(0, batch(closed(2), offset=1))
    await turns()
    host.drop([0])
    await turns()
    assert len(log.transactions) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}, "what commits has ended"


async def test_a_partition_that_comes_back_is_folded_from_what_was_committed() -> None:
    """And what was folded before it went is not committed a second time."""
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    await host.fold(0, batch(closed(2), closed(3), offset=1))
    host.drop([0])
    log.fence_now(0)
    host.load(0, events_start=0, events_end=3)
    await take(host, batch(closed(2), closed(3), closed(4), offset=1))
    await turns()
    assert trade_ids(host) == [f"0-{n}-0" for n in (4, 3, 2, 1)]
    assert (log.next_offset, len(log.transactions)) == (4, 2)


async def test_a_stop_commits_what_was_folded_and_folds_no_more() -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(closed(1)))
    await host.fold(0, batch(closed(2), offset=1))
    log.proceed.clear()
    log.begun.clear()
    closing = asyncio.ensure_future(host.close())
    await log.begun.wait()
    await host.fold(0, batch(closed(3), offset=2))
    assert not closing.done()
    log.proceed.set()
    await asyncio.wait_for(closing, GIVE_UP_S)
    head = account_history.decode_head(table_of(host).entries[account_history.head_key("demo")])
    assert (head.sequence, log.next_offset) == (2, 2)
    await turns()
    assert len(log.transactions) == 2
    assert list(host.progress()) == []


async def test_a_reader_waits_for_its_account_only() -> None:
    log = Log()
    host = worker(log)
    await take(host, batch(closed(1)))
    assert await host.wait_for(0, "demo", 1, 0.0)
    assert await host.wait_for(0, "nobody", 0, 0.0)
    reading = asyncio.ensure_future(host.wait_for(0, "demo", 3, GIVE_UP_S))
    await asyncio.sleep(0)
    await take(host, batch(closed(2), *of("bob", 1, 2, 3), offset=1))
    await turns()
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
    monkeypatch.setattr(account_history, "TRADES_KEPT", 2)
    host = worker(Log())
    await take(host, batch(closed(1), deposited(2, "5"), closed(3), closed(4)))
    assert [number for number, _ in host.trades(0, "demo", 0, 3)] == [2, 1]
    assert [str(point.balance) for point in host.points(0, "demo", 0, 3)] == ["10000", "5", "10000"]


def test_the_topic_is_the_public_one() -> None:
    assert EVENTS_TOPIC == "trading-events"


# -- entries that are lost


EVENTS = [*of("ann", 1, 2), *of("bob", 1), *of("ann", 3), *of("bob", 2)]


async def taken(log: Log, *, cuts: Sequence[int] = (2, 3, 5)) -> dict[bytes, bytes]:
    """A table after EVENTS, taken in several transactions."""
    host = worker(log)
    for first, end in zip((0, *cuts), cuts, strict=False):
        await take(host, batch(*EVENTS[first:end], offset=first))
    return table_of(host).entries


def without_meta(log: Log) -> None:
    """As version 0.1.0 wrote it."""
    log.changelog = [record for record in log.changelog if record.key != META_KEY]


def deleted(log: Log) -> None:
    log.changelog.clear()


def tail_cut(log: Log) -> None:
    del log.changelog[-len(log.transactions[-1]) :]


def beginning_trimmed(log: Log) -> None:
    del log.changelog[: len(log.transactions[0])]


def middle_cut(log: Log) -> None:
    first = len(log.transactions[0])
    del log.changelog[first : first + len(log.transactions[1])]


def a_trade_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != account_history.trade_key("ann", 1)]


DAMAGES = [deleted, tail_cut, beginning_trimmed, middle_cut, a_trade_cut]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_histories_that_are_lost_are_built_anew(damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    whole = dict(await taken(log))
    damage(log)
    host = await restarted(log)
    (said,) = caplog.records
    assert "built anew from trading-events" in said.message
    assert log.next_offset == 0, "the events are read from the first one on"
    for read in ("head", "wait_for"):
        with pytest.raises(NotWhole, match="built anew"):
            _ = host.head(0, "ann") if read == "head" else await host.wait_for(0, "ann", 3, 0.1)
    await take(host, batch(*EVENTS[:4]))
    with pytest.raises(NotWhole):
        host.head(0, "ann")
    await take(host, batch(*EVENTS[4:], offset=4))
    assert trade_ids(host, "ann") == ["0-3-0", "0-2-0", "0-1-0"]
    assert table_of(host).entries == whole
    assert trade_ids(await restarted(log), "bob") == ["0-2-0", "0-1-0"]
    assert len(caplog.records) == 1


async def test_a_crash_while_histories_are_built_anew_begins_again() -> None:
    log = Log()
    whole = dict(await taken(log))
    a_trade_cut(log)
    left = len(log.changelog)
    for commits in range(8):
        once = Log()
        once.changelog, once.next_offset = log.changelog[:left], 5

        class Crash(Exception):
            pass

        async def commit(
            partition: int, records: Sequence[LogRecord], next_offset: int, once: Log = once, most: int = commits
        ) -> Sequence[int]:
            if len(once.transactions) >= most:
                raise Crash
            return await Log.commit(once, partition, records, next_offset)

        once.commit = commit  # type: ignore[method-assign]
        try:
            host = await restarted(once)
            await take(host, batch(*EVENTS[:3]))
            await take(host, batch(*EVENTS[3:], offset=3))
        except Crash:
            pass
        del once.commit  # type: ignore[attr-defined]
        host = await restarted(once, kept=once.next_offset != 5)
        assert once.next_offset is not None
        await take(host, batch(*EVENTS))
        assert table_of(host).entries == whole, commits


@pytest.mark.parametrize("offset", [None, 0, 3])
async def test_an_offset_that_is_lost_or_older_is_taken_from_the_table(
    offset: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_mending, "READ_AGAIN_MAX", 4)
    log = Log()
    whole = dict(await taken(log))
    log.next_offset = offset
    host = await restarted(log)
    assert log.next_offset == 5
    assert table_of(host).entries == whole
    assert trade_ids(host, "ann") == ["0-3-0", "0-2-0", "0-1-0"]


async def test_few_events_are_read_again_when_their_offset_is_lost() -> None:
    """Their topic may have been made anew, and may have come as far as the former one."""
    log = Log()
    whole = dict(await taken(log))
    log.next_offset = None
    host = await restarted(log)
    assert log.next_offset == 0
    assert trade_ids(host, "ann") == ["0-3-0", "0-2-0", "0-1-0"], "they are shown meanwhile"
    await take(host, batch(*EVENTS))
    assert (log.next_offset, host.losses.missing) == (5, 0)
    assert table_of(host).entries == whole
    log.next_offset = None
    later = await restarted(log)
    await take(later, batch(*of("ann", 4, 5), *of("bob", 3, 4, 5)))
    assert trade_ids(later, "bob") == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]
    assert later.losses.missing == 0


async def test_a_table_of_0_1_0_goes_on_and_counts_from_then() -> None:
    log = Log()
    await taken(log)
    without_meta(log)
    host = await restarted(log)
    await take(host, batch(*of("ann", 4), offset=5))
    assert decode_meta(table_of(host).entries[META_KEY]) == Meta(0, 6, accounts=2, taken=6)
    assert trade_ids(await restarted(log, end=6), "ann")[0] == "0-4-0"


async def test_a_table_of_0_1_0_that_lacks_something_is_built_anew_too(caplog: pytest.LogCaptureFixture) -> None:
    for damage in (deleted, a_trade_cut):
        caplog.clear()
        log = Log()
        await taken(log)
        without_meta(log)
        damage(log)
        await restarted(log)
        assert len(caplog.records) == 1, damage


async def test_a_partition_without_events_has_lost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    host = await restarted(Log(), end=0)
    assert host.head(0, "ann").sequence == 0
    assert not caplog.records
