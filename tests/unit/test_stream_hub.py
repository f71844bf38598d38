"""The rounds of the live stream, with sockets whose buffers a test fills and empties."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from websocket_frames import payloads

from exness_streams.api.stream import hub as stream_hub
from exness_streams.api.stream.hub import DISPLACED, StreamHub, readers_for
from exness_streams.api.stream.messages import Form, close_frame, encoded, text_frame
from exness_streams.api.stream.reader import BEHIND_BYTES, UNREAD_BYTES_MAX, Reader
from exness_streams.domain.events import Deposited
from exness_streams.domain.quotes import Quote

GIVE_UP_S = 30.0
SNAPSHOT = text_frame(b'{"type":"state"}')


class FakeTransport:
    """Keeps what is written; `waiting` is what it says of its buffer."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.aborted = self.has_left = False

    def get_extra_info(self, name: str) -> None:
        return None

    def get_protocol(self) -> FakeTransport:
        return self

    def leaves(self) -> None:
        self.has_left = True

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True

    def of_type(self, kind: str) -> list[Any]:
        texts = [data for data in self.written if data[:1] == b"\x81"]
        messages = [msgspec.json.decode(payload) for data in texts for payload in payloads(data)]
        return [message for message in messages if message["type"] == kind]


class World:
    """A hub, the quotes that its cells hold, and readers."""

    def __init__(self, **limits: int) -> None:
        self.quotes: dict[str, Quote] = {}
        self.status = "connected"
        feed = SimpleNamespace(feed_status=lambda: {"status": self.status, "reason": ""})
        worker: Any = SimpleNamespace(should_stop=False, wait_until_stopped=asyncio.Event().wait)
        self.freshness = SimpleNamespace(is_fresh=lambda: self.is_fresh)
        self.is_fresh = True
        market = SimpleNamespace(quotes=self.quotes, days={}, markets={})
        self.hub = StreamHub(market, feed, worker, self.freshness, **limits)

    def reader(
        self, account_id: str = "a", partition: int = 0, form: Form = "number", address: str = "10.0.0.1"
    ) -> tuple[Reader, FakeTransport]:
        transport: Any = FakeTransport()
        reader = Reader(transport, account_id, partition, form, address)
        self.hub.follow(reader, SNAPSHOT, 0)
        return reader, transport

    def move(self, symbol: str, sequence: int) -> None:
        self.quotes[symbol] = Quote(sequence, sequence, Decimal(sequence))
        self.hub.folded(0, [])


def newest(transport: FakeTransport, symbol: str) -> int:
    """The timestamp of the last update of a symbol that was sent."""
    updates = [update["timestamp"] for update in transport.of_type("market_data") if update["symbol"] == symbol]
    return updates[-1] if updates else 0


def deposited(sequence: int, account_id: str = "a") -> Deposited:
    return Deposited(
        event_id=f"0-{sequence}-0",
        account_id=account_id,
        sequence=sequence,
        timestamp=sequence,
        amount=Decimal("1.5"),
        balance=Decimal(10),
    )


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(stream_hub, "PACE_S", 0.0)
    monkeypatch.setattr(stream_hub, "LOOK_S", 0.0)
    world = World()
    await world.hub.start()
    yield world
    for reader in list(world.hub._all):
        world.hub.gone(reader)
    await world.hub.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Let rounds go by until it is true."""

    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), GIVE_UP_S)


async def a_round(world: World) -> None:
    """Until a newcomer has been told of a change of the market, and so everybody was looked at."""
    reader, transport = world.reader("nobody")
    world.move("Z_USDC", world.quotes["Z_USDC"].sequence + 1 if "Z_USDC" in world.quotes else 1)
    before = len(transport.of_type("market_data"))
    await until(lambda: len(transport.of_type("market_data")) > before)
    world.hub.gone(reader)


async def test_a_reader_that_is_behind_gets_the_newest_once_it_has_read(world: World) -> None:
    (_, slow), (_, quick) = world.reader(), world.reader()
    slow.waiting = BEHIND_BYTES + 1
    for sequence in range(1, 30):
        world.move("A_USDC", sequence)
        if sequence % 10 == 0:
            world.move("B_USDC", sequence)
        await until(lambda: newest(quick, "A_USDC") == sequence)  # noqa: B023
    assert not slow.of_type("market_data"), "market data waits in line"
    assert [update["timestamp"] for update in quick.of_type("market_data") if update["symbol"] == "A_USDC"] == list(
        range(1, 30)
    )
    slow.waiting = 0
    await until(lambda: bool(slow.of_type("market_data")))  # though the market stands still
    assert [(update["symbol"], update["timestamp"]) for update in slow.of_type("market_data")] == [
        ("A_USDC", 29),
        ("B_USDC", 20),
    ]


async def test_what_another_cell_tells_without_news_costs_the_news_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell folds the same frame, and the one whose quotes are shown may be the last."""
    monkeypatch.setattr(stream_hub, "PACE_S", 10 * GIVE_UP_S)
    world = World()
    await world.hub.start()
    _, transport = world.reader()
    try:
        for cell in range(3):
            world.hub.folded(cell, [])
            await asyncio.sleep(0)
        world.move("A_USDC", 1)
        await until(lambda: newest(transport, "A_USDC") == 1)
    finally:
        await world.hub.stop()


