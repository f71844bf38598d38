"""Tests that never end, with children of every sort: test_session_guard runs them in a session that it kills.

Not collected with the others (its name is no test's); run by its path, with the directory to write to in HANGING_IN.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

SLEEP = "import time; time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"


def start(name: str, code: str = SLEEP, *, new_session: bool = False) -> None:
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=new_session)
    note = Path(os.environ["HANGING_IN"]) / f"{os.getpid()}-{name}"
    note.write_text(str(process.pid))
    note.rename(note.with_suffix(".pid"))


@pytest.mark.parametrize("number", [1, 2])
def test_hangs(number: int) -> None:
    start(f"plain-{number}")
    start(f"like-a-broker-{number}", new_session=True)
    start(f"with-a-child-{number}", PARENT)
    threading.Thread(target=start, args=(f"of-a-thread-{number}",)).start()
    while True:  # until it is killed, or its time is over
        time.sleep(0.1)
