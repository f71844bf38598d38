"""The embedded log when things go wrong: two processes, kill -9, full disks, damaged files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest
from log_harness import append_all, child, opened, values_of

from exness_streams.transport.embedded.log import EmbeddedLog, LogReader
from exness_streams.transport.embedded.sqlite_file import fault_of
from exness_streams.transport.faults import LogDamaged, LogFault, LogFull, LogLocked, Misconfigured

# -- one process only


async def test_the_same_process_shares_one_log(tmp_path: Path) -> None:
    first, second = EmbeddedLog.open(tmp_path), EmbeddedLog.open(tmp_path)
    assert first is second
    first.declare("t", 1)
    first.close()
    assert await second.append("t", 0, None, b"v") == 0
    second.close()
    again = EmbeddedLog.open(tmp_path)
    assert again is not first
    assert await values_of(again, "t") == [b"v"]
    again.close()


HOLDER = """
import sys
from pathlib import Path
from exness_streams.transport.embedded.log import EmbeddedLog
log = EmbeddedLog.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_another_process_is_told_who_holds_the_log(tmp_path: Path) -> None:
    with child(HOLDER, tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(LogLocked, match=rf"in use by process {holder.pid}.*EXNESS_DATA_DIR"):
            EmbeddedLog.open(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        EmbeddedLog.open(tmp_path).close()  # nothing is left behind


# -- crashes

WRITER = """
import asyncio, sys
from pathlib import Path
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.embedded.log import EmbeddedLog

async def main():
    log = EmbeddedLog.open(Path(sys.argv[1]))
    for topic in ("in", "single", "double"):
        log.declare(topic, 1)
    log.declare("rows", 1, compact=True)
    numbers = iter(range(log.end(("single", 0)), 1 << 60))
    async def client():
        for n in numbers:
            records = [LogRecord(t, b"k", b"%d" % n, 0) for t in ("single", "double", "rows", "double")]
            await log.transact("g", records, {("in", 0): n + 1})
            print(n, flush=True)
    await asyncio.gather(*[client() for _ in range(16)])

asyncio.run(main())
"""


def test_kill_minus_nine_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path) -> None:
    chance = random.Random(11)
    for _ in range(10):
        with child(WRITER, tmp_path) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(chance.randrange(1, 500))]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        with LogReader(tmp_path).snapshot() as snapshot:
            count = snapshot.end(("single", 0))
            numbers = [b"%d" % n for n in range(count)]
            assert count > max(acknowledged)
            assert snapshot.committed("g", ("in", 0)) == count
            assert [r.value for r in snapshot.records(("single", 0))] == numbers
            assert [r.value for r in snapshot.records(("double", 0))] == sorted(numbers * 2, key=int)
            assert [r.value for r in snapshot.records(("rows", 0))] == numbers[-1:]


# -- faults


async def test_a_full_disk_ends_the_log_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    with opened(tmp_path, pages_max=60) as log:
        log.declare("t", 1)
        faulted = asyncio.ensure_future(log.wait_for_fault())
        waiting = log.wait_for_data()
        with pytest.raises(LogFull, match=r"full \(\d+ MiB free\): free some space") as raised:
            while True:
                await log.append("t", 0, None, b"x" * 3000)
                acknowledged += 1
        assert raised.value.written is False
        assert acknowledged > 10
        assert waiting.done()
        assert await faulted is log.fault
        assert isinstance(log.fault, LogFull)
        with pytest.raises(LogFull) as later:
            await log.append("t", 0, None, b"small")
        assert later.value.written is False
    with opened(tmp_path) as log:
        assert log.end(("t", 0)) == acknowledged
        assert await log.append("t", 0, None, b"goes on") == acknowledged


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import LogFault

async def main():
    log = EmbeddedLog.open(Path(sys.argv[1]))
    log.declare("t", 1)
    await log.append("t", 0, None, b"first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    acknowledged = 1
    try:
        while True:
            await log.append("t", 0, None, b"x" * 500)
            acknowledged += 1
    except LogFault as fault:
        print(acknowledged, fault.written, fault)

asyncio.run(main())
"""


async def test_a_failed_commit_is_of_unknown_outcome(tmp_path: Path) -> None:
    with child(LIMITED, tmp_path) as writer:
        output, _ = writer.communicate(timeout=60)
    acknowledged, written, message = output.split(" ", 2)
    assert written == "None"
    assert f"the log in {tmp_path} failed" in message
    assert len(message.strip().splitlines()) == 1
    with opened(tmp_path) as log:
        assert log.end(("t", 0)) in (int(acknowledged), int(acknowledged) + 1)


async def fill(directory: Path, count: int) -> None:
    with opened(directory) as log:
        log.declare("t", 1)
        await append_all(log, "t", [b"record-%06d" % n for n in range(count)])


async def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, 100)
    with (tmp_path / "log.sqlite").open("r+b") as file:
        file.write(os.urandom(4096))
    with pytest.raises(LogDamaged, match="restore a backup of that directory, or move it away"):
        EmbeddedLog.open(tmp_path)
    with pytest.raises(LogDamaged), LogReader(tmp_path).snapshot():
        pass


async def test_a_damaged_page_ends_the_log_when_it_is_read(tmp_path: Path) -> None:
    await fill(tmp_path, 5000)
    content = (tmp_path / "log.sqlite").read_bytes()
    page = content.index(b"record-002500") // 4096
    with (tmp_path / "log.sqlite").open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xee" * 4096)
    with opened(tmp_path) as log:
        with pytest.raises(LogDamaged):
            await values_of(log, "t")
        assert isinstance(log.fault, LogDamaged)
        with pytest.raises(LogDamaged):
            await log.append("t", 0, None, b"v")


async def test_a_missing_record_is_damage(tmp_path: Path) -> None:
    await fill(tmp_path, 100)
    with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite")) as db, db:
        db.execute("DELETE FROM records WHERE offset = 50")
    with opened(tmp_path) as log, pytest.raises(LogDamaged, match="records are missing in partition 0 of t, from "):
        await values_of(log, "t")


async def test_a_newer_versions_log_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite")) as db, db:
        db.execute("UPDATE format SET version = 99")
    with pytest.raises(LogFault, match=r"written by a newer version \(its format is 99"):
        EmbeddedLog.open(tmp_path)
    with pytest.raises(LogFault, match="newer version"), LogReader(tmp_path).snapshot():
        pass


def test_a_directory_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LogFault, match=r"cannot write in .*file.*EXNESS_DATA_DIR"):
        EmbeddedLog.open(tmp_path / "file")


async def test_a_failed_open_gives_the_directory_back(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    file = tmp_path / "log.sqlite"
    content = file.read_bytes()
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogDamaged):
        EmbeddedLog.open(tmp_path)
    file.write_bytes(content)
    log = EmbeddedLog.open(tmp_path)
    assert await values_of(log, "t") == [b"record-000000"]
    log.close()


def test_a_log_that_is_not_this_users_is_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start would end in the same way: exit code 2."""
    unable = sqlite3.OperationalError("unable to open database file")
    assert isinstance(fault_of(PermissionError(13, "Permission denied"), tmp_path), Misconfigured)
    assert not isinstance(fault_of(unable, tmp_path), Misconfigured), "too many open files, perhaps"
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert isinstance(fault_of(unable, tmp_path), Misconfigured)
    assert "make it a directory that this user may write to" in str(fault_of(unable, tmp_path))