async def test_events_come_whether_a_reader_is_behind_or_not_until_it_is_too_slow(world: World) -> None:
    reader, transport = world.reader()
    transport.waiting = UNREAD_BYTES_MAX
    world.hub.folded(0, [deposited(1), deposited(1, "b"), deposited(2)])
    assert [event["sequence"] for event in transport.of_type("Deposited")] == [1, 2]
    assert reader.sequence == 2
    transport.waiting += 1
    world.hub.folded(0, [deposited(3), deposited(4)])
    assert [event["sequence"] for event in transport.of_type("Deposited")] == [1, 2, 3]
    assert transport.written[-1] == close_frame(1013, "too slow: connect again for a new snapshot")
    assert (world.hub.slow_closed, len(world.hub)) == (1, 1)
    world.hub.gone(reader)
    assert len(world.hub) == 0


async def test_of_readers_who_together_are_too_slow_the_slowest_go() -> None:
    world = World(unread_all_bytes_max=1000)
    readers = [world.reader() for _ in range(5)]
    for (_, transport), waiting in zip(readers, (100, 700, 300, 0, 600), strict=True):
        transport.waiting = waiting
    world.hub._relieve()
    assert [transport.aborted for _, transport in readers] == [False, True, False, False, False]
    assert world.hub.slow_closed == 1
    readers[1][1].waiting = 0
    world.hub._relieve()
    assert sum(transport.aborted for _, transport in readers) == 1, "now it is little enough"


async def test_after_its_goodbye_a_reader_is_told_nothing(world: World) -> None:
    reader, transport = world.reader()
    for _ in range(2):
        world.hub.dismiss(reader, 1012, "moving")
    said = len(transport.written)
    world.hub.folded(0, [deposited(1)])
    world.move("A_USDC", 1)
    reader.send(SNAPSHOT)
    world.hub.give_up(reader)
    await a_round(world)
    assert transport.written[-1] == close_frame(1012, "moving")
    assert len(transport.written) == said
    assert world.hub.slow_closed == 0, "it was not its slowness"


async def test_an_event_is_encoded_once_in_each_form(world: World) -> None:
    readers = [world.reader(form=form) for form in ("number", "string", "number")]
    event = deposited(1)
    world.hub.folded(0, [event])
    first, strings, third = (transport.written[-1] for _, transport in readers)
    assert first is third
    assert first == encoded(event, "number")
    assert strings == encoded(event, "string")
    assert b'"amount":"1.5"' in strings


async def test_a_stale_worker_keeps_its_guests_and_tells_no_account_that_nothing_has_happened(world: World) -> None:
    (reader, goes), (_, guest) = world.reader("a", 0), world.reader("", -1)
    reader.heartbeat_at_s = 0.0  # its heartbeat is due: it would say that this is the newest sequence
    world.is_fresh = False
    await until(lambda: goes.written[-1] == close_frame(1012, "the account is moving: connect again"))
    assert goes.of_type("heartbeat") == []
    world.move("SOL_USDC", 1)
    await until(lambda: newest(guest, "SOL_USDC") == 1)


async def test_a_stale_worker_tells_no_event(world: World) -> None:
    """It is right; but who asks the account's owner next may find less there."""
    _, goes = world.reader("a", 0)
    world.is_fresh = False
    world.hub.folded(0, [deposited(1, account_id="a")])
    assert goes.of_type("Deposited") == []
    assert goes.written[-1] == close_frame(1012, "the account is moving: connect again")


def sequences(transport: FakeTransport) -> list[int]:
    return [event["sequence"] for event in transport.of_type("Deposited")]


