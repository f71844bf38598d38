"""Reading a log's file from beside: for the audit and the checkpoints, in any thread or process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from exness_streams.transport.embedded import lives, sqlite_file
from exness_streams.transport.embedded.sqlite_file import TP, PartitionRow, Record
from exness_streams.transport.faults import DATA_DIR_VARIABLE, LogFault

BLOCK_RECORDS_MAX = 2_048


class Snapshot:
    """The log as it was at one moment: all answers agree. For one thread, until its `with` block ends."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._partitions: dict[TP, PartitionRow] = {
            (row.topic.name, row.number): row for row in sqlite_file.load_partitions(db)
        }
        self._commits = sqlite_file.load_commits(db)
        self._lives = lives.load(db)
        self._purged = lives.load_purged(db)

    def topics(self) -> dict[str, int]:
        """Topic name -> number of partitions."""
        counts: dict[str, int] = {}
        for topic, _ in self._partitions:
            counts[topic] = counts.get(topic, 0) + 1
        return counts

    def start(self, tp: TP) -> int:
        """The first offset kept. KeyError: there is no such partition."""
        return self._partitions[tp].start

    def end(self, tp: TP) -> int:
        """The next offset to be written. KeyError: there is no such partition."""
        return self._partitions[tp].end

    def committed(self, group: str, tp: TP) -> int | None:
        """The next offset that `group` will read; None when it committed nothing."""
        return self._commits.get((group, self._partitions[tp].id))

    def continues(self, tp: TP, life: bytes | None, last: int) -> bool:
        """As the log's."""
        number = self._partitions[tp].id
        if last < self._purged.get(number, -1):
            return False
        return life is None or lives.continues(self._lives, life.decode(errors="replace"), number, last)

    def records(self, tp: TP, from_offset: int = 0) -> Iterator[Record]:
        """Records from `from_offset`, or from the start when that is later, in order of offset."""
        row = self._partitions[tp]
        table = sqlite_file.table_of(row.topic.compact)
        offset = max(from_offset, row.start)
        while block := sqlite_file.read_block(self._db, table, row.id, offset, row.end, BLOCK_RECORDS_MAX):
            yield from block
            offset = block[-1].offset + 1


class LogReader:
    """Read-only access to the log in `directory`, also while another process writes it.

    Methods raise LogFault: no log there, a newer version's, or a damaged one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (directory / sqlite_file.FILE_NAME).exists():
            raise LogFault(
                f"there is no log in {directory}: run the program once, or name its directory in {DATA_DIR_VARIABLE}; "
                "the log of a cluster is looked at with --kafka"
            )

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One read transaction. Meanwhile the log's WAL file only grows, so do not keep it for hours."""
        try:
            with closing(sqlite_file.connect(self._directory)) as db:
                db.execute("PRAGMA query_only = 1")
                sqlite_file.check_format(db, self._directory)
                db.execute("BEGIN")
                yield Snapshot(db)
        except sqlite3.Error as error:
            raise sqlite_file.fault_of(error, self._directory) from error
