"""How a fold of a topic into a table is committed: first the log, then RocksDB.

The protocol: docs/architecture.md, The path of an order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from exness_streams.engine.losses import RESTORE
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from exness_streams.transport.table import CellTable


class TableCommits:
    """Commits changed entries of a table, other records, and the input's offset, by the lease of whoever folds."""

    def __init__(self, table: CellTable, metrics: WorkMetrics) -> None:
        self._table = table
        self._metrics = metrics
        self._last_written: dict[int, int] = {}

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
            self._last_written[lease.partition] = offsets[len(changes) - 1]

    def _check_behind(self, partition: int, first: int) -> None:
        """A changelog only grows. One that was made anew or cut while it is written holds a part of the table."""
        last = self._last_written.get(partition, -1)
        if first <= last:
            raise LogFault(
                f"partition {partition} of {self._table.changelog_name} goes on at record {first}, but record {last} "
                f"was written before: the topic was made anew or cut. {RESTORE}",
                written=True,
            )
