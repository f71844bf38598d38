"""Commits what was folded: one transaction at a time for each partition, at a pace, while it folds on (0025).

What is folded, and what a transaction of it writes beside its entries, is the business of who derives from this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from async_timeout import timeout

from exness_streams.domain import codec
from exness_streams.engine.ahead import Ahead, Bounds, Part, Room
from exness_streams.engine.commits import TableCommits
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease

CLOSE_S_MAX = 3.0
"""How long a stop waits for the transactions under way."""

REST = 4.0
"""A partition rests this many times as long as its last transaction took: a log that is slow, or short of cores, gets
fewer transactions, and each takes more along."""

REST_S_MAX = 0.25
"""But no longer: events are in their topic with the next one."""


class Folding(Protocol):
    """A partition that is folded here. ahead: what waits. committing: what commits it, while something waits.
    committed_at_s, took_s: when its last transaction ended, and how long it took. wanted: set when the next is not to
    wait for its pace."""

    lease: Lease
    ahead: Ahead
    committing: asyncio.Task[None] | None
    committed_at_s: float
    took_s: float
    wanted: Wakeup


Owned = TypeVar("Owned", bound=Folding)


class PacedCommits(Generic[Owned]):
    """Of all partitions of one input that a worker has. fault: what ended a transaction."""

    def __init__(
        self, commits: TableCommits, bounds: Bounds, is_here: Callable[[Owned, Lease], bool], pace_s: float
    ) -> None:
        """is_here: whether a partition is this worker's under a lease that is held. pace_s: between transactions of a
        partition, so that one takes what comes in a row. What comes alone does not wait."""
        self.room = Room(bounds)
        self.fault: Exception | None = None
        self._commits = commits
        self._is_here = is_here
        self._pace_s = pace_s
        self._is_closing = False
        self._failed = asyncio.Event()

    # -- what differs

    def may_begin(self, owned: Owned) -> bool:
        """Whether something waits that may be committed now."""
        return bool(owned.ahead.parts)

    def is_full(self, owned: Owned) -> bool:
        """Whether so much waits that nothing is won by waiting for more."""
        return len(owned.ahead.parts) > 1

    def beside(self, part: Part) -> Sequence[LogRecord]:
        """What a transaction writes beside the entries."""
        return ()

    def committed(self, owned: Owned, part: Part) -> None:
        """A part is in the log and in the table."""

    def before_close(self, owned: Owned) -> None:
        """What did not wait for a transaction yet is to be in the last one."""

    # -- what does not

    async def run(self) -> None:
        """Watch the transactions, which have no other caller. Ends only by raising what ended one: LogFault, or a
        defect."""
        await self._failed.wait()
        raise self.fault or LogFault("what was folded can't be committed")

    async def wait_for_room(self, owned: Owned, lease: Lease) -> bool:
        """Wait while too much runs ahead. Whether the caller is to fold on: not when its lease is not held any more,
        its partition is dropped, a transaction has failed, or all is about to stop."""
        while owned.ahead.is_full and self._goes_on(owned, lease) and not self._is_closing:
            self.now(owned)
            await self.room.changed(lease)
        return self._goes_on(owned, lease) and not self._is_closing

    def soon(self, owned: Owned) -> None:
        """Begin a transaction of what waits, unless one is under way: what waits then is taken after it."""
        if owned.committing is None and self._may_begin(owned):
            owned.committing = asyncio.create_task(self._commit_all(owned))

    def now(self, owned: Owned) -> None:
        """As soon, and without its pace."""
        self.soon(owned)
        owned.wanted.set()

    async def settle(self, partitions: Iterable[Owned]) -> None:
        """Return once nothing waits, or nobody here commits what does."""
        while working := [owned for owned in partitions if owned.committing is not None]:
            for owned in working:
                owned.wanted.set()
            await asyncio.wait([owned.committing for owned in working if owned.committing is not None])

    async def close(self, partitions: Iterable[Owned]) -> None:
        """Commit what was folded, fold no more, and wait for it so long as a log that works may take."""
        self._is_closing = True
        owned_now = list(partitions)
        for owned in owned_now:
            if self._goes_on(owned, owned.lease):
                self.before_close(owned)
                self.soon(owned)
        self.room.wake()
        with suppress(asyncio.TimeoutError):
            async with timeout(CLOSE_S_MAX):
                await self.settle(owned_now)

    def _goes_on(self, owned: Owned, lease: Lease) -> bool:
        return self.fault is None and self._is_here(owned, lease)

    def _may_begin(self, owned: Owned) -> bool:
        return self.may_begin(owned) and self._goes_on(owned, owned.lease)

    async def _commit_all(self, owned: Owned) -> None:
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

    async def _pace(self, owned: Owned) -> None:
        rest_s = max(self._pace_s, min(REST * owned.took_s, REST_S_MAX))
        pause_s = owned.committed_at_s + rest_s - time.monotonic()
        if pause_s > 0 and not self.is_full(owned):
            await owned.wanted.wait(pause_s)

    async def _commit(self, owned: Owned, lease: Lease, part: Part) -> bool:
        """False when nobody here may commit any more."""
        entries = {**part.entries, codec.META_KEY: codec.encode_meta(part.meta)}
        is_committed, begun_s = False, time.monotonic()
        try:
            await self._commits.commit(lease, entries, self.beside(part), part.meta.next_offset)
            is_committed = not lease.is_over  # else whoever is loaded next finds it in its table
        except LogFault as fault:
            # Its next owner folds the records again, to the same effect; or it goes on with these.
            if not isinstance(fault, CellReleased) and self._is_here(owned, lease):
                raise
            return owned.lease is not lease
        finally:
            if is_committed:
                owned.committed_at_s = time.monotonic()
                owned.took_s = owned.committed_at_s - begun_s
                owned.ahead.committed(part)
            else:
                owned.ahead.put_back(part)
        if is_committed:
            self.committed(owned, part)
        return True
