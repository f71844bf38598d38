"""Commits what histories have folded: one transaction at a time for each, at a pace, while they fold on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from exness_streams.domain import codec
from exness_streams.engine.ahead import Bounds, Part, Room
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.history_partition import HistoryPartition
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.leases import Lease

PACE_S = 0.05
"""Time between the transactions of a partition with few events: orders need the log more."""

BOUNDS = Bounds(records=2_000, size=4 << 20, worker_size=16 << 20)
"""Events that may be folded and not committed, of a partition, and bytes of what they change, of one and of all."""

CLOSE_S_MAX = 3.0
"""How long a stop waits for the transactions under way."""


class HistoryCommitter:
    """Of all histories of a worker."""

    def __init__(
        self,
        commits: TableCommits,
        is_here: Callable[[HistoryPartition], bool],
        *,
        pace_s: float = PACE_S,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """is_here: whether histories are this worker's, under a lease that is held."""
        self.room = Room(bounds)
        self._commits = commits
        self._is_here = is_here
        self._pace_s = pace_s
        self._fault: Exception | None = None
        self._failed = asyncio.Event()
        self._is_closing = False

    async def run(self) -> None:
        """Watch the transactions, which have no other caller. Ends only by raising what ended one: LogFault, or a
        defect."""
        await self._failed.wait()
        raise self._fault or LogFault("histories can't be committed")

    def goes_on(self, owned: HistoryPartition) -> bool:
        """Whether events are to be folded, and committed, here."""
        return self._fault is None and self._is_here(owned)

    async def wait_for_room(self, owned: HistoryPartition) -> bool:
        """Wait while too much is not committed. Whether the caller is to fold on."""
        while owned.ahead.is_full and self.goes_on(owned) and not self._is_closing:
            self.soon(owned)
            await self.room.changed(owned.lease)
        return self.goes_on(owned) and not self._is_closing

    def soon(self, owned: HistoryPartition) -> None:
        """Commit what waits, at its pace."""
        if owned.ahead.parts and owned.committing is None and self.goes_on(owned):
            owned.committing = asyncio.create_task(self._commit_all(owned))

    async def close(self, owned_here: Iterable[HistoryPartition]) -> None:
        """Commit what was folded, and fold no more."""
        self._is_closing = True
        owned_now = list(owned_here)
        for owned in owned_now:
            owned.wanted.set()
            self.soon(owned)
        self.room.wake()
        under_way = [owned.committing for owned in owned_now if owned.committing is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_S_MAX)

    async def _commit_all(self, owned: HistoryPartition) -> None:
        """Until nothing is left."""
        try:
            while owned.ahead.parts and self.goes_on(owned):
                pause_s = owned.committed_at_s + self._pace_s - time.monotonic()
                if pause_s > 0 and not owned.is_full and not self._is_closing:
                    await owned.wanted.wait(pause_s)
                if self.goes_on(owned) and not await self._commit(owned, owned.lease, owned.ahead.take()):
                    return
        except Exception as error:
            self._fault = self._fault or error
            self._failed.set()
        finally:
            owned.committing = None
            self.room.wake()

    async def _commit(self, owned: HistoryPartition, lease: Lease, part: Part) -> bool:
        """False when nobody here may commit any more."""
        entries = {**part.entries, codec.META_KEY: codec.encode(part.meta)}
        is_committed = False
        try:
            await self._commits.commit(lease, entries, [], part.meta.next_offset)
            is_committed = not lease.is_over
        except LogFault as fault:
            # As for cells: whoever has the next lease takes the events again, or goes on with these.
            if not isinstance(fault, CellReleased) and owned.lease is lease and self.goes_on(owned):
                raise
            return owned.lease is not lease
        finally:
            if is_committed:
                owned.next_offset, owned.committed_at_s = part.meta.next_offset, time.monotonic()
                owned.ahead.committed(part)
            else:
                owned.ahead.put_back(part)
        return True
