"""Nothing that tests started outlives the test session, however it ends: also by SIGKILL.

A guardian, a process of its own, waits for the session's pipe to close, and then ends whatever carries the session's
mark in its environment. Children inherit the mark, so it does not matter who started them, how, or in which thread.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

MARK = "TEST_SESSION_MARK"
SCAN_PAUSE_S = 0.1
SCANS_EMPTY = 3
"""So many in a row, since what has been forked shows its mark only once it runs its own program."""

SCAN_S_MAX = 30.0


class SessionGuard:
    """Guards this process from now on."""

    def __init__(self) -> None:
        mark = uuid.uuid4().hex
        bare = {name: value for name, value in os.environ.items() if name != MARK}
        # A session of its own: neither Ctrl-C nor a signal to pytest's process group ends it.
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, mark], stdin=subprocess.PIPE, env=bare, start_new_session=True
        )
        os.environ[MARK] = mark

    def close(self) -> None:
        """The session is over: what its tests forgot is ended, and named."""
        self._guardian.communicate()


def guard(mark: str) -> None:
    """The guardian's life."""
    while sys.stdin.buffer.read(4096):
        pass
    give_up_at_s = time.monotonic() + SCAN_S_MAX
    empty = 0
    while empty < SCANS_EMPTY and time.monotonic() < give_up_at_s:
        found = marked(mark)
        for pid, command in found.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                with suppress(OSError):  # nobody may be reading any more
                    print(f"ended with its test session: {pid} {command[:160]}", file=sys.stderr, flush=True)
        empty = 0 if found else empty + 1
        time.sleep(SCAN_PAUSE_S)


def marked(mark: str) -> dict[int, str]:
    """Processes that carry the mark: their commands by process id."""
    sign = f"{MARK}={mark}"
    if Path("/proc/self/environ").exists():
        return _marked_in_proc(sign.encode())
    # macOS has no /proc; there -E shows the environment, after the command.
    listed = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=False).stdout
    lines = [line.split(maxsplit=1) for line in listed.splitlines() if sign in line]
    return {int(pid): command for pid, command in lines}


def _marked_in_proc(sign: bytes) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if sign in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode(errors="replace").strip()
    return found


if __name__ == "__main__":
    guard(sys.argv[1])
