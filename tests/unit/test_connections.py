"""The places of connections: who gets one, who makes room, and what is waited for how long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest

from exness_streams.transport.connections import (
    REFUSED_MAX,
    Connection,
    Connections,
    Patience,
    Wait,
    group_of,
)
from exness_streams.transport.file_limit import connections_for, raise_file_limit

GIVE_UP_S = 30.0
NEVER = Patience(head=9e9, body=9e9, idle=9e9, answer=9e9)


class Line:
    """A transport, and the server's side of it, in one."""

    def __init__(self, address: str = "10.0.0.1") -> None:
        self.address = address
        self.unread = 0
        self.ended: list[str] = []
        self.is_ended = asyncio.Event()

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 1)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.ended.append("abort")

    def time_is_up(self, wait: Wait) -> None:
        self.ended.append(wait.value)
        self.is_ended.set()

    def make_room(self) -> None:
        self.ended.append("room")


def arrive(connections: Connections, line: Line) -> Connection | None:
    place = connections.arrive(line, line)  # type: ignore[arg-type]
    if place is None:
        connections.refuse(line)  # type: ignore[arg-type]
    return place


def all_in(connections: Connections, lines: Iterable[Line], state: str) -> list[Connection]:
    found = []
    for line in lines:
        connection = arrive(connections, line)
        assert connection is not None
        if state in ("busy", "idle"):
            connections.is_asked(connection)
        if state == "idle":
            connections.has_answered(connection)
        found.append(connection)
    return found


@pytest.mark.parametrize("state", ["silent", "idle"])
async def test_an_idle_one_makes_room_the_oldest_of_the_same_address_first(state: str) -> None:
    connections = Connections(4, 4, NEVER)
    lines = [Line("10.0.0.1"), Line("10.0.0.2"), Line("10.0.0.2"), Line("10.0.0.3")]
    all_in(connections, lines, state)
    assert arrive(connections, Line("10.0.0.2")) is not None
    assert [line.ended for line in lines] == [[], ["room"], [], []]
    assert arrive(connections, Line("10.0.0.9")) is not None  # of an address without a connection: the oldest of all
    assert [line.ended for line in lines] == [["room"], ["room"], [], []]
    assert len(connections) == 4
    assert connections.counters["displaced"] == 2


async def test_who_was_answered_makes_room_before_who_has_not_asked_yet() -> None:
    connections = Connections(2, 2, NEVER)
    silent, idle = Line("10.0.0.1"), Line("10.0.0.2")
    all_in(connections, [silent], "silent")
    all_in(connections, [idle], "idle")
    assert arrive(connections, Line("10.0.0.3")) is not None
    assert (silent.ended, idle.ended) == ([], ["room"])


async def test_where_all_are_busy_the_new_one_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    connections = Connections(3, 3, NEVER)
    lines = [Line(f"10.0.0.{number}") for number in range(3)]
    busy = all_in(connections, lines, "busy")
    for _ in range(5):
        assert arrive(connections, Line()) is None
    assert [line.ended for line in lines] == [[], [], []]
    assert connections.counters["refused_all"] == 5
    assert len(caplog.records) == 1  # not one for each
    connections.gone(busy[0])
    assert arrive(connections, Line()) is not None


async def test_an_address_has_its_share_and_the_others_have_theirs() -> None:
    connections = Connections(6, None, NEVER)
    mine = all_in(connections, [Line("10.0.0.1") for _ in range(3)], "busy")
    assert arrive(connections, Line("10.0.0.1")) is None
    assert connections.counters["refused_address"] == 1
    all_in(connections, [Line("10.0.0.2") for _ in range(3)], "busy")
    for connection in mine:
        connections.gone(connection)
    all_in(connections, [Line("10.0.0.1") for _ in range(3)], "busy")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
