"""The rules of an embedded log's journal: a new one begins with the newest, and `upgrade` says which are in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_process import PlatformProcess, run_cli
from ports import free_port

from exness_streams.domain import rules
from exness_streams.domain.codec import RulesChanged, decode_record
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader

PARTITIONS = 3


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def platform(data_dir: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(data_dir, free_port(), EXNESS_PARTITIONS=str(PARTITIONS))
    try:
        yield process
    finally:
        process.end()


def first_records(data_dir: Path, partition: int, count: int) -> list[object]:
    with LogReader(data_dir / "log").snapshot() as snapshot:
        records = [record.value for record in snapshot.records((JOURNAL_TOPIC, partition), 0) if record.offset < count]
    return [decode_record(value) for value in records if value is not None]


def test_a_new_journal_begins_with_the_newest_rules(data_dir: Path, platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    assert platform.terminate() == 0
    changes = rules.NEWEST - rules.FIRST
    for partition in range(PARTITIONS):
        first = first_records(data_dir, partition, changes)
        assert [record.rules for record in first if isinstance(record, RulesChanged)] == list(
            range(rules.FIRST + 1, rules.NEWEST + 1)
        )
    platform.start()  # and is begun once
    platform.wait_tradable()
    assert platform.terminate() == 0
    for partition in range(PARTITIONS):
        assert not isinstance(first_records(data_dir, partition, changes + 1)[-1], RulesChanged)
    shown = run_cli("upgrade", "--data-dir", str(data_dir))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        *(f"cell {partition}: rules {rules.NEWEST}" for partition in range(PARTITIONS)),
        f"these are the newest that this release knows ({rules.NEWEST})",
    ]
    assert run_cli("audit", "--data-dir", str(data_dir)).returncode == 0


def test_rules_that_nobody_knows_are_refused_in_one_line(data_dir: Path) -> None:
    refused = run_cli("upgrade", "--data-dir", str(data_dir), "--to", str(rules.NEWEST + 1))
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert "Traceback" not in refused.stderr
