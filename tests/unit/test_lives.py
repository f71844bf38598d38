"""Whether a log goes on from what somebody has read of it, told by the names of its lives."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.transport.embedded import lives
from exness_streams.transport.embedded.lives import Life

PARTITION = 3


def test_records_of_the_life_under_way_are_the_logs() -> None:
    known = [Life(1, "a", {PARTITION: 0})]
    assert lives.continues(known, "a", PARTITION, 10**9)


def test_a_name_that_it_does_not_have_is_another_logs() -> None:
    assert not lives.continues([], "a", PARTITION, 0)
    assert not lives.continues([Life(1, "b", {})], "a", PARTITION, 0)


def test_a_life_ends_where_the_next_begins() -> None:
    known = [Life(1, "a", {}), Life(2, "b", {PARTITION: 7}), Life(3, "c", {PARTITION: 9})]
    assert [lives.continues(known, "a", PARTITION, last) for last in (6, 7)] == [True, False]
    assert [lives.continues(known, "b", PARTITION, last) for last in (8, 9)] == [True, False]


def test_a_partition_that_was_made_later_had_nothing_before() -> None:
    known = [Life(1, "a", {}), Life(2, "b", {})]
    assert lives.continues(known, "a", PARTITION, -1)
    assert not lives.continues(known, "a", PARTITION, 0)


def test_they_are_read_as_they_were_written() -> None:
    with sqlite3.connect(":memory:") as db:
        db.text_factory = bytes
        db.execute(lives.SCHEMA)
        written: list[Life] = []
        for end in range(5):
            written.append(lives.next_life(written, {1: end, 2: 0}))
            db.execute(lives.INSERT, lives.row_of(written[-1]))
        assert lives.load(db) == written
        db.execute(lives.FORGET, (3,))
        assert lives.load(db) == written[3:]
    db.close()


class Copy:
    """A log of one partition: what its records are, and its lives."""

    def __init__(self, records: list[int], known: list[Life]) -> None:
        self.records = list(records)
        self.lives = list(known)

    def run(self, values: list[int]) -> None:
        self.lives.append(lives.next_life(self.lives, {PARTITION: len(self.records)}))
        self.records += values


values = st.lists(st.integers(0, 10**6), max_size=3)


@given(st.lists(st.tuples(st.integers(0, 5), values), max_size=8), st.data())
def test_whoever_fits_has_the_logs_own_records(runs: list[tuple[int, list[int]]], data: st.DataObject) -> None:
    """Copies are made, run and copied again; a reader that fits a copy has read what that copy has."""
    copies = [Copy([], [])]
    readers: list[tuple[str, list[int]]] = []
    for which, written in runs:
        source = copies[which % len(copies)]
        copy = Copy(source.records, source.lives)
        copy.run(written)
        copies.append(copy)
        read = data.draw(st.integers(0, len(copy.records)))
        begun = copy.lives[-1].ends[PARTITION]
        if read >= begun:  # a start reads all that was there
            readers.append((copy.lives[-1].name, copy.records[:read]))
    for copy in copies:
        for name, seen in readers:
            if seen and lives.continues(copy.lives, name, PARTITION, len(seen) - 1):
                assert copy.records[: len(seen)] == seen
