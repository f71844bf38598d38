"""Commits what cells have folded: one transaction at a time for each, while they fold on (docs/decisions/0025)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

from async_timeout import timeout

from exness_streams.domain import codec
from exness_streams.domain.events import Event
from exness_streams.domain.plain_numbers import encoders
from exness_streams.engine.ahead import Bounds, Part, Room
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.event_counts import counts_of
from exness_streams.engine.owned_cell import OwnedCell
from exness_streams.messages import EVENTS_TOPIC, headers_of, public_record
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease

CLOSE_S_MAX = 3.0

PACE_S = 0.02
"""Between the transactions of a cell, so that one takes what comes in a row. What comes alone does not wait."""


class Committer:
    """Of all cells of a worker. counters: events that are in the log."""

    def __init__(
        self,
        commits: TableCommits,
        events_topic: str,
        bounds: Bounds,
        is_here: Callable[[OwnedCell, Lease], bool],
        *,
        pace_s: float = PACE_S,
    ) -> None:
        """is_here: whether a cell is this worker's under a lease that is held."""
        self.room = Room(bounds)
        self.counters: Counter[str] = Counter()
        self.fault: Exception | None = None
        self._commits = commits
        self._events_topic = events_topic
        self._is_here = is_here
        self._pace_s = pace_s
        self._failed = asyncio.Event()

    async def run(self) -> None:
        """Watch the transactions, which have no other caller. Ends only by raising what ended one: LogFault, or a
        defect."""
        await self._failed.wait()
        raise self.fault or LogFault("cells can't be committed")

    async def wait_for_room(self, owned: OwnedCell, lease: Lease) -> bool:
        """Wait while too much runs ahead. Whether the caller is to fold on: not when its lease is not held any more,
        its cell is dropped, or a transaction has failed."""
        while owned.ahead.is_full and self._goes_on(owned, lease):
            self.now(owned)
            await self.room.changed(lease)
        return self._goes_on(owned, lease)

    def soon(self, owned: OwnedCell) -> None:
        """Begin a transaction of what waits, unless one is under way: what waits then is taken after it."""
        if owned.committing is None and self._may_begin(owned):
            owned.committing = asyncio.create_task(self._commit_all(owned))

    def now(self, owned: OwnedCell) -> None:
        """As soon, and without its pace."""
        self.soon(owned)
        owned.wanted.set()

    async def settle(self, cells: Iterable[OwnedCell]) -> None:
        """Return once nothing waits, or nobody here commits what does."""
        while working := [owned for owned in cells if owned.committing is not None]:
            for owned in working:
                owned.wanted.set()
            await asyncio.wait([owned.committing for owned in working if owned.committing is not None])

    async def close(self, cells: Iterable[OwnedCell]) -> None:
        """Commit what was folded, and wait for it so long as a log that works may take."""
        owned_now = list(cells)
        for owned in owned_now:
            if self._goes_on(owned, owned.lease):
                owned.hand_over_rest()
                self.soon(owned)
        with suppress(asyncio.TimeoutError):
            async with timeout(CLOSE_S_MAX):
                await self.settle(owned_now)

    def _goes_on(self, owned: OwnedCell, lease: Lease) -> bool:
        return self.fault is None and self._is_here(owned, lease)

    def _may_begin(self, owned: OwnedCell) -> bool:
        """A cell that came back is looked at first: recovery may be bringing another owner's entries."""
        return bool(owned.ahead.parts) and owned.ready_at is not None and self._goes_on(owned, owned.lease)

    async def _commit_all(self, owned: OwnedCell) -> None:
        """Until nothing is left."""
        try:
            while self._may_begin(owned):
                await self._pace(owned)
                if self._may_begin(owned) and not await self._commit(owned, owned.lease, owned.ahead.take()):
                    return
        except Exception as error:
            self.fault = self.fault or error
            self._failed.set()
        finally:
            owned.committing = None
            self.room.wake()

    async def _pace(self, owned: OwnedCell) -> None:
        pause_s = owned.committed_at_s + self._pace_s - time.monotonic()
        if pause_s > 0 and len(owned.ahead.parts) < 2:  # the first of more is full already
            await owned.wanted.wait(pause_s)

    async def _commit(self, owned: OwnedCell, lease: Lease, part: Part) -> bool:
        """False when nobody here may commit any more."""
        told = [public_event(event, self._events_topic) for event in part.events]
        entries = {**part.entries, codec.META_KEY: codec.encode_meta(part.meta)}
        is_committed = False
        try:
            await self._commits.commit(lease, entries, told, part.meta.next_offset)
            is_committed = not lease.is_over  # else whoever is loaded next finds it in its table
        except LogFault as fault:
            # Its next owner folds the records again, to the same effect; or it goes on with these.
            if not isinstance(fault, CellReleased) and self._is_here(owned, lease):
                raise
            return owned.lease is not lease
        finally:
            if is_committed:
                owned.committed_at_s = time.monotonic()
                owned.ahead.committed(part)
            else:
                owned.ahead.put_back(part)
        if is_committed:
            # Only now: what was folded and not committed is folded again, here or elsewhere.
            for event in part.events:
                self.counters.update(counts_of(event))
        return True


def public_event(event: Event, topic: str = EVENTS_TOPIC) -> LogRecord:
    """An event as a record of its topic."""
    key, value = event.account_id.encode(), public_record(encoders["number"].encode(event))
    return LogRecord(topic, key, value, headers=headers_of(type(event)))
