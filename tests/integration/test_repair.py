"""`exness-streams repair` on the embedded log, as an operator types it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_process import PlatformProcess, run_cli
from ports import free_port

from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.log import EmbeddedLog

GARBAGE = (b"\xff\x00 no record of ours", b"{}", None)
LATER = b'{"type":"AccountCorrected","time_ms":1}'
GIVEN = "--confirm", "--operator", "ann of operations", "--reason", "a disk wrote it, and no backup has it"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def platform(data_dir: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(data_dir, free_port(), EXNESS_PARTITIONS="2")
    try:
        yield process
    finally:
        process.end()


def write(data_dir: Path, *values: bytes | None) -> None:
    """Into each partition of the journal."""

    async def append() -> None:
        log = EmbeddedLog.open(data_dir / "log")
        try:
            for partition in range(2):
                for value in values:
                    await log.append(JOURNAL_TOPIC, partition, None, value)
        finally:
            log.close()

    asyncio.run(append())


def deposit(platform: PlatformProcess, account: str) -> None:
    request = urllib.request.Request(
        f"{platform.url}/api/v1/account/deposit",
        json.dumps({"amount": 5}).encode(),
        {"Content-Type": "application/json", "X-Account": account},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 201)


def balances(platform: PlatformProcess) -> list[float]:
    found = []
    for account in ("ann", "bob", "cid", "dan"):
        request = urllib.request.Request(f"{platform.url}/api/v1/state", headers={"X-Account": account})
        with urllib.request.urlopen(request) as answer:
            found.append(json.loads(answer.read())["account"]["balance"])
    return found


def test_a_journal_with_garbage_goes_on_once_it_is_given_up(data_dir: Path, platform: PlatformProcess) -> None:
    at = "--data-dir", str(data_dir)
    platform.start()
    platform.wait_tradable()
    refused = run_cli("repair", *at, *GIVEN)
    assert refused.returncode == 0, "nothing is to be repaired while all is well"
    assert refused.stdout.splitlines() == [f"cell {one}: every record can be folded" for one in range(2)]
    for account in ("ann", "bob", "cid", "dan"):
        deposit(platform, account)
    before = balances(platform)
    assert platform.terminate() == 0
    write(data_dir, *GARBAGE)

    platform.start()
    assert platform.wait_ended() == 1
    assert "exness-streams repair" in platform.said()
    assert "Traceback" not in platform.said()

    shown = run_cli("repair", *at)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("can't be read") == 2 * len(GARBAGE)
    assert "no record of ours" in shown.stdout
    assert "nothing was written" in shown.stdout
    for wrong in (("--confirm",), (*GIVEN[:3], "--reason", "two\nlines"), (*GIVEN[:3], "--reason", "x" * 501)):
        missing = run_cli("repair", *at, *wrong)
        assert missing.returncode == 2
        assert len(missing.stderr.strip().splitlines()) == 1
    platform.start()
    assert platform.wait_ended() == 1, "a dry run and a refusal write nothing"

    written = run_cli("repair", *at, *GIVEN)
    assert written.returncode == 0, written.stderr
    assert written.stdout.count("are given up") == 2
    platform.start()
    platform.wait_tradable()
    assert balances(platform) == before
    deposit(platform, "ann")
    assert platform.terminate() == 0
    assert "ann of operations gave them up" in platform.said()
    audit = run_cli("audit", *at)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert "ann of operations gave it up" in audit.stderr
    assert run_cli("checkpoint", *at).returncode == 0
    assert run_cli("repair", *at).stdout.count("every record can be folded") == 2


def test_what_a_later_release_may_know_is_given_up_only_when_that_is_said(
    data_dir: Path, platform: PlatformProcess
) -> None:
    at = "--data-dir", str(data_dir)
    platform.start()
    platform.wait_tradable()
    assert platform.terminate() == 0
    write(data_dir, LATER)
    shown = run_cli("repair", *at)
    assert "perhaps a later release knows it" in shown.stdout
    refused = run_cli("repair", *at, *GIVEN)
    assert refused.returncode == 2
    assert "--even-later" in refused.stderr
    platform.start()
    assert platform.wait_ended() == 2, "nobody wrote anything"
    assert run_cli("repair", *at, *GIVEN, "--even-later").returncode == 0
    platform.start()
    platform.wait_tradable()
    assert platform.terminate() == 0
    assert run_cli("audit", *at).returncode == 0


def test_a_running_platform_keeps_its_log_to_itself(data_dir: Path, platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    with pytest.raises(Exception, match="is in use by process"):
        write(data_dir, b"garbage")
