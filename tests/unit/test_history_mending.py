"""Histories whose topic was made anew, trimmed or thinned, or whose changelog is lost as well: they go on alone."""

from __future__ import annotations

from typing import Any

import pytest
from account_events import closed
from history_log import Log, batch, of, restarted, table_of, take, trade_ids, worker

from exness_streams.domain import account_history
from exness_streams.domain.codec import META_KEY, Meta, decode_meta
from exness_streams.engine import history_losses
from exness_streams.engine.history import HistoryHost, NotWhole
from exness_streams.engine.history_losses import HistoryLosses
from exness_streams.engine.history_partition import Slice

BUILT = 4
"""Events that histories were built from, before anything is lost."""


async def built(log: Log) -> None:
    await take(worker(log), batch(*of("ann", 1, 2, 3), *of("bob", 1)))


def meta_of(host: HistoryHost) -> Meta:
    return decode_meta(table_of(host).entries[META_KEY])


def offset_kept(log: Log) -> None:
    """By the embedded log, or by brokers that have not come to it yet."""


def offset_gone(log: Log) -> None:
    """Brokers delete a group's offsets with the topic."""
    log.next_offset = None


def meta_gone(log: Log) -> None:
    """A table of 0.1.0."""
    log.changelog = [record for record in log.changelog if record.key != META_KEY]


@pytest.mark.parametrize("how", [offset_kept, offset_gone, meta_gone])
@pytest.mark.parametrize("end", [0, 2])
async def test_a_topic_that_was_made_anew_is_gone_on_with_from_its_first_event(
    how: Any, end: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    await built(log)
    how(log)
    host = await restarted(log, end=end)
    assert log.next_offset == 0
    (said,) = caplog.messages
    assert said.startswith(
        f"partition 0 of trading-events ends at {end}: it was made anew or cut, but its histories stand"
    )
    assert trade_ids(host, "ann") == ["0-3-0", "0-2-0", "0-1-0"], "what was built stays, and is shown"
    await take(host, batch(*of("ann", 4, 5)))
    assert trade_ids(host, "ann") == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]
    assert (meta_of(host), host.losses.missing) == (Meta(0, 2, accounts=2, taken=6), 0)
    later = await restarted(log, end=2)
    await take(later, batch(*of("ann", 4, 5), *of("bob", 4)))  # again from the beginning: no event counts twice
    assert trade_ids(later, "ann") == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]
    assert trade_ids(later, "bob") == ["0-4-0", "0-1-0"]
    assert (later.losses.missing, log.next_offset) == (2, 3)
    assert sum("histories stand at" in line for line in caplog.messages) == 1


async def test_one_that_was_cut_is_read_again_and_nothing_counts_twice() -> None:
    log = Log()
    await built(log)
    host = await restarted(log, end=2)
    await take(host, batch(*of("ann", 1, 2, 4)))
    assert trade_ids(host, "ann") == [f"0-{n}-0" for n in (4, 3, 2, 1)]
    assert (host.losses.missing, meta_of(host)) == (0, Meta(0, 3, accounts=2, taken=5))


@pytest.mark.parametrize("how", [offset_kept, offset_gone, meta_gone])
async def test_a_topic_whose_beginning_was_trimmed_is_gone_on_with(how: Any, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    await built(log)
    how(log)
    host = await restarted(log, start=9, end=12)
    assert log.next_offset == 9
    assert caplog.messages[0].startswith("partition 0 of trading-events begins at 9: it was trimmed, but its histories")
    await take(host, batch(*of("ann", 6), *of("eve", 3), *of("bob", 2), offset=9))
    assert trade_ids(host, "ann") == ["0-6-0", "0-3-0", "0-2-0", "0-1-0"]
    assert trade_ids(host, "bob") == ["0-2-0", "0-1-0"]
    assert trade_ids(host, "eve") == ["0-3-0"]
    assert host.losses.missing == 2 + 2
    assert meta_of(host) == Meta(0, 12, accounts=3, taken=6 + 2 + 3)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (4, 9), (4, 4), (2, 5)])
async def test_a_topic_that_continues_is_gone_on_with_in_silence(
    start: int, end: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    await built(log)
    written = len(log.transactions)
    await restarted(log, start=start, end=end)
    assert (log.next_offset, len(log.transactions), caplog.messages) == (BUILT, written, [])


@pytest.mark.parametrize("start", [0, 9])
async def test_a_partition_that_comes_back_after_its_topic_was_made_anew_is_loaded_anew(start: int) -> None:
    """Though nobody has committed meanwhile, so that what was folded ahead would hold."""
    log = Log()
    host = worker(log, pace_s=3_600.0)
    await take(host, batch(*of("ann", 1, 2, 3)))
    await host.fold(0, batch(*of("ann", 4), offset=3))
    end = start + 2
    await log.quiesce([0])
    await log.take_over([0])
    host.drop_lost()
    host.table.recover(log.changelog)  # type: ignore[attr-defined]
    await host.mend(0, events_start=start, events_end=end)
    host.load(0, events_start=start, events_end=end)
    host._committer._pace_s = 0.0
    await take(host, batch(*of("ann", 4, 5), offset=start))
    assert trade_ids(host, "ann") == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]
    assert (log.next_offset, host.losses.missing) == (end, 0)


