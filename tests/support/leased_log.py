"""The leases of a fake log, which says how it commits and how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from exness_streams.transport.faults import CellReleased
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from exness_streams.transport.rejoining import Rejoining


class Asked:
    """What the log knows of one partition."""

    def __init__(self, log: LeasedLog, partition: int, rejoining: Rejoining) -> None:
        self._log, self._partition = log, partition
        self.asks_again_in_s, self.ask_again = rejoining.asks_again_in_s, rejoining.ask_again

    async def committed(self) -> int | None:
        return self._log.committed(self._partition)

    async def holds_nothing(self, first: int, end: int) -> bool:
        return self._log.holes >= set(range(first, end))


class LeasedLog:
    """As a CellLog. A partition that nobody has fenced yet is fenced when it is asked for.

    rejoining: what asks the group; None, as for a log that has no group. holes: offsets of the input without a record.
    """

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.released: set[int] = set()
        self.rejoining: Rejoining | None = None
        self.holes: set[int] = set()

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        """One transaction, whoever asks."""
        raise NotImplementedError

    def committed(self, partition: int) -> int | None:
        """The group's offset."""
        raise NotImplementedError

    def fence_now(self, partition: int) -> Lease:
        """What `fence` does; here nothing waits."""
        former = self.leases.get(partition)
        self.released.discard(partition)
        if former is not None:
            former.end()
        name, transact = f"partition {partition} of the log", partial(self.commit, partition)
        ownership = None if self.rejoining is None else Asked(self, partition, self.rejoining)
        committed = self.committed(partition)
        lease = self.leases[partition] = Lease(partition, name, committed, transact, ownership=ownership)
        return lease

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        return {partition: self.fence_now(partition) for partition in partitions}

    async def take_over(self, partitions: Iterable[int]) -> None:
        assigned = set(partitions)
        await self.release(self.leases.keys() - assigned)
        await self.fence(assigned)

    def lease(self, partition: int) -> Lease:
        if partition in self.released:
            raise CellReleased(f"partition {partition} of the log was given up")
        return self.leases.get(partition) or self.fence_now(partition)

    async def quiesce(self, partitions: Iterable[int]) -> None:
        await asyncio.gather(*(self.lease(partition).quiesce() for partition in partitions))

    async def release(self, partitions: Iterable[int]) -> None:
        for lease in [self.leases.pop(partition) for partition in partitions if partition in self.leases]:
            self.released.add(lease.partition)
            lease.end()
            await lease.quiesce()
