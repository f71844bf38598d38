"""How many files and connections this process may have open."""

from __future__ import annotations

import logging
import resource
from contextlib import suppress

log = logging.getLogger(__name__)

FILES_MAX = 65_536
"""More are not asked for: some systems set no limit at all."""

CONNECTIONS_MAX = 10_000
OWN_FILES_MIN = 96
"""What a worker opens for itself: the log, tables, brokers, other workers (some 50 with one cell)."""

OWN_SHARE = 4
"""And this part of the limit, for tables grow files, and streams of accounts elsewhere need a second connection."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_MAX if soft == resource.RLIM_INFINITY else soft
    with suppress(OSError, ValueError):  # macOS takes less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def connections_for(files: int, wished: int | None = None) -> int:
    """How many connections leave room for what else a process of so many files opens. wished: a setting."""
    own = max(OWN_FILES_MIN, files // OWN_SHARE)
    room = max(files - own, files // OWN_SHARE, 1)
    if wished is None:
        return min(room, CONNECTIONS_MAX)
    if wished > room:
        log.warning(
            "EXNESS_MAX_CONNECTIONS is %d, but this process may open only %d files, and needs some itself: %d "
            "connections at most (raise the limit with ulimit -n)", wished, files, room
        )  # fmt: skip
    return min(wished, room)
