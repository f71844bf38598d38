"""The commit protocol (DESIGN.md), for whatever folds a topic into a table: first the log, then RocksDB."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from exness_streams.engine.losses import RESTORE
from exness_streams.engine.observer import Observer
from exness_streams.transport.cell_log import CellLog, LogRecord
from exness_streams.transport.faults import LogFault
from exness_streams.transport.table import CellTable


class TableCommits:
    """Commits changed entries of a table, other records, and the input's offset. One at a time for a partition."""

    def __init__(self, table: CellTable, cell_log: CellLog) -> None:
        self._table = table
        self._cell_log = cell_log
        self._last_written: dict[int, int] = {}

    async def commit(
        self,
        partition: int,
        entries: Mapping[bytes, bytes | None],
        records: Sequence[LogRecord],
        next_offset: int,
        observer: Observer,
    ) -> None:
        """One transaction: each entry to the table's changelog, the records, the input's next offset. Then the table.

        The entries are in the table when this returns. LogFault: nothing was written, or it is unknown.
        """
        changes = [LogRecord(self._table.changelog_name, key, value) for key, value in entries.items()]
        written = [*changes, *records]
        begun_s = time.monotonic()
        offsets = await self._cell_log.commit(partition, written, next_offset)
        observer.transaction(len(written), time.monotonic() - begun_s)
        if changes:
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
