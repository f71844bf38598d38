"""`exness-streams journal` on the embedded log: what is packed is shown like the rest, beside a running platform."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platform_process import PlatformProcess, run_cli
from ports import free_port

from exness_streams.domain import rules
from exness_streams.domain.packed_frames import is_packed
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.embedded.reader import LogReader

UNREADABLE = (
    b"\xff\x00\x1b[2J no record of ours",
    b"\x01 not packed",
    b'{"type":"AccountCorrected","time_ms":1}',
    None,
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def platform(data_dir: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(data_dir, free_port())
    try:
        yield process
    finally:
        process.end()


def shown(data_dir: Path, *options: str) -> list[dict[str, Any]]:
    found = run_cli("journal", "--data-dir", str(data_dir), *options)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def stored(data_dir: Path) -> list[bytes | None]:
    with LogReader(data_dir / "log").snapshot() as snapshot:
        return [record.value for record in snapshot.records((JOURNAL_TOPIC, 0))]


def test_every_record_is_shown_and_nothing_is_changed(data_dir: Path, platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    request = urllib.request.Request(
        f"{platform.url}/api/v1/account/deposit",
        b'{"amount": 12.5}',
        {"Content-Type": "application/json", "X-Account": "ann"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 201)

    beside = shown(data_dir, "--from", "0", "--count", "1000000")
    assert [each["offset"] for each in beside] == list(range(len(beside)))
    kinds = [each["record"]["type"] for each in beside]
    assert kinds[: rules.NEWEST - 1] == ["RulesChanged"] * (rules.NEWEST - 1)
    assert {"Deposit", "PriceFrame"} <= set(kinds)
    [deposited] = [each["record"] for each in beside if each["record"]["type"] == "Deposit"]
    assert (deposited["account_id"], deposited["amount"]) == ("ann", 12.5)
    assert len(shown(data_dir)) == 20
    assert shown(data_dir, "--from", "2", "--count", "3") == beside[2:5]
    assert platform.terminate() == 0

    values = stored(data_dir)
    for offset, (value, each) in enumerate(zip(values, beside, strict=False)):
        assert value is not None
        assert is_packed(value) == (each["record"]["type"] == "PriceFrame"), offset
    assert shown(data_dir, "--count", "1")[0]["offset"] == len(values) - 1
    assert stored(data_dir) == values


def test_what_can_not_be_read_is_told_in_one_line(data_dir: Path, platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    assert platform.terminate() == 0

    async def append() -> None:
        log = EmbeddedLog.open(data_dir / "log")
        try:
            for value in UNREADABLE:
                await log.append(JOURNAL_TOPIC, 0, None, value)
        finally:
            log.close()

    asyncio.run(append())
    told = shown(data_dir, "--count", str(len(UNREADABLE)))
    assert all(each["unreadable"] and "record" not in each for each in told)
    assert [each["bytes"] is None for each in told] == [False, False, False, True]
    assert "a packed frame is damaged" in told[1]["unreadable"]
    assert told[2]["bytes"] == '{"type":"AccountCorrected","time_ms":1}'
    assert "\x1b" not in run_cli("journal", "--data-dir", str(data_dir)).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "99999999"), "--from 99999999: partition 0 of the journal has records 0 to "),
        (("--partition", "1"), "--partition 1: the highest of the journal's is 0"),
        (("--partition", "-1"), "Invalid value for '--partition'"),
        (("--count", "0"), "Invalid value for '--count'"),
    ],
)
def test_what_is_not_there_is_named(
    data_dir: Path, platform: PlatformProcess, options: tuple[str, ...], words: str
) -> None:
    platform.start()
    platform.wait_tradable()
    found = run_cli("journal", "--data-dir", str(data_dir), *options)
    assert (found.returncode, found.stdout) == (2, "")
    assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_a_journal_whose_beginning_was_trimmed(data_dir: Path, platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    assert platform.terminate() == 0
    values = stored(data_dir)
    trimmed_to = len(values) - 2

    async def trim() -> None:
        log = EmbeddedLog.open(data_dir / "log")
        try:
            await log.trim((JOURNAL_TOPIC, 0), trimmed_to)
        finally:
            log.close()

    asyncio.run(trim())
    assert [each["offset"] for each in shown(data_dir)] == [trimmed_to, trimmed_to + 1]
    found = run_cli("journal", "--data-dir", str(data_dir), "--from", "0")
    assert found.returncode == 2
    assert f"has records {trimmed_to} to {trimmed_to + 1}" in found.stderr
