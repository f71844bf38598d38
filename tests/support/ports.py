"""TCP ports for servers of tests: each is given to one test only, whoever else tests on this machine."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

FIRST, END = 10_000, 32_000
"""Below those that the system gives to outgoing connections."""

_given: set[int] = set()


@cache
def _reservations() -> IO[bytes]:
    """A file whose byte n is locked while somebody has port n. Opened once: a second close would end all locks."""
    return (Path(tempfile.gettempdir()) / f"exness-streams-test-ports-{os.getuid()}").open("ab")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on. It stays this process's until that ends, also between two servers."""
    begin = os.getpid() * 97 % (END - FIRST)
    for port in (FIRST + (begin + n) % (END - FIRST) for n in range(END - FIRST)):
        if port not in _given and _is_ours(port) and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError("no free port")


def free_ports(count: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(count)]


def _is_ours(port: int) -> bool:
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
