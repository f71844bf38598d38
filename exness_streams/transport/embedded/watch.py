"""Whether the log's files are still those that were opened, at the path they were opened by, and whole.

A process may go on writing into files that were removed, renamed or replaced, and SQLite does not tell: every commit
succeeds, and the next start finds nothing of it. So the writer looks after each commit and before anybody is told.
Files are only looked at by their paths: to open and close one of SQLite's would drop SQLite's own locks on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exness_streams.transport.embedded import sqlite_file
from exness_streams.transport.faults import LogMoved


class LogWatch:
    """The files of one open log. For the writer's thread, but for `copying`.

    directory: the path as it was named, so that a link that leads elsewhere now is noticed, too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._db, self._wal, self._shm = (directory / (sqlite_file.FILE_NAME + end) for end in ("", "-wal", "-shm"))
        self._lock = threading.Lock()
        self._copying = False
        self._identities = {path: _identity(path.stat()) for path in (self._db, self._wal, self._shm)}
        self._directory_identity = _identity(directory.stat())
        self._remember()

    def before_commit(self) -> None:
        """LogMoved when the WAL has lost what earlier commits wrote: SQLite would write on behind the hole."""
        if self._stat(self._wal).st_size < self._wal_bytes:
            raise self._moved(self._wal, "was cut")

    def after_commit(self) -> None:
        """LogMoved when what was just committed will not be found at the log's path."""
        self._wal_bytes = self._stat(self._wal).st_size
        self._look_at_db()

    def look(self) -> None:
        """All of it, for an idle log: the files that no commit touches, too, and whether they may be written."""
        self.before_commit()
        self._look_at_db()
        self._stat(self._shm)
        try:
            found = self._directory.stat()
        except OSError as error:
            raise self._moved(self._directory, _in_words(error)) from error
        if _identity(found) != self._directory_identity:
            raise self._moved(self._directory, "was replaced by another")
        if not os.access(self._directory, os.W_OK):
            raise self._moved(self._directory, "may no longer be written to")

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Around a checkpoint of the WAL, in any thread: meanwhile the database file changes by our own doing."""
        with self._lock:
            self._copying = True
        try:
            yield
        finally:
            with self._lock:
                self._remember_db()
                self._copying = False

    def restarted(self) -> None:
        """A checkpoint in the writer's thread may have shortened the WAL."""
        self._wal_bytes = self._stat(self._wal).st_size

    def _remember(self) -> None:
        self._wal_bytes = self._wal.stat().st_size
        self._remember_db()

    def _remember_db(self) -> None:
        # What is missing is told by the next look.
        try:
            found = self._db.stat()
        except OSError:
            return
        self._db_bytes, self._db_changed_ns = found.st_size, found.st_mtime_ns

    def _look_at_db(self) -> None:
        with self._lock:
            found = self._stat(self._db)
            if found.st_size < self._db_bytes:
                raise self._moved(self._db, "was cut")
            if found.st_mtime_ns != self._db_changed_ns and not self._copying:
                raise self._moved(self._db, "was written to by another program")

    def _stat(self, path: Path) -> os.stat_result:
        try:
            found = path.stat()
        except OSError as error:
            raise self._moved(path, _in_words(error)) from error
        if _identity(found) != self._identities[path]:
            raise self._moved(path, "was replaced by another")
        return found

    def _moved(self, path: Path, what: str) -> LogMoved:
        what_of = f"{path.name} {what}" if path != self._directory else f"the directory {what}"
        return LogMoved(
            f"the log in {self._directory} was changed from outside while it ran ({what_of}): nothing more is "
            "acknowledged; put the directory back, or restore a backup of it, and start again"
        )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _in_words(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "is gone"
    return f"can't be reached: {(error.strerror or str(error)).lower()}"