# -- the changelog is lost as well


def deleted(log: Log) -> None:
    log.changelog.clear()


def a_trade_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != account_history.trade_key("ann", 1)]


def a_head_cut(log: Log) -> None:
    log.changelog = [record for record in log.changelog if record.key != account_history.head_key("ann")]


@pytest.mark.parametrize(
    ("damage", "bob"),
    [(deleted, ["0-2-0"]), (a_trade_cut, ["0-2-0", "0-1-0"]), (a_head_cut, ["0-2-0", "0-1-0"])],
)
@pytest.mark.parametrize("start", [2, 9])
async def test_what_can_not_be_built_anew_is_begun_with_the_events_there_are(
    damage: Any, bob: list[str], start: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Accounts that hold together keep what they have."""
    log = Log()
    await built(log)
    damage(log)
    host = await restarted(log, start=start, end=start + 3)
    (said,) = caplog.messages
    assert f"built anew from trading-events, which begins at {start}: what older events told is lost, and not" in said
    assert meta_of(host).rebuilt_to == (BUILT if start < BUILT else 0)
    await take(host, batch(*of("ann", 3, 5), *of("bob", 2), offset=start))
    assert trade_ids(host, "ann") == ["0-5-0", "0-3-0"]
    assert trade_ids(host, "bob") == bob
    assert host.losses.missing == 2 + 1 + (2 - len(bob))
    assert meta_of(host) == Meta(0, start + 3, accounts=2, taken=7)
    stored = [key for key in table_of(host).entries if key.startswith(b"trade/")]
    assert len(stored) == 2 + len(bob), "nothing is left of what did not hold together"
    again = await restarted(log, start=start, end=start + 3)
    assert trade_ids(again, "ann") == ["0-5-0", "0-3-0"]
    assert len([line for line in caplog.messages if "built anew" in line]) == 1


async def test_what_is_built_anew_is_shown_though_its_topic_ends_earlier_now() -> None:
    """Nobody knows then when it is whole."""
    log = Log()
    await built(log)
    deleted(log)
    host = await restarted(log, end=1)
    assert trade_ids(host, "ann") == []
    await take(host, batch(*of("ann", 4)))
    assert trade_ids(host, "ann") == ["0-4-0"]
    assert host.losses.missing == 3


@pytest.mark.parametrize("read", [0, 1])
async def test_a_topic_that_is_made_anew_while_histories_are_built_anew_keeps_nobody_waiting(read: int) -> None:
    log = Log()
    await built(log)
    deleted(log)
    host = await restarted(log, end=BUILT)
    if read:
        await take(host, batch(*of("ann", 1)))
    with pytest.raises(NotWhole):
        host.head(0, "ann")
    later = await restarted(log, end=3)
    await take(later, batch(*of("ann", 4)))
    assert trade_ids(later, "ann") == ["0-4-0", "0-1-0"][: 1 + read]
    assert meta_of(later) == Meta(0, 1, accounts=1, taken=4)


# -- what is told before the topic has it


async def test_events_that_were_told_and_that_the_topic_lost_are_shown_no_more_once_it_has_the_next() -> None:
    """What one worker had in memory, another would not show."""
    host = worker(Log())
    await take(host, batch(closed(1)))
    host.folded(0, [closed(n) for n in (2, 3, 4, 5)])
    assert await host.wait_for(0, "demo", 5, 0.0)
    assert trade_ids(host) == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]
    await host.fold(0, batch(closed(4), offset=1))
    assert await host.wait_for(0, "demo", 5, 0.0)
    assert trade_ids(host) == ["0-5-0", "0-4-0", "0-1-0"]
    await take(host, batch(closed(5), offset=2))
    assert trade_ids(host) == ["0-5-0", "0-4-0", "0-1-0"]
    assert host.losses.missing == 2


# -- what is said


def test_what_is_missing_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    losses = HistoryLosses("events", lambda: now_s[0])
    for at_s in (0.0, 1.0, history_losses.TOLD_EACH_S, history_losses.TOLD_EACH_S + 1.0):
        now_s[0] = at_s
        part = Slice()
        part.missing.update({"a\nb": 2, "c": 1})
        part.strange.append((7, ValueError("no\nevent")))
        losses.count(3, part)
    assert (losses.missing, losses.passed_over) == (12, 4)
    missing = [line for line in caplog.messages if "lacks" in line]
    assert [line.split(": its trades")[0] for line in missing] == [
        "partition 3 of events lacks 2 events of account a b, and 3 so far of all",
        "partition 3 of events lacks 2 events of account a b, and 12 so far of all",
    ]
    assert len(caplog.messages) == 4
    assert not any("\n" in line for line in caplog.messages)
