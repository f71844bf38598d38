"""The files of a table that can't be used: put aside beside their log, refused in one line on Kafka."""

from __future__ import annotations

import gc
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP
from table_damage import UNOPENABLE, block_garbled, contents

from exness_streams.transport.faults import LogFault, TableDamaged, TableFault
from exness_streams.transport.recovery import LogBehindTable, Recovery
from exness_streams.transport.table import CellTable
from exness_streams.transport.table_store import SEEN_KEY

ROWS = 2_000
LIFE = b"first"
AT = ROWS - 1


class FakeLineage:
    """A log that goes on from one life alone, up to its end."""

    def __init__(self, life: bytes = LIFE, known: bytes = LIFE, end: int = ROWS, purged: int = -1) -> None:
        self.life = life
        self.known = known
        self.end = end
        self.purged = purged

    def continues(self, tp: tuple[str, int], life: bytes | None, last: int) -> bool:
        return last >= self.purged and (life is None or (life == self.known and last < self.end))


def table_in(directory: Path, lineage: FakeLineage | None) -> CellTable:
    app: Any = faust.App("exness-test", store="rocksdb://", datadir=str(directory), Table=CellTable)
    table: CellTable = app.Table("accounts", partitions=1, key_type=bytes, value_type=bytes)
    table.lineage = lineage
    return table


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of some blocks; its files alone."""
    directory = tmp_path_factory.mktemp("written")
    table = table_in(directory, FakeLineage())
    table.take_doubts(0, None, 0)
    table.write(0, {b"row/%06d" % number: b"%064d" % number for number in range(ROWS)}, AT)
    path: Path = table.data.partition_path(0)
    table.data._dbs[0].flush()
    table.data.close_partition(0)
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, where a table of a data directory lies."""
    table = table_in(tmp_path, None)
    path: Path = table.data.partition_path(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(written, path)
    yield path
    gc.collect()


def persisted(table: CellTable) -> int | None:
    found: int | None = table.data.persisted_offset(TP("changelog", 0))
    return found


def kept_beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.put-aside-*"))


def test_a_whole_one_is_opened(path: Path, tmp_path: Path) -> None:
    table = table_in(tmp_path, FakeLineage())
    assert persisted(table) == AT
    assert table.count(0, b"row/") == ROWS
    assert kept_beside(path) == []


@pytest.mark.parametrize("damage", UNOPENABLE.values(), ids=UNOPENABLE)
def test_beside_its_log_it_is_kept_and_begun_anew(
    damage: Callable[[Path], None], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(path)
    before = list(contents(path))
    table = table_in(tmp_path, FakeLineage())
    assert persisted(table) is None
    assert table.count(0, b"") == 0
    (kept,) = kept_beside(path)
    assert [data for _, data in contents(kept)] == [data for _, data in before]
    (said,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    words = said.getMessage()
    assert "\n" not in words
    assert str(path) in words
    assert f"is kept as {kept.name}, and rebuilt from the log" in words
    table.write(0, {b"row/1": b"1"}, 0)
    assert persisted(table) == 0


@pytest.mark.parametrize("damage", UNOPENABLE.values(), ids=UNOPENABLE)
def test_on_kafka_it_is_refused_and_stays(damage: Callable[[Path], None], path: Path, tmp_path: Path) -> None:
    damage(path)
    if "CURRENT" not in {name for name, _ in contents(path)} and path.is_dir():
        return  # RocksDB begins an empty one: its changelog tells whether something is lost
    before = list(contents(path))
    with pytest.raises(TableFault, match=r"can't be opened .* it may be the last copy") as fault:
        persisted(table_in(tmp_path, None))
    assert len(str(fault.value).splitlines()) == 1
    assert kept_beside(path) == []
    assert list(contents(path)) == before


def test_none_that_was_kept_is_written_over(path: Path, tmp_path: Path, written: Path) -> None:
    for nth in range(1, 4):
        (path / "CURRENT").unlink()
        (path / "note").write_text(str(nth))
        table = table_in(tmp_path, FakeLineage())
        assert persisted(table) is None
        table.data.close_partition(0)
        shutil.rmtree(path)
        shutil.copytree(written, path)
    assert sorted((kept / "note").read_text() for kept in kept_beside(path)) == ["1", "2", "3"]


READS: dict[str, Callable[[CellTable], object]] = {
    "entry": lambda table: [table.entry(0, b"row/%06d" % number) for number in range(ROWS)],
    "scan": lambda table: list(table.scan(0, b"row/")),
    "count": lambda table: table.count(0, b"row/"),
    "range": lambda table: list(table.range(0, b"row/", b"row0")),
    "last_key": lambda table: [table.last_key(0, b"row/", b"row/%06d" % number) for number in range(1, ROWS)],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_damage_that_is_met_is_told_and_cured_by_the_next_start(
    read: Callable[[CellTable], object], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block_garbled(path)
    table = table_in(tmp_path, FakeLineage())
    assert persisted(table) == AT, "nothing is seen of it yet"
    told: list[TableFault] = []
    table.on_fault = told.append
    with pytest.raises(TableDamaged, match=r"is damaged .*; start again: it is put aside then, and rebuilt") as fault:
        read(table)
    assert len(str(fault.value).splitlines()) == 1
    assert [str(each) for each in told] == [str(fault.value)]
    del fault
    told.clear()
    table.data.close_partition(0)
    again = table_in(tmp_path, FakeLineage())
    assert persisted(again) is None
    assert len(kept_beside(path)) == 1
    assert "was damaged while it was in use" in caplog.text
    again.data.close_partition(0)
    third = table_in(tmp_path, FakeLineage())
    assert persisted(third) is None
    assert len(kept_beside(path)) == 1, "the note went with it"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_damage_that_is_met_on_kafka_is_told(read: Callable[[CellTable], object], path: Path, tmp_path: Path) -> None:
    block_garbled(path)
    with pytest.raises(TableDamaged, match=r"is damaged .*move its directory away \(do not remove it\)"):
        read(table_in(tmp_path, None))
    assert [each.name for each in path.parent.iterdir() if each.name.startswith("accounts-0")] == [path.name]


def test_a_directory_that_may_not_be_read_is_no_damage(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Exception("IO error: Permission denied: While opening a file: x/CURRENT: Permission denied")

    monkeypatch.setattr("faust.stores.rocksdb.RocksDBOptions.open", refuse)
    with pytest.raises(TableFault, match="make it readable and writable for this user"):
        persisted(table_in(tmp_path, FakeLineage()))
    assert kept_beside(path) == []


TP0 = TP("exness-test-accounts-changelog", 0)


def refuses(partition: int) -> None:
    raise LogFault(f"is that of partition {partition + 1}")


@pytest.mark.parametrize(
    ("lineage", "last", "words"),
    [
        (FakeLineage(), AT, None),
        (FakeLineage(), AT + 100, None),
        (FakeLineage(), AT - 1, r"up to record 1999 of .* now ends at 1998: the log is an older one"),
        (FakeLineage(end=AT), AT + 100, "from records that this one lacks since it was restored"),
        (FakeLineage(known=b"another"), AT, "was built from another log"),
        (FakeLineage(purged=AT), AT + 9, None),
        (FakeLineage(purged=AT + 1), AT + 9, "is older than the removals that its log can still tell of"),
        (None, AT - 1, None),
    ],
)
def test_what_does_not_fit_its_log(
    path: Path, tmp_path: Path, lineage: FakeLineage | None, last: int, words: str | None
) -> None:
    table = table_in(tmp_path, lineage)
    found = table.misfit(TP0, AT, last)
    assert (found is None) if words is None else re.search(words, found or "")


def test_on_kafka_a_views_table_is_put_aside_when_its_changelog_ends_before_it(path: Path, tmp_path: Path) -> None:
    table = table_in(tmp_path, None)
    table.is_view = True
    assert table.misfit(TP0, AT, AT) is None
    why = table.misfit(TP0, AT, AT - 1)
    assert why == f"was built up to record {AT} of {TP0.topic}, which ends at {AT - 1}: it was made anew or cut"


@pytest.mark.parametrize("is_view", [True, False])
def test_a_copy_of_a_views_table_is_put_aside_and_its_worker_starts_again(
    path: Path, tmp_path: Path, is_view: bool
) -> None:
    table = table_in(tmp_path, None)
    table.is_view = is_view
    recovery = object.__new__(Recovery)
    recovery.tp_to_table = {TP0: table}
    recovery._check_standby(TP0, AT, AT)
    recovery._check_standby(TP0, None, -1)
    with pytest.raises(LogBehindTable, match="This worker must start again" if is_view else "Restore the topic from a"):
        recovery._check_standby(TP0, AT, AT - 1)
    assert persisted(table) == (None if is_view else AT)
    assert len(kept_beside(path)) == is_view


def test_one_of_another_partition_does_not_fit(path: Path, tmp_path: Path) -> None:
    table = table_in(tmp_path, FakeLineage())
    table.check_kept = refuses
    assert table.misfit(TP0, AT, AT) == "is that of partition 1"


def test_one_of_a_release_that_knew_no_lives_fits(path: Path, tmp_path: Path) -> None:
    table = table_in(tmp_path, FakeLineage(known=b"another"))
    table.data._db_for_partition(0).delete(b"__exness\0life__")
    assert table.misfit(TP0, AT, AT) is None
    table.take_doubts(0, AT, 0)
    assert table.misfit(TP0, AT, AT) is not None, "from now on it has one"


def test_a_note_of_files_that_were_taken_away_says_nothing_of_others(path: Path, tmp_path: Path) -> None:
    note = path.with_name(path.name + ".damaged")
    note.write_text("was damaged while it was in use")
    shutil.rmtree(path)
    table = table_in(tmp_path, FakeLineage())
    assert persisted(table) is None
    table.write(0, {b"row/1": b"1"}, 0)
    table.data.close_partition(0)
    assert persisted(table_in(tmp_path, FakeLineage())) == 0
    assert kept_beside(path) == []


async def test_only_a_locked_one_is_tried_again(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the path is called."""
    opened: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        opened.append("once")
        raise Exception("IO error: While lock file: x: Resource temporarily unavailable")

    locked = tmp_path / "locked"
    shutil.copytree(tmp_path / "v1", locked / "v1")
    table = table_in(locked, None)
    (table.data.partition_path(0) / "CURRENT").write_text("garbage")
    with pytest.raises(TableFault, match="can't be opened"):
        await table.data._try_open_db_for_partition(0)
    table = table_in(locked, None)
    monkeypatch.setattr("faust.stores.rocksdb.RocksDBOptions.open", refuse)
    with pytest.raises(Exception, match="While lock file"):
        await table.data._try_open_db_for_partition(0, max_retries=3, retry_delay=0.0)
    assert len(opened) == 4


async def test_a_store_that_was_stopped_holds_no_lock_whoever_holds_its_handle(path: Path, tmp_path: Path) -> None:
    """A logged traceback, say; and nobody who asks late opens it again."""
    table = table_in(tmp_path, None)
    handle = table.data._db_for_partition(0)
    await table.data.stop()
    again = table_in(tmp_path, None)
    assert again.data._db_for_partition(0) is not handle
    with pytest.raises(TableFault, match="is closed: this worker is stopping"):
        table.data._db_for_partition(0)
    again.data.close_partition(0)


def test_a_handle_that_nobody_uses_any_more_holds_no_lock(path: Path, tmp_path: Path) -> None:
    """In one process it lives, with RocksDB's lock, until it is collected: its store is part of a circle."""
    before = table_in(tmp_path, None)
    assert persisted(before) == AT
    collects = gc.isenabled()
    gc.disable()
    try:
        del before
        assert persisted(table_in(tmp_path, None)) == AT
    finally:
        if collects:
            gc.enable()


class Changelog:
    """Events as Faust's recovery hands them over, from one record on."""

    def __init__(self, first: int, *entries: tuple[bytes, bytes | None]) -> None:
        known = {"partition": 0, "tp": TP("changelog", 0), "timestamp": time.time()}
        self.events: list[Any] = [
            SimpleNamespace(message=SimpleNamespace(**known, offset=first + n, key=key, value=value))
            for n, (key, value) in enumerate(entries)
        ]


def test_recovery_puts_no_older_record_over_what_is_in_the_table(tmp_path: Path) -> None:
    """It may have been told where to begin before the newest were written here."""
    table = table_in(tmp_path, None)
    table.write(0, {b"a": b"newest", b"b": None}, 7)
    for first, entries in (
        (3, [(b"a", b"old"), (b"b", b"old"), (b"c", b"old")]),
        (6, [(b"a", None), (b"b", b"old")]),
        (7, [(b"a", b"old"), (b"d", b"new"), (b"b", b"new")]),
        (8, [(b"d", b"old"), (b"d", b"old")]),
    ):
        table.data.apply_changelog_batch(Changelog(first, *entries).events, None, None)
    assert {key: table.entry(0, key) for key in (b"a", b"b", b"c", b"d")} == {
        b"a": b"newest", b"b": b"new", b"c": None, b"d": b"new",
    }  # fmt: skip
    assert table.position(0) == 9


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("hours", "last", "is_kept"),
    [
        (0, AT + 9, True),
        (19, AT + 9, True),
        (21, AT + 9, False),
        (21, AT, True),
        (900, AT + 1, False),
        (-2, AT + 9, True),
    ],
)
def test_on_kafka_one_that_was_away_for_long_may_lack_removals(
    path: Path, tmp_path: Path, hours: int, last: int, is_kept: bool
) -> None:
    table = table_in(tmp_path, None)
    written_ms = int(time.time() * 1000) - hours * HOUR_MS
    table.data._db_for_partition(0).put(SEEN_KEY, b"%d" % written_ms)
    found = table.misfit(TP0, AT, last)
    assert (found is None) is is_kept
    if found is not None:
        assert found == f"is {hours} hours old: Kafka may have forgotten what was removed since"
        kept = table.data.put_aside(0, found)
        assert kept.exists(), "it may be the last copy"
        assert persisted(table) is None


def test_on_kafka_one_of_a_release_that_did_not_note_it_is_taken(path: Path, tmp_path: Path) -> None:
    table = table_in(tmp_path, None)
    table.data._db_for_partition(0).delete(SEEN_KEY)
    assert table.misfit(TP0, AT, AT + 9) is None


def test_what_was_read_is_as_old_as_its_records(path: Path, tmp_path: Path) -> None:
    """Not as the reading: what is read today may be of last week, and what removed it, too."""
    table = table_in(tmp_path, None)
    tp = TP(table.changelog_name, 0)
    week_ago_s = time.time() - 7 * 86_400
    for offset in (AT + 1, AT + 2):
        message = SimpleNamespace(partition=0, tp=tp, offset=offset, key=b"a", value=b"1", timestamp=week_ago_s)
        table.data.apply_changelog_batch([SimpleNamespace(message=message)], lambda key: key, lambda value: value)
    assert table.away_s(0) == pytest.approx(7 * 86_400, abs=60)
    table.write(0, {b"a": b"2"}, AT + 3)
    assert table.away_s(0) == pytest.approx(0, abs=60)
    assert b"__exness\0seen__" not in dict(table.scan(0, b"a"))
