"""The lives of a log: from one process that writes its compacted topics to the next, each with a name of its own.

A copy of the log has the lives up to its making, and then others. So whoever has read the log up to a record, in a life
whose name it kept, can tell whether this log goes on from there, as followers on Kafka do by a leader's epoch.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping
from typing import NamedTuple

LIVES_KEPT = 100
"""A holder of an older one is told that it does not fit, and reads everything again."""

SCHEMA = "CREATE TABLE IF NOT EXISTS lives (number INTEGER PRIMARY KEY, name TEXT NOT NULL, ends TEXT NOT NULL)"
INSERT = "INSERT INTO lives VALUES (?, ?, ?)"
SCHEMA_PURGED = "CREATE TABLE IF NOT EXISTS purged (tp INTEGER PRIMARY KEY, offset INTEGER NOT NULL)"
PURGE = "INSERT INTO purged VALUES (?, ?) ON CONFLICT (tp) DO UPDATE SET offset = max(offset, excluded.offset)"
FORGET = "DELETE FROM lives WHERE number <= ?"


class Life(NamedTuple):
    """ends: of each compacted partition, by its id, as the life began; one that is missing was made later."""

    number: int
    name: str
    ends: Mapping[int, int]


def load(db: sqlite3.Connection) -> list[Life]:
    """All that are known, the newest last; none in a log that only version 0.1.0 has opened."""
    if not _has(db, "lives"):
        return []
    rows = db.execute("SELECT number, name, ends FROM lives ORDER BY number")
    return [
        Life(number, name.decode(), {int(tp): end for tp, end in json.loads(ends).items()})
        for number, name, ends in rows
    ]


def load_purged(db: sqlite3.Connection) -> dict[int, int]:
    """Partition id -> offset of the newest tombstone that is gone: a reader from before it never hears of removals."""
    return dict(db.execute("SELECT tp, offset FROM purged")) if _has(db, "purged") else {}


def _has(db: sqlite3.Connection, table: str) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0])


def next_life(lives: list[Life], ends: Mapping[int, int]) -> Life:
    """One more, which begins now."""
    return Life(lives[-1].number + 1 if lives else 1, uuid.uuid4().hex, ends)


def row_of(life: Life) -> tuple[int, str, str]:
    """As it is stored."""
    return life.number, life.name, json.dumps({str(tp): end for tp, end in life.ends.items()})


def continues(lives: list[Life], name: str, tp: int, last: int) -> bool:
    """Whether a partition's records up to `last`, as they were in the life of that name, are those of these lives."""
    for index, life in enumerate(lives):
        if life.name == name:
            following = lives[index + 1 :]
            return not following or last < following[0].ends.get(tp, 0)
    return False
