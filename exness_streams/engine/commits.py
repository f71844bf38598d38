"""How a fold of a topic into a table is committed: first the log, then RocksDB.

The protocol: docs/architecture.md, The path of an order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from exness_streams.domain.codec import META_KEY, Meta, encode_meta
from exness_streams.engine.losses import RESTORE
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from exness_streams.transport.table import CellTable

log = logging.getLogger(__name__)


class TableCommits:
    """Commits changed entries of a table, other records, and the input's offset, by the lease of whoever folds."""

    def __init__(self, table: CellTable, metrics: WorkMetrics) -> None:
        self._table = table
        self._metrics = metrics
        self._stands_at: dict[int, int | None] = {}

    def begin(self, lease: Lease) -> None:
        """A holder was loaded from the table as it is now."""
        self._stands_at[lease.partition] = self._table.position(lease.partition)

    def goes_on(self, former: Lease, lease: Lease) -> bool:
        """Whether nobody has committed between two leases: what was loaded or folded under the former still holds.

        The offset alone does not tell: some transactions leave it where it is (candles, histories built anew). But none
        is without an entry, and recovery has brought those.
        """
        partition = lease.partition
        return former.committed == lease.committed and (
            partition in self._stands_at and self._stands_at[partition] == self._table.position(partition)
        )

    async def mend_offset(self, lease: Lease, where: str, meta: Meta) -> None:
        """Commit the offset that a table stands at, since the group's is lost or older. where: the input. LogFault."""
        was = "gone" if lease.committed is None else lease.committed
        await self.move(lease, meta)
        # Only now: whoever is late finds an older offset, too, and the log refuses it.
        log.warning(
            "the committed offset of %s was %s, but its table stands at %d: going on from there",
            where,
            was,
            meta.next_offset,
        )

    async def move(self, lease: Lease, meta: Meta) -> None:
        """Commit where a table stands, and nothing else. LogFault."""
        await self.commit(lease, {META_KEY: encode_meta(meta)}, [], meta.next_offset)

    async def commit(
        self,
        lease: Lease,
        entries: Mapping[bytes, bytes | None],
        records: Sequence[LogRecord],
        next_offset: int,
    ) -> None:
        """One transaction: each entry to the table's changelog, the records, the input's next offset. Then the table.

        The entries are in the table when this returns; when the lease is over meanwhile, recovery brings them there.
        CellReleased: the lease is not held, nothing was written. LogFault: nothing was written, or it is unknown.
        """
        changes = [LogRecord(self._table.changelog_name, key, value) for key, value in entries.items()]
        written = [*changes, *records]
        begun_s = time.monotonic()
        offsets = await lease.commit(written, next_offset)
        self._metrics.transaction(len(written), time.monotonic() - begun_s)
        if changes and not lease.is_over:
            self._check_behind(lease.partition, offsets[0])
            self._table.write(lease.partition, entries, offsets[len(changes) - 1])
            self._stands_at[lease.partition] = offsets[len(changes) - 1]

    def _check_behind(self, partition: int, first: int) -> None:
        """A changelog only grows. One that was made anew or cut while it is written holds a part of the table."""
        last = self._stands_at.get(partition)
        if last is not None and first <= last:
            raise LogFault(
                f"partition {partition} of {self._table.changelog_name} goes on at record {first}, but record {last} "
                f"was written before: the topic was made anew or cut. {RESTORE}",
                written=True,
            )
