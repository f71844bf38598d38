"""A test session that is killed leaves nothing behind, and one that hangs names its test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from platform_harness import until
from session_guard import MARK, marked

ROOT = Path(__file__).parents[2]
HANGING = ROOT / "tests" / "support" / "session_that_hangs.py"
STARTED_BY_EACH = 5
"""Four children, and a child of one of them."""


@contextmanager
def session(tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """pytest on the tests that hang."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(HANGING)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"HANGING_IN": str(tmp_path), "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(tmp_path: Path, of: int | None = None) -> set[int]:
    """What runs now of the children that tests (of one worker) have started, and of their children."""
    started = {int(path.read_text()) for path in tmp_path.glob(f"{of or '*'}-*.pid")}
    of_them = {pid for mark in {mark_of(pid) for pid in started} if mark for pid in marked(mark)}
    return {pid for pid in started | of_them if is_running(pid)}


def mark_of(pid: int) -> str | None:
    shown = subprocess.run(["ps", "eww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    found = re.search(rf"\b{MARK}=(\w+)", shown.stdout)
    return found[1] if found else None


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie, which nobody but its parent can end."""
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_session_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    with session(tmp_path, "-n", "0") as process:
        until(lambda: len(children(tmp_path)) == STARTED_BY_EACH)
        process.kill()
        until(lambda: not children(tmp_path))


def test_neither_does_a_worker_that_is_killed_nor_a_session_with_workers(tmp_path: Path) -> None:
    with session(tmp_path, "-n", "2", "--dist", "each") as process:
        until(lambda: len(children(tmp_path)) == 2 * STARTED_BY_EACH)
        worker, other = {int(path.name.split("-")[0]) for path in tmp_path.glob("*.pid")}
        os.kill(worker, signal.SIGKILL)
        until(lambda: not children(tmp_path, worker))
        assert len(children(tmp_path, other)) == STARTED_BY_EACH, "the others go on"
        process.kill()
        until(lambda: not children(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_so_does_one_that_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    with session(tmp_path, "-n", "0") as process:
        until(lambda: len(children(tmp_path)) == STARTED_BY_EACH)
        process.send_signal(number)
        until(lambda: not children(tmp_path))


def test_a_hang_fails_with_the_name_of_its_test(tmp_path: Path) -> None:
    # The test's own time alone: a busy machine may need as long to get there.
    limit = ("--timeout", "5", "-o", "timeout_func_only=true")
    with session(tmp_path, "-n", "0", "-k", "test_hangs[1]", *limit) as process:
        said, _ = process.communicate(timeout=120)
    assert re.search(r"FAILED \S*session_that_hangs\.py::test_hangs\[1\] - Failed: Timeout", said)
    assert "ended with its test session" in said, "what a test forgot is named, too"
    assert not children(tmp_path)
