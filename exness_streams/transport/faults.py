"""What can go wrong with a log, in words for the operator."""

from __future__ import annotations

DATA_DIR_VARIABLE = "EXNESS_DATA_DIR"
"""The environment variable that chooses the log's directory; named in messages."""


class LogFault(Exception):
    """A log refused or failed. `str()` is one line: what happened and what to do about it.

    written: False when the records of the failed call are certainly not in the log, None when it is unknown.
    """

    def __init__(self, message: str, *, written: bool | None = False) -> None:
        super().__init__(message)
        self.written = written

    def for_waiter(self, written: bool | None) -> LogFault:
        """The same fault for another waiter: every raise needs its own instance, for its own traceback."""
        return type(self)(str(self), written=written)


class Misconfigured(LogFault):
    """What was set does not fit what is there: each start ends in the same way, until somebody changes one of them."""


class LogLocked(LogFault):
    """Another process holds the log's directory."""


class LogFull(LogFault):
    """The disk holding the log is full."""


class LogDamaged(LogFault):
    """The log's file is not what was written to it."""


class LogMoved(LogFault):
    """The log's files are not those that were opened: removed, renamed, replaced or cut while it ran."""


class LogClosed(LogFault):
    """The log was closed before the call."""


class CellReleased(LogClosed):
    """This process has given the cell up; whoever folds it next begins where the last commit ended."""


class LogFenced(LogFault):
    """Another process has taken over what this one was writing."""


class TableFault(LogFault):
    """The local files of a table can't be used. What was acknowledged is in the log."""


class TableDamaged(TableFault):
    """They are not what was written to them."""


def first_line(error: BaseException) -> str:
    """What an error of another package says, without what follows its first line; its kind when it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
