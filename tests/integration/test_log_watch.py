"""The log's files changed from outside while it runs: nothing is acknowledged that the next start would not find."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from log_harness import append_all, child, opened, rows_in_file, values_of

from exness_streams.transport.embedded.log import EmbeddedLog, LogReader
from exness_streams.transport.faults import LogLocked, LogMoved

DB, WAL, SHM = "log.sqlite", "log.sqlite-wal", "log.sqlite-shm"


def backup(directory: Path, to: Path) -> Path:
    """As the documentation says."""
    with closing(sqlite3.connect(directory / DB)) as db, closing(sqlite3.connect(to)) as copy:
        db.backup(copy)
    return to


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


def renamed(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))


def replaced_by_a_copy(directory: Path) -> None:
    shutil.copytree(directory, directory.with_name("copy"))
    directory.rename(directory.with_name("elsewhere"))
    directory.with_name("copy").rename(directory)


def replaced_by_nothing(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


def replaced_by_a_file(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_text("in the way")


def parent_removed(directory: Path) -> None:
    shutil.rmtree(directory.parent)


def file_removed(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def file_cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda directory: os.truncate(directory / name, size)


def file_replaced(name: str) -> Callable[[Path], None]:
    def replace(directory: Path) -> None:
        shutil.copy(directory / name, directory / "new")
        (directory / "new").replace(directory / name)

    return replace


def backup_put_in_its_place(directory: Path) -> None:
    backup(directory, directory.with_name("backup")).replace(directory / DB)


def backup_written_over_it(directory: Path) -> None:
    copy = backup(directory, directory.with_name("backup"))
    assert copy.stat().st_size >= (directory / DB).stat().st_size, "its size gives it away"
    # In a process of its own, as `cp` is: a file of SQLite's closed here would drop SQLite's locks.
    with child("import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])", copy, directory / DB) as copying:
        assert copying.wait(30) == 0


def moved_and_linked_to(directory: Path) -> None:
    renamed(directory)
    directory.symlink_to(directory.with_name("elsewhere"))


CHANGES = {
    "removed": removed,
    "renamed": renamed,
    "replaced by a copy": replaced_by_a_copy,
    "replaced by an empty one": replaced_by_nothing,
    "replaced by a file": replaced_by_a_file,
    "the data directory removed": parent_removed,
    "database removed": file_removed(DB),
    "database emptied": file_cut(DB, 0),
    "database cut": file_cut(DB, 4096),
    "database replaced": file_replaced(DB),
    "a backup in the database's place": backup_put_in_its_place,
    "a backup over the database": backup_written_over_it,
    "WAL removed": file_removed(WAL),
    "WAL emptied": file_cut(WAL, 0),
    "WAL cut": file_cut(WAL, 5000),
    "WAL replaced": file_replaced(WAL),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log"


async def fill(log: EmbeddedLog) -> None:
    """Some of it in the database file, some in the WAL alone."""
    log.declare("t", 1)
    await append_all(log, "t", [b"x" * 3000] * 10)
    log.tidy()
    await append_all(log, "t", [b"y" * 100] * 10)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_nothing_is_acknowledged_after_it(directory: Path, change: Callable[[Path], None]) -> None:
    with opened(directory) as log:
        await fill(log)
        waiting = asyncio.ensure_future(log.wait_for_fault())
        change(directory)
        with pytest.raises(LogMoved, match=r"changed from outside while it ran .*nothing more is acknowledged"):
            await log.append("t", 0, None, b"lost")
        assert isinstance(await waiting, LogMoved)
        with pytest.raises(LogMoved) as later:
            await log.append("t", 0, None, b"never")
        assert later.value.written is False
        assert len(str(later.value).splitlines()) == 1
        assert log.end(("t", 0)) == 20


IDLE_CHANGES = CHANGES | {"index removed": file_removed(SHM), "index replaced": file_replaced(SHM)}


@pytest.mark.parametrize("change", IDLE_CHANGES.values(), ids=IDLE_CHANGES)
async def test_an_idle_log_notices_too(directory: Path, change: Callable[[Path], None]) -> None:
    with opened(directory) as log:
        await fill(log)
        assert log.fault is None
        change(directory)
        log.tidy()
        assert isinstance(log.fault, LogMoved)


async def test_an_idle_log_looks_by_itself(directory: Path) -> None:
    log = EmbeddedLog(directory, upkeep_interval_s=0.05)
    try:
        removed(directory)
        assert isinstance(await asyncio.wait_for(log.wait_for_fault(), 30), LogMoved)
    finally:
        log.close()


async def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    first, second, link = tmp_path / "first", tmp_path / "second", tmp_path / "link"
    first.mkdir()
    link.symlink_to(first)
    with opened(link / "log") as log:
        await fill(log)
        shutil.copytree(first, second)
        link.unlink()
        link.symlink_to(second)
        with pytest.raises(LogMoved):
            await log.append("t", 0, None, b"lost")


async def test_one_that_was_moved_and_linked_to_goes_on(directory: Path) -> None:
    with opened(directory) as log:
        await fill(log)
        moved_and_linked_to(directory)
        assert await log.append("t", 0, None, b"v") == 20
        log.tidy()
        assert log.fault is None
    assert rows_in_file(directory.with_name("elsewhere"), "records") == 21


async def test_what_may_be_done_beside_it_disturbs_nothing(directory: Path) -> None:
    """Reading, backups and copies, in every stage of the WAL's life."""
    with opened(directory) as log:
        log.declare("t", 1)
        for nth in range(6):
            await append_all(log, "t", [b"x" * 70_000] * 200)  # 14 MB: the WAL is restarted, and cut, on the way
            with LogReader(directory).snapshot() as snapshot:
                assert snapshot.end(("t", 0)) == log.end(("t", 0))
                await log.append("t", 0, None, b"meanwhile")
                log.tidy()
            backup(directory, directory.with_name(f"backup-{nth}")).unlink()
            if nth % 2:
                log.tidy()
                log.tidy()  # idle: the WAL is emptied
            (directory / "note").write_text("of no concern")
        log.tidy()
        assert log.fault is None
        assert len(await values_of(log, "t")) == 6 * 201


OPENER = """
import sys
from pathlib import Path
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import LogLocked
try:
    EmbeddedLog.open(Path(sys.argv[1]))
    print("open", flush=True)
except LogLocked as fault:
    print(fault, flush=True)
"""


async def test_a_removed_lock_file_lets_no_second_process_in(directory: Path) -> None:
    with opened(directory) as log:
        await fill(log)
        (directory / "lock").unlink()
        for _ in range(2):
            with child(OPENER, directory) as second:
                said, _ = second.communicate(timeout=60)
            assert "in use by" in said
        with pytest.raises(LogLocked):
            EmbeddedLog.open(directory)
        assert await log.append("t", 0, None, b"v") == 20
    with opened(directory) as again:
        assert again.end(("t", 0)) == 21


async def test_a_moved_directory_may_be_opened_anew_by_others(directory: Path) -> None:
    """And what the first does as it ends harms nothing of theirs."""
    with opened(directory) as log:
        await fill(log)
        replaced_by_a_copy(directory)
        with opened(directory) as other:
            await append_all(other, "t", [b"theirs"] * 5)
            with pytest.raises(LogMoved):
                await log.append("t", 0, None, b"ours")
            log.close()
            await append_all(other, "t", [b"theirs"] * 5)
    with opened(directory) as again:
        assert again.end(("t", 0)) == 30
        assert (await values_of(again, "t"))[20:] == [b"theirs"] * 10
