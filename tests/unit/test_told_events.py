"""What cells have told is in the history at once, before the topic brings it, and once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from account_events import closed, deposited, reset
from event_loop import turns
from history_log import Log, Read, batch, hurry, take, worker

from exness_streams.domain import account_history, codec
from exness_streams.domain.account_history import HistoryHead
from exness_streams.domain.events import Event
from exness_streams.engine import told_events
from exness_streams.engine.committer import public_event
from exness_streams.engine.history import HistoryHost, NotOwned
from exness_streams.engine.told_events import ToldEvents

GIVE_UP_S = 30.0


def trade_ids(host: HistoryHost, account_id: str = "demo") -> list[str]:
    head = host.head(0, account_id)
    return [trade.trade_id for _, trade in host.trades(0, account_id, head.trades_from, head.trades.end)]


def balances(host: HistoryHost) -> list[str]:
    head = host.head(0, "demo")
    return [str(point.balance) for point in host.points(0, "demo", head.points_from, head.points.end)]


async def has_come(host: HistoryHost, sequence: int, account_id: str = "demo") -> bool:
    """Whether it is there without waiting."""
    return await host.wait_for(0, account_id, sequence, 0.05)


def read(*events: Event, offset: int = 0) -> list[Read]:
    """As the topic holds them."""
    return [Read(offset + n, public_event(event).value) for n, event in enumerate(events)]


async def test_after_an_answer_the_history_has_the_trade() -> None:
    """Neither the topic nor the table has it."""
    host = worker(Log())
    await take(host, batch(closed(1)))
    host.folded(0, [deposited(2, "10001"), closed(3)])
    assert await has_come(host, 3)
    assert trade_ids(host) == ["0-3-0", "0-1-0"]
    assert balances(host) == ["10000", "10001", "10000"]
    assert host.head(0, "demo").sequence == 3


async def test_a_reset_that_was_told_begins_a_new_history() -> None:
    host = worker(Log())
    await take(host, batch(closed(1), closed(2)))
    host.folded(0, [reset(3)])
    assert await has_come(host, 3)
    assert trade_ids(host) == []
    assert balances(host) == ["10000"]


@pytest.mark.parametrize("is_read", [True, False])
async def test_when_the_topic_brings_it_it_is_there_once_and_not_decoded_again(
    is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    host = worker(log, pace_s=3_600.0)
    told = [closed(1), deposited(2, "7"), closed(3)]
    host.folded(0, told)
    if is_read:
        assert await has_come(host, 3)
    monkeypatch.setattr(codec, "decode_event", None)
    await host.fold(0, read(*told))
    assert trade_ids(host) == ["0-3-0", "0-1-0"]
    assert len(host._partitions[0].told) == 0
    await hurry(host)
    assert trade_ids(host) == ["0-3-0", "0-1-0"]
    assert not host._partitions[0].told._accounts


async def test_what_the_topic_brings_in_part_goes_on_with_what_was_told() -> None:
    host = worker(Log())
    told = [closed(n) for n in range(1, 7)]
    host.folded(0, told)
    for n in range(6):
        assert await has_come(host, 6)
        assert trade_ids(host) == [f"0-{nth}-0" for nth in range(6, 0, -1)]
        await host.fold(0, read(told[n], offset=n))
    assert trade_ids(host)[0] == "0-6-0"


async def test_events_of_a_former_owner_come_from_the_topic_first() -> None:
    """A cell just taken over tells what goes on behind those that are in the topic, and on their way."""
    host = worker(Log())
    host.folded(0, [closed(4), closed(5)])
    waiting = asyncio.ensure_future(host.wait_for(0, "demo", 5, GIVE_UP_S))
    await turns()
    assert host.head(0, "demo").sequence == 0
    await host.fold(0, read(closed(1), closed(2)))
    await turns()
    assert not waiting.done()
    assert trade_ids(host) == ["0-2-0", "0-1-0"]
    await host.fold(0, read(closed(3), offset=2))
    assert await asyncio.wait_for(waiting, GIVE_UP_S)
    assert trade_ids(host) == [f"0-{n}-0" for n in (5, 4, 3, 2, 1)]


async def test_what_is_told_twice_is_there_once() -> None:
    """A cell that is folded again, as after it was loaded anew, tells the same."""
    host = worker(Log())
    host.folded(0, [closed(1), closed(2)])
    host.folded(0, [closed(1), closed(2), closed(3)])
    assert await has_come(host, 3)
    assert trade_ids(host) == ["0-3-0", "0-2-0", "0-1-0"]
    await host.fold(0, read(closed(1), closed(2), closed(3)))
    assert trade_ids(host) == ["0-3-0", "0-2-0", "0-1-0"]


async def test_what_is_kept_is_bounded_and_the_rest_comes_from_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_events, "TOLD_MAX", 3)
    host = worker(Log())
    host.folded(0, [closed(n) for n in range(1, 6)])
    host.folded(0, [closed(1, account_id="bob")])
    assert not await has_come(host, 5)
    assert trade_ids(host) == ["0-3-0", "0-2-0", "0-1-0"]
    await host.fold(0, read(closed(1), closed(2)))
    host.folded(0, [closed(6)])  # behind a gap
    await host.fold(0, read(*(closed(n) for n in range(3, 6)), offset=2))
    assert trade_ids(host)[0] == "0-5-0"
    host.folded(0, [closed(7)])
    assert not await has_come(host, 7)
    await host.fold(0, read(closed(6), offset=5))
    assert await has_come(host, 7)
    assert trade_ids(host) == [f"0-{n}-0" for n in range(7, 0, -1)]


async def test_a_reader_folds_many_in_turns() -> None:
    host = worker(Log())
    many = 3 * told_events.FOLD_MAX + 1
    host.folded(0, [closed(n) for n in range(1, many + 1)])
    assert await host.wait_for(0, "demo", many, GIVE_UP_S)
    assert len(trade_ids(host)) == many


async def test_another_workers_partition_keeps_nothing() -> None:
    host = worker(Log())
    host.folded(1, [closed(1)])
    host.folded(0, [closed(1)])
    host.drop([0])
    with pytest.raises(NotOwned):
        host.head(0, "demo")
    host.load(0, events_start=0, events_end=0)
    assert not await has_come(host, 1)


async def test_accounts_do_not_mix() -> None:
    host = worker(Log())
    host.folded(0, [closed(1), closed(1, account_id="bob", event_id="0-9-0"), closed(2)])
    assert await has_come(host, 2)
    assert await has_come(host, 1, "bob")
    assert trade_ids(host, "bob") == ["0-9-0"]
    assert trade_ids(host) == ["0-2-0", "0-1-0"]


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (public_event(closed(7)).value, "0-7-0"),
        (codec.encode(closed(7)), "0-7-0"),
        (b'{"schemaVersion":2,"type":"PositionClosed","eventId":"', None),
        (b'{"type":"PositionClosed","eventId":7}', None),
        (b" " * 200 + codec.encode(closed(7)), None),
        (b"", None),
        (b'{"eventId":"\xff"}', "\ufffd"),
    ],
)
def test_an_id_is_read_where_we_write_it(value: bytes, known: str | None) -> None:
    assert codec.event_id_of(value) == known


async def test_a_strangers_record_is_not_taken_for_what_was_told() -> None:
    host = worker(Log())
    host.folded(0, [closed(1)])
    for offset, value in enumerate((b'{"type":"PositionClosed","eventId":"x"}', b'{"eventId":"0-2-0"}', b"\xff")):
        await host.fold(0, [Read(offset, value)])
    assert host.losses.passed_over == 3
    assert await has_come(host, 1)


def test_what_was_shown_is_what_is_stored() -> None:
    """The same bytes: the topic brings the same events."""
    events: list[Any] = [closed(1), deposited(2, "0.00000098"), closed(3, balance="123.10"), reset(4), closed(5)]
    told = ToldEvents()
    told.tell(events)
    assert told.fold("demo", HistoryHead()).sequence == 5
    stored: dict[bytes, bytes | None] = {}
    head = HistoryHead()
    for event in events:
        decoded = codec.decode_event(public_event(event).value or b"")
        head = account_history.fold_event(head, decoded, stored)
    assert told.entries("demo") == stored