async def test_all_are_on_loopback_so_it_has_no_share_of_its_own_unless_one_is_set(address: str) -> None:
    connections = Connections(6, None, NEVER)
    all_in(connections, [Line(address) for _ in range(6)], "busy")
    assert arrive(connections, Line(address)) is None
    assert connections.counters == {"refused_all": 1}
    connections = Connections(6, 2, NEVER)
    all_in(connections, [Line(address) for _ in range(2)], "busy")
    assert arrive(connections, Line(address)) is None
    assert connections.counters == {"refused_address": 1}


async def test_a_proxy_stands_for_many() -> None:
    connections = Connections(6, 2, NEVER)
    connections.limit(6, 2, [ip_network("10.0.0.0/24")])
    all_in(connections, [Line("10.0.0.1") for _ in range(3)], "busy")
    all_in(connections, [Line("::ffff:10.0.0.1") for _ in range(3)], "busy")
    assert arrive(connections, Line("10.0.0.1")) is None
    assert connections.counters == {"refused_all": 1}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("::1", "::1", True),
        ("", "10.0.0.1", False),
    ],
)
def test_who_counts_as_one(one: str, other: str, is_same: bool) -> None:
    assert (group_of(one) == group_of(other)) is is_same


async def test_nothing_is_left_of_those_that_are_gone() -> None:
    connections = Connections(10, 10, NEVER)
    here = all_in(connections, [Line(f"10.0.0.{number % 3}") for number in range(10)], "idle")
    for connection in here:
        connections.begins_head(connection)
        connections.begins_body(connection)
        connections.stalls(connection)
        connections.gone(connection)
        connections.gone(connection)
        connections.has_answered(connection)  # a request that was under way
    assert len(connections) == 0
    assert not connections._count_of
    assert not connections._idle_of
    assert not any(connections._waits.values())


WAYS = {
    Wait.HEAD: lambda connections, one: None,
    Wait.IDLE: lambda connections, one: (connections.is_asked(one), connections.has_answered(one)),
    Wait.BODY: lambda connections, one: (connections.begins_body(one), connections.is_asked(one)),
    Wait.READING: lambda connections, one: (connections.is_asked(one), connections.stalls(one)),
}


@pytest.mark.parametrize("wait", list(Wait))
async def test_each_wait_has_an_end(wait: Wait) -> None:
    long = dict.fromkeys(("head", "body", "idle", "answer"), 9000000000.0)
    connections = Connections(4, 4, Patience(**{**long, wait.value: 0.05}))
    line = Line()
    connection = arrive(connections, line)
    WAYS[wait](connections, connection)
    await asyncio.wait_for(line.is_ended.wait(), GIVE_UP_S)
    assert line.ended == [wait.value]
    assert connections.counters == {f"late_{wait.value}": 1}


async def test_who_reads_slowly_has_its_time_again() -> None:
    connections = Connections(4, 4, NEVER)
    line = Line()
    connection = arrive(connections, line)
    assert connection is not None
    connections.is_asked(connection)
    line.unread = 5
    connections.stalls(connection)
    for unread in (4, 3, 2):
        line.unread = unread
        connections._end_late(Wait.READING, float("inf"))
        assert line.ended == []
    connections._end_late(Wait.READING, float("inf"))
    assert line.ended == ["answer"]


async def test_only_so_many_may_read_that_they_are_refused() -> None:
    connections = Connections(1, 1, NEVER)
    assert [connections.refuse(Line()) for _ in range(REFUSED_MAX + 2)] == [True] * REFUSED_MAX + [False] * 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "wished", "connections"),
    [
        (256, None, 160),
        (1024, None, 768),
        (65_536, None, 10_000),
        (65_536, 40_000, 40_000),
        (256, 1_000, 160),
        (64, None, 16),
    ],
)
def test_connections_leave_room_for_other_files(files: int, wished: int | None, connections: int) -> None:
    assert connections_for(files, wished) == connections


def test_the_limit_of_files_is_raised_once() -> None:
    assert raise_file_limit() == raise_file_limit()
