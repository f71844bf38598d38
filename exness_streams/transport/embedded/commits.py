"""The commit protocol on the embedded log: one SQLite transaction holds records and offset.

`log` gives the open log: it is asked at every use, so that these can be made before the app has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import CellReleased
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease


class EmbeddedCellLog:
    """CellLog on the embedded log: one SQLite transaction. The directory's lock is the fence."""

    def __init__(self, log: Callable[[], EmbeddedLog], topic: str, group: str) -> None:
        self._log = log
        self._topic = topic
        self._group = group
        self._leases: dict[int, Lease] = {}

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        """No other process can have opened this log: only a former holder in this one has to end."""
        wanted = sorted(set(partitions))
        await self.release(wanted)
        for partition in wanted:
            committed = self._log().committed(self._group, (self._topic, partition))
            name = f"partition {partition} of {self._topic}"
            self._leases[partition] = Lease(partition, name, committed, partial(self._transact, partition))
        return {partition: self._leases[partition] for partition in wanted}

    async def take_over(self, partitions: Iterable[int]) -> None:
        assigned = set(partitions)
        await self.release(self._leases.keys() - assigned)
        await self.fence(assigned)

    def lease(self, partition: int) -> Lease:
        lease = self._leases.get(partition)
        if lease is None:
            raise CellReleased(f"partition {partition} of {self._topic} was not taken over")
        return lease

    async def _transact(self, partition: int, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        own = [record if record.partition is not None else record._replace(partition=partition) for record in records]
        offsets = {} if next_offset is None else {(self._topic, partition): next_offset}
        written = self._log().transact(self._group, own, offsets)
        try:
            return await asyncio.shield(written)
        except asyncio.CancelledError:
            await asyncio.wait({written})  # it is decided before another may begin
            written.exception()
            raise

    async def quiesce(self, partitions: Iterable[int]) -> None:
        await asyncio.gather(*(self._leases[number].quiesce() for number in partitions if number in self._leases))

    async def release(self, partitions: Iterable[int]) -> None:
        released = [self._leases.pop(partition) for partition in partitions if partition in self._leases]
        for lease in released:
            lease.end()
        await asyncio.gather(*(lease.quiesce() for lease in released))


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