async def test_each_event_comes_once_and_in_order_whatever_is_folded_again(world: World) -> None:
    """A cell that came back folds again what a batch brings again; a snapshot holds what was told by then."""
    early, late = world.reader(), world.reader()
    world.hub.folded(0, [deposited(1), deposited(2)])
    world.hub.folded(0, [deposited(1), deposited(2), deposited(3)])
    world.hub.snapshot(late[0], SNAPSHOT, 5)
    world.hub.folded(0, [deposited(4), deposited(5), deposited(6)])
    assert sequences(early[1]) == [1, 2, 3, 4, 5, 6]
    assert sequences(late[1]) == [1, 2, 3, 6]
    assert early[0].sequence == late[0].sequence == 6


async def test_only_the_readers_of_a_dropped_cell_go(world: World) -> None:
    (_, stays), (_, goes) = world.reader("a", 0), world.reader("b", 1)
    world.hub.dropped(1)
    assert goes.written[-1] == close_frame(1012, "the account is moving: connect again")
    assert stays.written[-1][0] == 0x81


async def test_the_feed_is_told_when_it_changes_and_only_then(world: World) -> None:
    _, transport = world.reader()
    for status in ("stale", "disconnected", "connected"):
        world.status = status
        await until(lambda: transport.of_type("feed")[-1]["status"] == status)  # noqa: B023
    assert [feed["status"] for feed in transport.of_type("feed")] == ["connected", "stale", "disconnected", "connected"]
    world.status = "stale"
    _, newcomer = world.reader()
    assert [feed["status"] for feed in newcomer.of_type("feed")] == ["stale"]
    assert transport.of_type("feed")[-1]["status"] == "stale", "whoever notices first tells all"


async def test_the_oldest_of_an_address_makes_room_in_its_account() -> None:
    world = World(readers_max=100, readers_per_account_max=3)
    _, other = world.reader("a", address="10.0.0.2")
    first, mine = world.reader("a", address="10.0.0.1")
    _, second = world.reader("a", address="10.0.0.1")
    assert not world.hub.make_room_for("b", "10.0.0.9")
    assert "3 streams" in world.hub.make_room_for("a", "10.0.0.9")  # which has none there
    assert (world.hub.refused, world.hub.displaced) == (1, 0)
    assert not world.hub.make_room_for("a", "10.0.0.1")
    assert mine.written[-1] == close_frame(1013, DISPLACED)
    assert (mine.has_left, other.has_left) == (True, False)
    assert [other.written[-1], second.written[-1]] != [mine.written[-1]] * 2
    world.hub.gone(first)
    assert not world.hub.make_room_for("a", "10.0.0.9")
    assert (world.hub.refused, world.hub.displaced) == (1, 1)


async def test_an_address_can_have_half_of_all_streams_whatever_their_accounts() -> None:
    world = World(readers_max=4)
    transports = [world.reader(f"account-{number}", address="10.0.0.1")[1] for number in range(2)]
    assert not world.hub.make_room_for("new", "10.0.0.1")
    assert [transport.written[-1] == close_frame(1013, DISPLACED) for transport in transports] == [True, False]
    assert not world.hub.make_room_for("new", "10.0.0.2")


async def test_a_full_worker_refuses_who_has_nothing_to_give_up() -> None:
    world = World(readers_max=3)
    readers = [world.reader(f"account-{number}", address=f"10.0.0.{number}") for number in range(3)]
    assert "3 streams" in world.hub.make_room_for("new", "10.0.0.9")
    assert not world.hub.make_room_for("new", "10.0.0.1")
    assert readers[1][1].written[-1] == close_frame(1013, DISPLACED)
    for reader, _ in readers:
        world.hub.gone(reader)
        world.hub.gone(reader)
    assert len(world.hub) == 0
    assert not world.hub._of_address
    assert world.hub._open == 0


@pytest.mark.parametrize(("connections", "readers"), [(160, 120), (10_000, 5_000), (16, 12), (1, 1)])
def test_streams_leave_places_for_who_only_asks(connections: int, readers: int) -> None:
    assert readers_for(connections) == readers


async def test_those_that_are_relayed_count_too() -> None:
    world = World(readers_max=2)
    transport: Any = FakeTransport()
    world.hub.admit(Reader(transport, "far", 0, "number", "10.0.0.1"))
    assert not world.hub.make_room_for("", "10.0.0.1")
    assert transport.written[-1] == close_frame(1013, DISPLACED)


async def test_stopping_aborts_those_that_do_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_hub, "STOP_GRACE_S", 0.01)
    world = World()
    await world.hub.start()
    reader, transport = world.reader()
    await world.hub.stop()
    assert transport.written[-1] == close_frame(1012, "the worker is stopping: connect again")
    assert transport.aborted
    world.hub.gone(reader)
