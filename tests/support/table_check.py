"""Whether the workers' own tables, standbys included, hold what the changelog says up to their offset."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import rocksdict
from broker import Broker
from cluster import PARTITIONS, read_topic

CHANGELOG = "exness-streams-accounts-changelog"
OFFSET_KEY = b"__faust\0offset__"


async def check_tables(broker: Broker, workers: Path) -> int:
    """Compare the tables of workers that have ended. AssertionError; returns the number of entries compared."""
    changelog: dict[int, list[Any]] = defaultdict(list)
    for record in await read_topic(broker, CHANGELOG):
        changelog[record.partition].append(record)
    return sum(
        _check_table(path, changelog[number]) for number in range(PARTITIONS) for path in _tables(workers, number)
    )


def _tables(workers: Path, partition: int) -> list[Path]:
    return sorted(workers.glob(f"engine*/v*/tables/accounts-{partition}.db"))


def _check_table(path: Path, changelog: list[Any]) -> int:
    database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    try:
        offset = database.get(OFFSET_KEY)
        newest = {record.key: record for record in changelog if offset is not None and record.offset <= int(offset)}
        wrong = [record.offset for record in newest.values() if database.get(record.key) != record.value]
    finally:
        database.close()
    assert not wrong, f"{path}, at {offset}, lacks {len(wrong)} of {len(newest)} entries, the first is {min(wrong)}"
    return len(newest)
