"""The histories of one partition: what is committed, what is folded beyond that, and who waits for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict, deque

from exness_streams.domain import codec
from exness_streams.domain.account_history import HistoryHead
from exness_streams.domain.codec import META_KEY, Meta
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.leases import Lease

SLICE_EVENTS_MAX = 200
"""Events of one transaction: a few milliseconds' work, after which others get the event loop."""


class Slice:
    """What one transaction takes: entries to write, and how far its accounts come by them.

    accounts, taken: how many more of them there are, as in Meta.
    """

    def __init__(self, events: int, next_offset: int) -> None:
        self.events = events
        self.next_offset = next_offset
        self.entries: dict[bytes, bytes | None] = {}
        self.heads: dict[str, HistoryHead] = {}
        self.accounts = self.taken = 0

    def join(self, later: Slice) -> None:
        """Take what follows this one."""
        self.events += later.events
        self.next_offset = later.next_offset
        self.entries.update(later.entries)
        self.heads.update(later.heads)


class HistoryPartition:
    """Histories of one partition's accounts. may_begin_late: the topic's beginning is gone.

    next_offset: as committed. folded: of the next event to fold. heads: of accounts that have uncommitted events.
    accounts, taken, rebuilt_to: as in the table's Meta, of what is folded.
    """

    def __init__(self, meta: Meta, lease: Lease, events_end: int, *, may_begin_late: bool) -> None:
        self.number = meta.partition
        self.lease = lease
        self.next_offset = self.folded = meta.next_offset
        self.accounts = meta.accounts
        self.taken = meta.taken
        self.rebuilt_to = meta.rebuilt_to
        self.events_end = events_end
        self.may_begin_late = may_begin_late
        self.committed_at_s = -math.inf
        self.slices: deque[Slice] = deque()
        self.uncommitted = 0
        self.heads: dict[str, HistoryHead] = {}
        self.committing: asyncio.Task[None] | None = None
        self.wanted, self.room = Wakeup(), Wakeup()
        self.busy = asyncio.Lock()
        self.waiting: defaultdict[str, list[tuple[int, asyncio.Future[bool]]]] = defaultdict(list)

    @property
    def is_whole(self) -> bool:
        """Whether it holds all that was in it before it was lost."""
        return self.next_offset >= self.rebuilt_to

    def add(self, part: Slice) -> None:
        """What was folded waits for its transaction."""
        self.folded = part.next_offset
        self.accounts += part.accounts
        self.taken += part.taken
        rebuilt_to = self.rebuilt_to if self.folded < self.rebuilt_to else 0
        meta = Meta(self.number, self.folded, self.accounts, self.taken, rebuilt_to)
        part.entries[META_KEY] = codec.encode(meta)
        self.heads.update(part.heads)
        self.uncommitted += part.events
        if self.slices and self.slices[-1].events + part.events <= SLICE_EVENTS_MAX:
            self.slices[-1].join(part)
        else:
            self.slices.append(part)
        if self.is_full:
            self.wanted.set()

    @property
    def is_full(self) -> bool:
        """Whether a whole transaction's events wait: then nothing is won by waiting for more."""
        return len(self.slices) > 1 or bool(self.slices and self.slices[0].events >= SLICE_EVENTS_MAX)

    def committed(self, part: Slice) -> None:
        """A transaction is over, and its entries are in the table."""
        self.next_offset, self.committed_at_s = part.next_offset, time.monotonic()
        self.uncommitted -= part.events
        self.room.set()
        for account_id, head in part.heads.items():
            if self.heads.get(account_id) is head:
                del self.heads[account_id]
            self.tell(account_id, head.sequence)

    def tell(self, account_id: str, sequence: int) -> None:
        """An account's history has come up to a sequence."""
        for awaited, reached in self.waiting.get(account_id, ()):
            if awaited <= sequence and not reached.done():
                reached.set_result(True)

    def give_up(self) -> None:
        """Its readers have waited for nothing: it is another worker's now."""
        for waiters in self.waiting.values():
            for _, reached in waiters:
                if not reached.done():
                    reached.set_result(False)
        self.wanted.set()
        self.room.set()
