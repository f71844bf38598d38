"""Before histories are taken over: their table is brought to where their topic is, whatever became of either.

A view stops nobody. What it has lost is built anew from the events that there are, and when those begin later than it
stands, or end before, it keeps what it has and goes on with the first there is: its accounts' sequences tell what it
has taken already.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

import msgspec

from exness_streams.domain import account_history, codec
from exness_streams.domain.account_history import HEAD_PREFIX, POINT_PREFIX, TRADE_PREFIX, HistoryHead
from exness_streams.domain.codec import META_KEY, Meta
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.losses import is_empty, lost_by_count, lost_by_offset, meta_of
from exness_streams.transport.leases import Lease
from exness_streams.transport.table import CellTable

log = logging.getLogger(__name__)

READ_AGAIN_MAX = 100_000
"""Events of a partition that are read again when the group's offset is gone: some seconds.

Brokers forget it with a group that was away for long, and delete it with its topic; one that was made anew may go as
far by then as a small one went. A larger one's place is taken from the table.
"""

REMOVED_AT_ONCE = 1_000
"""Entries of one transaction, when histories begin anew."""


class HistoryMending:
    """Of the histories in a table, built from a topic."""

    def __init__(self, table: CellTable, commits: TableCommits, topic: str) -> None:
        self._table = table
        self._commits = commits
        self._topic = topic

    async def mend(self, lease: Lease, *, start: int, end: int) -> None:
        """The partition's committed offset is then one that its topic has, and its table says the same. LogFault.

        start, end: of the topic.
        """
        partition, committed = lease.partition, lease.committed
        lost = self._lost(partition, committed)
        if lost is not None:
            await self._begin_anew(lease, lost, start, end)
            return
        meta = meta_of(self._table, partition)
        if meta is None and committed is None:
            return
        known = meta or Meta(partition, 0)
        stands_at = max(committed or 0, known.next_offset)
        if stands_at < start or max(stands_at, known.rebuilt_to) > end:
            await self._go_on_from_start(lease, stands_at, start, end)
        elif committed is None and known.next_offset <= READ_AGAIN_MAX:
            log.warning(
                "the committed offset of partition %d of %s is gone: its events are read again, and none counts twice",
                partition,
                self._topic,
            )
            await self._commits.move(lease, msgspec.structs.replace(known, next_offset=start))
        elif known.next_offset > (committed or 0):
            await self._commits.mend_offset(lease, f"partition {partition} of {self._topic}", known)

    def counted(self, partition: int) -> Meta:
        """What the table's Meta would say, apart from its offset."""
        heads = [head for _, head in self._heads(partition)]
        return Meta(partition, 0, len(heads), sum(head.sequence for head in heads))

    def _heads(self, partition: int) -> Iterator[tuple[bytes, HistoryHead]]:
        for key, value in self._table.scan(partition, HEAD_PREFIX):
            yield key, account_history.decode_head(value)

    async def _go_on_from_start(self, lease: Lease, stands_at: int, start: int, end: int) -> None:
        partition = lease.partition
        what = f"begins at {start}: it was trimmed" if stands_at < start else f"ends at {end}: it was made anew or cut"
        log.warning(
            "partition %d of %s %s, but its histories stand at %d. They keep what they have and go on with the first "
            "event there is; what is missing is counted (docs/operations.md, Lost state)",
            partition,
            self._topic,
            what,
            stands_at,
        )
        meta = meta_of(self._table, partition) or self.counted(partition)
        rebuilt_to = _within(meta.rebuilt_to, start, end)
        await self._commits.move(lease, msgspec.structs.replace(meta, next_offset=start, rebuilt_to=rebuilt_to))

    # -- entries that are lost

    def _lost(self, partition: int, committed: int | None) -> str | None:
        empty = is_empty(self._table, partition, account_history.PREFIXES)
        lost = lost_by_offset(self._table, partition, committed, empty=empty)
        if lost is not None or partition not in self._table.unproven:
            return lost
        expected = Counter[bytes]()
        for _, head in self._heads(partition):
            expected[TRADE_PREFIX] += head.trades.end - head.trades.stored
            expected[POINT_PREFIX] += head.points.end - head.points.stored
        lost = lost_by_count(meta_of(self._table, partition), self.counted(partition))
        if lost is None and any(self._table.count(partition, prefix) != expected[prefix] for prefix in expected):
            lost = "lacks trades or balances of some accounts"
        return lost

    async def _begin_anew(self, lease: Lease, lost: str, start: int, end: int) -> None:
        """What does not hold together goes; the rest stays, and so do its trades when their events are gone."""
        partition, committed = lease.partition, lease.committed or 0
        log.warning(
            "partition %d of %s %s: its histories are built anew from %s%s, and not shown until then",
            partition,
            self._table.changelog_name,
            lost,
            self._topic,
            f", which begins at {start}: what older events told is lost" if start else "",
        )
        meta = meta_of(self._table, partition)
        rebuilt_to = _within(max(committed, 0 if meta is None else meta.rebuilt_to), start, end)
        # A crash in the middle leaves the offset above what the Meta says: then this begins again.
        beginning = {META_KEY: codec.encode(Meta(partition, 0, rebuilt_to=rebuilt_to))}
        await self._commits.commit(lease, beginning, [], committed)
        removed = chain.from_iterable(self._entries_of(partition, one) for one in self._broken(partition))
        while old := list(islice(removed, REMOVED_AT_ONCE)):
            await self._commits.commit(lease, {**dict.fromkeys(old), **beginning}, [], committed)
        counted = self.counted(partition)
        await self._commits.move(lease, msgspec.structs.replace(counted, next_offset=start, rebuilt_to=rebuilt_to))

    def _broken(self, partition: int) -> list[bytes]:
        """Ids of the accounts whose head, trades and balances do not belong together."""
        trades, points = (
            Counter(key.split(b"/")[1] for key, _ in self._table.scan(partition, prefix))
            for prefix in (TRADE_PREFIX, POINT_PREFIX)
        )
        whole = set()
        for key, head in self._heads(partition):
            account = key.removeprefix(HEAD_PREFIX)
            stored = trades.setdefault(account, 0), points.setdefault(account, 0)
            if stored == (head.trades.end - head.trades.stored, head.points.end - head.points.stored):
                whole.add(account)
        return sorted((trades.keys() | points.keys()) - whole)

    def _entries_of(self, partition: int, account: bytes) -> Iterator[bytes]:
        """The keys of an account's entries, as they were when the first is asked for."""
        found = [HEAD_PREFIX + account]
        for prefix in (TRADE_PREFIX, POINT_PREFIX):
            found += [key for key, _ in self._table.scan(partition, prefix + account + b"/")]
        yield from found


def _within(rebuilt_to: int, start: int, end: int) -> int:
    """0 where the topic does not go so far any more, or begins behind: nobody knows then what whole is."""
    return rebuilt_to if start < rebuilt_to <= end else 0
