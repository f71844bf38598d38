"""docs/operations.md, Backup and restore: its commands, as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platform_process import PlatformProcess, environment, run_cli
from ports import free_port

from exness_streams.identity.secret_keys import FILE

DOCUMENT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


needs_sqlite = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="SQLite's own command is not here")


def commands(heading: str) -> str:
    """The commands below a heading."""
    found = re.search(rf"### {re.escape(heading)}\n(.*?)(?=\n##)", DOCUMENT, re.DOTALL)
    assert found, f"no heading {heading}"
    blocks = re.findall(r"```sh\n(.*?)```", found.group(1), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the commands are given; `exness-streams` is found."""
    command = tmp_path / "bin" / "exness-streams"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from exness_streams.cli import main; main()" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def give(place: Path, heading: str) -> str:
    """Give the commands below a heading; what they said."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["sh", "-eux", "-c", commands(heading)],
        cwd=place, env=environment(PATH=path), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def platform(place: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(place / "data", free_port())
    try:
        process.start()
        process.wait_tradable()
        yield process
    finally:
        process.end()


def ask(platform: PlatformProcess, path: str, body: Any = None, key: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(platform.url + path, data, headers), timeout=30) as answer:
        return json.load(answer)


def deposit(platform: PlatformProcess, amount: int) -> None:
    ask(platform, "/api/v1/account/deposit", {"amount": amount}, f"deposit-{amount}")


def deposited(platform: PlatformProcess) -> tuple[float, int]:
    state = ask(platform, "/api/v1/state")
    return state["account"]["balance"], state["sequence"]


def start(platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()


def check_clean(place: Path) -> None:
    audited = run_cli("audit", "--data-dir", str(place / "data"))
    assert audited.returncode == 0, audited.stdout + audited.stderr


@needs_sqlite
def test_made_while_it_runs_and_restored_in_the_place_of_a_newer_log(place: Path, platform: PlatformProcess) -> None:
    deposit(platform, 1)
    before = deposited(platform)
    assert "money is conserved" in give(place, "While it runs")
    deposit(platform, 2)
    assert deposited(platform) != before
    assert platform.terminate() == 0  # so the table has what the backup lacks
    give(place, "Restoring, in the place of a newer log")
    told = run_cli("audit", "--data-dir", str(place / "data"))
    assert told.returncode == 1
    assert "the next start puts it aside and rebuilds it from the log" in told.stderr
    start(platform)
    assert deposited(platform) == before
    deposit(platform, 1)
    assert deposited(platform) == before, "it was answered before the backup"
    deposit(platform, 2)
    assert platform.terminate() == 0
    assert platform.said().count("and rebuilt from the log") >= 1
    assert "Traceback" not in platform.said()
    check_clean(place)


def test_made_while_it_is_stopped_and_restored_onto_an_empty_directory(place: Path, platform: PlatformProcess) -> None:
    deposit(platform, 1)
    before = deposited(platform)
    assert platform.terminate() == 0
    give(place, "While it is stopped")
    (place / "data").rename(place / "elsewhere")
    give(place, "Restoring, onto an empty directory")
    start(platform)
    assert deposited(platform) == before
    assert platform.terminate() == 0
    assert "put-aside" not in platform.said()
    check_clean(place)


@needs_sqlite
def test_made_while_it_runs_and_restored_onto_an_empty_directory(place: Path, platform: PlatformProcess) -> None:
    deposit(platform, 1)
    before, secrets = deposited(platform), (place / "data" / FILE).read_text()
    give(place, "While it runs")
    platform.kill()
    (place / "data").rename(place / "elsewhere")
    give(place, "Restoring, onto an empty directory")
    start(platform)
    assert deposited(platform) == before
    assert (place / "data" / FILE).read_text() == secrets, "with others, who signs in has another account"
    assert platform.terminate() == 0
    check_clean(place)
