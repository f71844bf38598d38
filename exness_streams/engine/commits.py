"""How a fold of a topic into a table is committed: first the log, then RocksDB.

The protocol: docs/architecture.md, The path of an order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from exness_streams.engine.losses import RESTORE
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.interfaces import CellLog, LogRecord
from exness_streams.transport.table import CellTable


class Lease:
    """The right to commit a partition. It ends with the partition's loss, and with the partition's next lease."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.is_over = False


class TableCommits:
    """Commits changed entries of a table, other records, and the input's offset. One at a time for a partition.

    A partition may leave and come back while its holder awaits something, and its holder is another object then. The
    number of the partition says nothing, so whoever commits shows the lease that it took before it read the table.
    """

    def __init__(self, table: CellTable, cell_log: CellLog, metrics: WorkMetrics) -> None:
        self._table = table
        self._cell_log = cell_log
        self._metrics = metrics
        self._last_written: dict[int, int] = {}
        self._leases: dict[int, Lease] = {}
        cell_log.on_release = self._released

    def lease(self, partition: int) -> Lease:
        """A new lease of a partition; the former one is over."""
        self.end([partition])
        lease = self._leases[partition] = Lease(partition)
        return lease

    def end(self, partitions: Iterable[int]) -> None:
        """Nothing more is committed for these partitions. What is under way still comes into their tables."""
        for partition in partitions:
            if partition in self._leases:
                self._leases[partition].is_over = True

    def holds(self, lease: Lease) -> bool:
        """Whether a lease still stands. To be asked after each wait."""
        return not lease.is_over

    def _released(self, partitions: Iterable[int]) -> None:
        """They may be another worker's at once, whose transactions their tables then follow, by recovery."""
        for partition in partitions:
            self.end([partition])
            self._leases.pop(partition, None)

    async def commit(
        self,
        lease: Lease,
        entries: Mapping[bytes, bytes | None],
        records: Sequence[LogRecord],
        next_offset: int,
    ) -> None:
        """One transaction: each entry to the table's changelog, the records, the input's next offset. Then the table.

        The entries are in the table when this returns; when the log took the partition back meanwhile, or it was
        leased anew, recovery brings them there.
        CellReleased: the lease is over, nothing was written. LogFault: nothing was written, or it is unknown.
        """
        partition = lease.partition
        if not self.holds(lease):
            raise CellReleased(f"the lease of partition {partition} of {self._table.changelog_name} is over")
        changes = [LogRecord(self._table.changelog_name, key, value) for key, value in entries.items()]
        written = [*changes, *records]
        begun_s = time.monotonic()
        offsets = await self._cell_log.commit(partition, written, next_offset)
        self._metrics.transaction(len(written), time.monotonic() - begun_s)
        if changes and self._leases.get(partition) is lease:
            self._check_behind(partition, offsets[0])
            self._table.write(partition, entries, offsets[len(changes) - 1])
            self._last_written[partition] = offsets[len(changes) - 1]

    def _check_behind(self, partition: int, first: int) -> None:
        """A changelog only grows. One that was made anew or cut while it is written holds a part of the table."""
        last = self._last_written.get(partition, -1)
        if first <= last:
            raise LogFault(
                f"partition {partition} of {self._table.changelog_name} goes on at record {first}, but record {last} "
                f"was written before: the topic was made anew or cut. {RESTORE}",
                written=True,
            )
