"""The commit protocol on the embedded log: one SQLite transaction holds records and offset.

`log` gives the open log: it is asked at every use, so that these can be made before the app has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.interfaces import LogRecord, tell_nobody


class EmbeddedCellLog:
    """CellLog on the embedded log: one SQLite transaction. The directory's lock is the fence."""

    def __init__(self, log: Callable[[], EmbeddedLog], topic: str, group: str) -> None:
        self._log = log
        self._topic = topic
        self._group = group
        self._in_flight: dict[int, set[asyncio.Future[list[int]]]] = {}
        self.on_release: Callable[[Iterable[int]], None] = tell_nobody

    async def fence(self, partitions: Iterable[int]) -> None:
        """No other process can have opened this log: only a former holder in this one has to end."""
        await self.release(partitions)

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        own = [record if record.partition is not None else record._replace(partition=partition) for record in records]
        written = self._log().transact(self._group, own, {(self._topic, partition): next_offset})
        in_flight = self._in_flight.setdefault(partition, set())
        in_flight.add(written)
        written.add_done_callback(in_flight.discard)
        return await written

    async def release(self, partitions: Iterable[int]) -> None:
        released = list(partitions)
        self.on_release(released)
        for partition in released:
            while in_flight := self._in_flight.get(partition):
                await asyncio.wait(in_flight)

    def committed(self, partition: int) -> int | None:
        return self._log().committed(self._group, (self._topic, partition))


class EmbeddedFrameLog:
    """FrameLog on the embedded log: frames and how far ticks are framed, as a group of its own, are one transaction."""

    def __init__(self, log: Callable[[], EmbeddedLog], topic: str, group: str) -> None:
        self._log = log
        self._topic = topic
        self._group = group

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        await self._log().transact(self._group, records, {(self._topic, partition): next_offset})

    def framed_end(self, partition: int) -> int:
        return self._log().committed(self._group, (self._topic, partition)) or 0

    def replay_end(self, partition: int) -> int:
        return 0
