"""Data directories that earlier releases left behind: they open, audit clean, and keep every promise that was made.

`tests/golden/make_directories.py` made them with the code of their release, or of the day in their name.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platform_process import PlatformProcess, run_cli
from ports import free_port

from exness_streams.domain import rules

GOLDEN = Path(__file__).parents[1] / "golden"
ARCHIVES = sorted(GOLDEN.glob("*/*.tar.xz"))
SETTINGS = {"EXNESS_FEE_RATE": "0.0005", "EXNESS_SPREAD_RATE": "0.0002", "EXNESS_JOURNAL_RETENTION_HOURS": "0"}
RAISED_S_MAX = 120.0
POLL_S = 0.2
MOVES_WITH_THE_MARKET = {"markPrice", "unrealizedPnL"}


@pytest.fixture(params=ARCHIVES, ids=[f"{each.parent.name}-{each.name.split('.')[0]}" for each in ARCHIVES])
def archive(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def data_dir(archive: Path, tmp_path: Path) -> Path:
    subprocess.run(["tar", "-C", str(tmp_path), "-xJf", str(archive)], check=True)
    return tmp_path / archive.name.split(".")[0]


@pytest.fixture
def platform(data_dir: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(data_dir, free_port(), **SETTINGS)
    try:
        yield process
    finally:
        process.end()


def test_there_are_golden_directories() -> None:
    made = {(each.parent.name, each.name) for each in ARCHIVES}
    releases = {"0.1.0", "0.1.0-2026-11-28", "0.1.0-2026-11-29", "0.1.0-2026-11-30"}
    assert made == {(release, name) for release in releases for name in ("clean.tar.xz", "killed.tar.xz")}


def test_it_audits_clean_as_it_lies_there(data_dir: Path) -> None:
    check_audit(data_dir)


def test_it_opens_goes_on_and_answers_again_what_it_had_told(
    archive: Path, data_dir: Path, platform: PlatformProcess
) -> None:
    told = [json.loads(line) for line in archive.with_name(f"{data_dir.name}.json").read_text().splitlines()]
    platform.start()
    platform.wait_tradable()
    for each in told:
        status, reply, replayed = send(platform.url, each)
        if replayed:
            assert (status, lasting(reply)) == (each["status"], lasting(each["reply"])), each
        else:
            # Only what was decided without a record may be decided anew.
            assert each["status"] in (400, 503), f"{each} was forgotten: now {status} {reply}"
            each |= {"status": status, "reply": reply}
    wait_for_rules(data_dir)
    for each in told:  # what was told before the change of rules is told after it
        status, reply, replayed = send(platform.url, each)
        if replayed:
            assert (status, lasting(reply)) == (each["status"], lasting(each["reply"])), each
    order = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2}
    fresh = {"account": "newcomer", "path": "/api/v1/positions/open", "key": "after-the-upgrade", "body": order}
    assert send(platform.url, fresh)[0] == 201, send(platform.url, fresh)
    assert platform.terminate() == 0
    check_audit(data_dir)
    assert "Traceback" not in platform.said(), platform.said()


def wait_for_rules(data_dir: Path) -> None:
    """Until a start has raised the journal's rules to the newest."""
    give_up_at_s = time.monotonic() + RAISED_S_MAX
    while True:
        shown = run_cli("upgrade", "--data-dir", str(data_dir))
        assert shown.returncode == 0, shown.stdout + shown.stderr
        if f"these are the newest that this release knows ({rules.NEWEST})" in shown.stdout:
            return
        assert time.monotonic() < give_up_at_s, shown.stdout
        time.sleep(POLL_S)


def send(url: str, request: dict[str, Any]) -> tuple[int, Any, bool]:
    """Status, JSON, and whether it is the outcome of an earlier request."""
    headers = {"X-Account": request["account"], "Content-Type": "application/json", "Idempotency-Key": request["key"]}
    asked = urllib.request.Request(url + request["path"], data=json.dumps(request["body"]).encode(), headers=headers)
    try:
        answer = urllib.request.urlopen(asked, timeout=10)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        return answer.status, json.load(answer), answer.headers.get("Idempotent-Replayed") == "true"


def lasting(reply: Any) -> Any:
    """A reply without what moves with the market, and without its words."""
    if isinstance(reply, dict):
        left_out = MOVES_WITH_THE_MARKET | {"message"}
        return {name: lasting(value) for name, value in reply.items() if name not in left_out}
    return [lasting(value) for value in reply] if isinstance(reply, list) else reply


def check_audit(data_dir: Path) -> None:
    audited = run_cli("audit", "--data-dir", str(data_dir))
    assert audited.returncode == 0, audited.stdout + audited.stderr
