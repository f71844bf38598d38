"""One process for a directory: held by the kernel, so kill -9 gives it back."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from exness_streams.transport.embedded import sqlite_file
from exness_streams.transport.faults import DATA_DIR_VARIABLE, LogLocked

LOCK_NAME = "lock"


class DirectoryLock:
    """Held from its making, which makes the directory, too, until `release`.

    The file in it names the holder. The directory itself is locked as well: else whoever removed the file would let
    a second process in. Raises LogLocked when another process has it, LogFault when it can't be made.
    """

    def __init__(self, directory: Path) -> None:
        self._held: list[int] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = self._open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT)
            if not _locked(file):
                holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
                raise _in_use(directory, f"process {holder}")
            if not self._lock_directory(directory):
                raise _in_use(directory, f"another process (its file {LOCK_NAME} was removed)")
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
        except OSError as error:
            self.release()
            raise sqlite_file.fault_of(error, directory) from error
        except LogLocked:
            self.release()
            raise

    def release(self) -> None:
        """Let others in."""
        while self._held:
            os.close(self._held.pop())

    def _open(self, path: Path, flags: int) -> int:
        opened = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._held.append(opened)
        return opened

    def _lock_directory(self, directory: Path) -> bool:
        opened = self._open(directory, os.O_RDONLY)
        try:
            return _locked(opened)
        except OSError:
            return True  # this file system locks files alone


def _locked(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(directory: Path, by: str) -> LogLocked:
    return LogLocked(
        f"the log in {directory} is in use by {by}: stop that process, or choose another directory through "
        f"{DATA_DIR_VARIABLE}"
    )
