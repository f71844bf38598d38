"""The histories of one partition: what is committed, what is folded and told beyond that, and who waits for it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import msgspec

from exness_streams.domain import account_history
from exness_streams.domain.account_history import HistoryHead
from exness_streams.domain.codec import Meta
from exness_streams.engine.ahead import Ahead, Part, Room
from exness_streams.engine.told_events import ToldEvents
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.leases import Lease

SLICE_EVENTS_MAX = 200
"""Events folded in one go: a few milliseconds' work, after which others get the event loop."""

HEADS_KEPT = 10_000
"""Decoded heads of accounts that are kept at hand."""


class Slice:
    """What a slice of events changes: entries, heads, and how many more accounts and events taken there are (Meta).

    missing: by account, how many events are missing before those taken. strange: records that are no events, by their
    offset, and why.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes | None] = {}
        self.heads: dict[str, HistoryHead] = {}
        self.accounts = self.taken = 0
        self.missing: Counter[str] = Counter()
        self.strange: list[tuple[int, Exception]] = []


class HistoryPartition:
    """Histories of one partition's accounts.

    next_offset: as committed. meta: of what is folded. ahead: what of that is not committed. told: what cells here have
    told beyond that.
    """

    def __init__(
        self,
        meta: Meta,
        lease: Lease,
        events_end: int,
        room: Room,
        stored: Callable[[bytes], bytes | None],
    ) -> None:
        """stored: reads an entry of the table."""
        self.number = meta.partition
        self.lease = lease
        self.meta = meta
        self.next_offset = meta.next_offset
        self.events_end = events_end
        self.ahead = Ahead(room, stored)
        self.told = ToldEvents()
        self.committed_at_s, self.took_s = -math.inf, 0.0
        self.committing: asyncio.Task[None] | None = None
        self.wanted = Wakeup()
        self._heads: dict[str, HistoryHead] = {}
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    @property
    def folded(self) -> int:
        """The offset of the next event to fold."""
        return self.meta.next_offset

    @property
    def is_whole(self) -> bool:
        """Whether it holds all that was in it before it was lost."""
        return self.folded >= self.meta.rebuilt_to

    @property
    def is_full(self) -> bool:
        """Whether a whole slice waits for its transaction: then nothing is won by waiting for more."""
        return self.ahead.records >= SLICE_EVENTS_MAX

    # -- events

    def head(self, account_id: str) -> HistoryHead:
        """How far the topic has brought an account's history."""
        head = self._heads.get(account_id)
        if head is None:
            stored = self.ahead.entry(account_history.head_key(account_id))
            if stored is None:
                return HistoryHead()
            head = self._heads[account_id] = account_history.decode_head(stored)
        return head

    def entry(self, account_id: str, key: bytes) -> bytes | None:
        """An entry of an account as its readers see it."""
        told = self.told.entries(account_id)
        return told[key] if key in told else self.ahead.entry(key)

    def add(self, part: Slice, records: int, next_offset: int) -> None:
        """What was folded waits for its transaction, and is there to be read."""
        meta = self.meta
        self.meta = msgspec.structs.replace(
            meta,
            next_offset=next_offset,
            accounts=meta.accounts + part.accounts,
            taken=meta.taken + part.taken,
            rebuilt_to=meta.rebuilt_to if next_offset < meta.rebuilt_to else 0,
        )
        self.ahead.add(Part(part.entries, [], self.meta, records))
        if len(self._heads) > HEADS_KEPT:
            self._heads.clear()
        self._heads.update(part.heads)
        for account_id, head in part.heads.items():
            self.told.brought(account_id, head.sequence)
            if account_id in part.missing:
                self.told.fold_anew(account_id)
            self._wake(self._waiting.get(account_id, ()))
        if self.is_full:
            self.wanted.set()

    def give_up(self) -> None:
        """Its readers have waited for nothing: it is another worker's now."""
        self.ahead.give_up()
        self.wanted.set()
        for waiting in list(self._waiting.values()):
            self._wake(waiting)

    # -- readers

    async def moved(self, account_id: str) -> None:
        """Return when the topic has brought more of an account, or the partition is given up."""
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[account_id].add(moved)
        try:
            await moved
        finally:
            self._waiting[account_id].discard(moved)
            if not self._waiting[account_id]:
                del self._waiting[account_id]

    def _wake(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        for moved in waiting:
            if not moved.done():
                moved.set_result(None)
