"""Connections that come, ask, wait and go in any order: the places are always counted right."""

from __future__ import annotations

import asyncio
import random

import pytest

from exness_streams.transport.connections import Connection, Connections, Patience, Wait

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2", "127.0.0.1"]
STEPS = 600
NEVER = Patience(9e9, 9e9, 9e9, 9e9)


class Line:
    """A transport and its server's side: one that makes room, or is late, is gone a little later."""

    def __init__(self, address: str, leaving: list[Line]) -> None:
        self.address, self.leaving = address, leaving
        self.place: Connection | None = None

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return (self.address, 1)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.leaving.append(self)

    def make_room(self) -> None:
        self.leaving.append(self)

    def time_is_up(self, wait: Wait) -> None:
        self.leaving.append(self)


def check(connections: Connections, model: set[Line]) -> None:
    assert len(connections) == len(model) <= connections.total_max
    for address in {line.place.address for line in model if line.place}:
        count = sum(line.place is not None and line.place.address == address for line in model)
        assert connections._count_of[address] == count
        if address != "127.0.0.1":
            assert count <= connections.address_max
    assert sum(connections._count_of.values()) == len(model)
    idle = {place for of_address in connections._idle_of.values() for place in of_address}
    assert idle == {*connections._waits[Wait.HEAD], *connections._waits[Wait.IDLE]}
    for waiting in connections._waits.values():
        assert set(waiting) <= connections._here
        assert list(waiting.values()) == sorted(waiting.values()), "the longest wait comes first"


@pytest.mark.parametrize("seed", range(20))
async def test_places_are_counted_right(seed: int) -> None:
    rng = random.Random(seed)
    connections = Connections(rng.randint(1, 12), None, NEVER)
    model: set[Line] = set()
    leaving: list[Line] = []
    for _ in range(STEPS):
        line = rng.choice([*model]) if model else None
        step = rng.randrange(9)
        if step <= 2 or line is None or line.place is None:
            newcomer = Line(rng.choice(ADDRESSES), leaving)
            displaced = len(leaving)
            newcomer.place = connections.arrive(newcomer, newcomer)  # type: ignore[arg-type]
            model -= {*leaving[displaced:]}
            if newcomer.place is not None:
                model.add(newcomer)
        elif step == 3:
            connections.is_asked(line.place)
        elif step == 4:
            connections.has_answered(line.place)
        elif step == 5:
            connections.begins_body(line.place)
        elif step == 6:
            connections.ends_body(line.place)
        elif step == 7:
            connections._end_late(rng.choice([Wait.HEAD, Wait.BODY, Wait.IDLE]), float("inf"))
        else:
            connections.gone(line.place)
            model.discard(line)
        if leaving and rng.random() < 0.5:
            gone = leaving.pop(rng.randrange(len(leaving)))
            if gone.place is not None:
                connections.gone(gone.place)
                connections.has_answered(gone.place)  # its request ends after it
            model.discard(gone)
        check(connections, model)
    for line in list(model):
        if line.place is not None:
            connections.gone(line.place)
    check(connections, set())
    await asyncio.sleep(0)
