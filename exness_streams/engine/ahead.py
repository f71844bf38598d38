"""What cells have folded and told beyond their transactions: readable here, and bounded, for a cell and for a worker.

docs/decisions/0025.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from exness_streams.domain.codec import Meta
from exness_streams.domain.events import Event
from exness_streams.transport.leases import Lease

PART_RECORDS_MAX = 500
"""Records that one transaction takes, unless one slice has more."""

PART_BYTES_MAX = 1 << 20

EVENT_BYTES = 1 << 10
"""What an event is counted for: it is encoded only with its transaction."""

ENTRY_BYTES = 128
"""What an entry takes beside its key and its value."""


class Bounds(NamedTuple):
    """How much may run ahead: journal records of a cell, bytes of what came of them, bytes of all cells of a worker.

    While there is room one slice of records is folded, whatever comes of it: a bound is passed by that much at most.
    """

    records: int = 10_000
    size: int = 8 << 20
    worker_size: int = 32 << 20


@dataclass
class Part:
    """What one transaction takes. meta: as it is after these records."""

    entries: dict[bytes, bytes | None]
    events: list[Event]
    meta: Meta
    records: int
    size: int = 0

    def __post_init__(self) -> None:
        values = sum(len(key) + len(value or b"") for key, value in self.entries.items())
        self.size = values + ENTRY_BYTES * len(self.entries) + EVENT_BYTES * len(self.events)

    def takes(self, later: Part) -> bool:
        """Whether what follows fits into the same transaction."""
        return self.records + later.records <= PART_RECORDS_MAX and self.size + later.size <= PART_BYTES_MAX

    def join(self, later: Part) -> None:
        """Take what follows this one. What it writes again is counted twice, until both are committed."""
        self.entries.update(later.entries)
        self.events += later.events
        self.meta = later.meta
        self.records += later.records
        self.size += later.size


class Room:
    """Of a worker: how much runs ahead, and who waits until it is less."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.records = self.size = 0
        self._waiting: dict[asyncio.Future[None], None] = {}  # in their order

    @property
    def is_full(self) -> bool:
        """Whether the worker's bound is reached."""
        return self.size >= self.bounds.worker_size

    def take(self, part: Part) -> None:
        """A part runs ahead."""
        self.records += part.records
        self.size += part.size

    def give(self, part: Part) -> None:
        """It does no longer. The caller wakes those who wait."""
        self.records -= part.records
        self.size -= part.size

    def wake(self) -> None:
        """There may be room, or no reason to wait."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def changed(self, lease: Lease) -> None:
        """Return at the next `wake`, or when the lease is not held any more."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = asyncio.ensure_future(lease.left())
        self._waiting[woken] = None
        try:
            await asyncio.wait({woken, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.pop(woken, None)
            left.cancel()


class Ahead:
    """Of one cell: the parts that wait for their transactions, and the newest entries of what is not in the table yet.

    records, size: of all that is not in the table yet.
    """

    def __init__(self, room: Room, stored: Callable[[bytes], bytes | None]) -> None:
        """stored: reads an entry of the table."""
        self.records = self.size = 0
        self.parts: deque[Part] = deque()
        self._room = room
        self._stored = stored
        self._entries: dict[bytes, bytes | None] = {}
        self._is_given_up = False

    def entry(self, key: bytes) -> bytes | None:
        """The newest value, None when it is removed or there is none."""
        return self._entries[key] if key in self._entries else self._stored(key)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be folded now. A cell of which nothing waits may go on, however full the others are:
        nobody knows when they go on."""
        bounds = self._room.bounds
        if self.records >= bounds.records or self.size >= bounds.size:
            return True
        return self.records > 0 and self._room.is_full

    def add(self, part: Part) -> None:
        """What was folded runs ahead from now on."""
        self._entries.update(part.entries)
        self._count(part)
        if self.parts and self.parts[-1].takes(part):
            self.parts[-1].join(part)
        else:
            self.parts.append(part)

    def _count(self, part: Part) -> None:
        self.records += part.records
        self.size += part.size
        self._room.take(part)

    def take(self) -> Part:
        """What the next transaction is to write. It stays readable: `committed` or `put_back` follows."""
        return self.parts.popleft()

    def put_back(self, part: Part) -> None:
        """It was not committed, as far as anybody knows."""
        self.parts.appendleft(part)

    def committed(self, part: Part) -> None:
        """The table has it."""
        if self._is_given_up:
            return
        for key, value in part.entries.items():
            if key in self._entries and self._entries[key] is value:
                del self._entries[key]
        self._uncount(part)
        self._room.wake()

    def _uncount(self, part: Part) -> None:
        self.records -= part.records
        self.size -= part.size
        self._room.give(part)

    def give_up(self) -> None:
        """Another folds it again: what was not committed is forgotten here."""
        if not self._is_given_up:
            self._is_given_up = True
            self._room.records -= self.records
            self._room.size -= self.size
            self.records = self.size = 0
            self.parts.clear()
            self._entries.clear()
        self._room.wake()
