"""Checkpoints and the audit: what was written is read back, and what was tampered with is found."""

from __future__ import annotations

import gc
import gzip
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import rocksdict
from checkpoint_files import say
from click.testing import CliRunner
from platform_harness import CLOSE, OPEN, PlatformThread, until, until_committed

from exness_streams.audit.checkpoints import (
    find_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from exness_streams.audit.embedded import CellAudit, CheckpointRefused, audit_all, checkpoint_all
from exness_streams.cli import main
from exness_streams.engine.checkpoint_keeper import CheckpointKeeper, trim_journal, write_beside
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader

ENTRIES = {b"account/ann": b'{"cash":1}', "outcome/ann/ключ".encode(): "значение".encode(), b"slot/ann/0": b"k"}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformThread]:
    """With some history: two accounts, a position closed, a refusal remembered."""
    thread = PlatformThread(tmp_path / "data")
    try:
        trade(thread.start())
        yield thread
    finally:
        thread.stop()


def trade(platform: PlatformThread) -> None:
    order = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
    for account in ("ann", "bob"):
        opened = platform.post(OPEN, order, account)
        assert opened.status == 201
        assert platform.post(OPEN, order, account).status == 201
        assert platform.post(CLOSE, {"positionId": opened.json["positionId"]}, account).status == 200
    assert platform.post(OPEN, order | {"margin": 10**6}, "ann", key="k").status == 400


def folders(platform: PlatformThread) -> tuple[Path, Path, Path]:
    settings = platform.settings
    return settings.log_dir, settings.tables_dir, settings.checkpoints_dir


def audit(platform: PlatformThread) -> CellAudit:
    settings = platform.settings
    (cell,) = audit_all(settings.log_dir, settings.tables_dir, settings.checkpoints_dir, APP_ID)
    return cell


def checkpoint(platform: PlatformThread) -> int:
    until_committed(platform.settings.log_dir)
    (header,) = checkpoint_all(*folders(platform), APP_ID)
    return header.offset


def test_a_checkpoint_is_read_back_as_written(tmp_path: Path) -> None:
    header = write_checkpoint(tmp_path / "new", 3, 70, ENTRIES)
    ((offset, path),) = find_checkpoints(tmp_path / "new", 3)
    assert offset == 70
    assert read_checkpoint(path) == (header, ENTRIES)
    assert (header.partition, header.offset, header.entries) == (3, 70, 3)


def test_checkpoints_are_found_by_partition_oldest_first(tmp_path: Path) -> None:
    for partition, offset in ((1, 100), (1, 9), (11, 5), (1, 20)):
        write_checkpoint(tmp_path, partition, offset, {})
    (tmp_path / "1-7.jsonl.tmp").touch()
    (tmp_path / "1-x.jsonl.gz").touch()
    assert [offset for offset, _ in find_checkpoints(tmp_path, 1)] == [9, 20, 100]
    assert find_checkpoints(tmp_path / "nowhere", 1) == []


def test_every_damage_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 0, 1, ENTRIES)
    ((_, path),) = find_checkpoints(tmp_path, 0)
    whole = path.read_bytes()
    content = gzip.decompress(whole)
    lines = content.splitlines(keepends=True)
    damaged = [
        b"",
        b"nonsense",
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        gzip.compress(b"".join(lines[:-1])),
        gzip.compress(b"".join(lines[1:])),
        gzip.compress(content.replace(b'\\"cash\\":1', b'\\"cash\\":2')),
        gzip.compress(content + b'["account/eve","{}"]\n'),
        gzip.compress(content + b"{}\n"),
    ]
    for nth, wrong in enumerate(damaged):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is damaged"):
            read_checkpoint(path)
            pytest.fail(f"damage {nth} was not found")


def test_the_audit_agrees_with_a_platform_running_or_stopped(platform: PlatformThread) -> None:
    running = audit(platform)
    assert running.is_clean, running.differences
    platform.stop()
    stopped = audit(platform)
    assert stopped.is_clean, stopped.differences
    assert (stopped.began_at, stopped.accounts) == (0, 2)
    assert stopped.ended_at >= 7


def test_a_trimmed_journal_is_audited_from_its_checkpoint(platform: PlatformThread) -> None:
    older = checkpoint(platform)
    trade(platform)
    newer = checkpoint(platform)
    trade(platform)
    assert older < newer
    assert platform.platform is not None
    engine = platform.platform.engine
    platform.run(trim_journal(engine, 0, time.time() - 3600))
    assert journal_start(platform) == 0, "younger than the retention"
    platform.run(trim_journal(engine, 0, time.time() + 1))
    assert journal_start(platform) == newer
    assert [offset for offset, _ in find_checkpoints(platform.settings.checkpoints_dir, 0)] == [newer]
    for _ in range(2):
        found = audit(platform)
        assert found.is_clean, found.differences
        assert found.began_at == newer
        platform.stop()


def test_a_trimmed_journal_without_its_checkpoint_is_told(platform: PlatformThread) -> None:
    checkpoint(platform)
    assert platform.platform is not None
    platform.run(trim_journal(platform.platform.engine, 0, time.time() + 1))
    ((_, path),) = find_checkpoints(platform.settings.checkpoints_dir, 0)
    os.truncate(path, 30)
    with pytest.raises(ValueError, match="is damaged"):
        audit(platform)
    path.unlink()
    with pytest.raises(ValueError, match="no checkpoint stands between"):
        audit(platform)


def test_a_restart_on_a_trimmed_journal_keeps_all(platform: PlatformThread, tmp_path: Path) -> None:
    checkpoint(platform)
    assert platform.platform is not None
    platform.run(trim_journal(platform.platform.engine, 0, time.time() + 1))
    before = platform.state("ann")
    platform.stop()
    again = PlatformThread(tmp_path / "data")
    try:
        assert again.start().state("ann") == before
    finally:
        again.stop()


def opened(path: Path) -> rocksdict.Rdict | None:
    """A table of a platform that has stopped, in whose process its handle lives until it is collected."""
    gc.collect()
    try:
        return rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    except Exception as error:  # rocksdict has no exception of its own
        assert "lock" in str(error).lower(), error
        return None


def test_a_row_changed_in_the_table_is_found(platform: PlatformThread) -> None:
    platform.stop()
    (path,) = platform.settings.tables_dir.glob("**/accounts-0.db")
    with closing(until(lambda: opened(path))) as table:
        row = table[b"account/ann"]
        assert b'"realized_pnl":' in row
        table[b"account/ann"] = row.replace(b'"realized_pnl":', b'"realized_pnl":1')
        del table[b"slot/ann/0"]
    found = audit(platform)
    assert not found.is_clean
    assert [line.split(":")[0] for line in found.differences] == ["account/ann", "slot/ann/0"]


def test_a_row_changed_in_the_log_is_found(platform: PlatformThread) -> None:
    platform.stop()
    file = next(path for path in platform.settings.log_dir.iterdir() if path.suffix in {".db", ".sqlite", ".sqlite3"})
    with closing(sqlite3.connect(file)) as db, db:
        changed = sum(
            db.execute(
                f"UPDATE {table} SET value = CAST(replace(CAST(value AS TEXT), '\"margin\":100', '\"margin\":101') "
                "AS BLOB) WHERE key = ?",
                (b"account/bob",),
            ).rowcount
            for table in tables_with_values(db)
        )
    assert changed
    found = audit(platform)
    assert not found.is_clean
    assert {line.split(":")[0] for line in found.differences} == {"account/bob"}
    ended = CliRunner().invoke(main, ["audit", "--data-dir", str(platform.settings.data_dir)])
    assert ended.exit_code == 1


def tamper(platform: PlatformThread) -> None:
    """A balance in the log's table that the journal does not give."""
    file = next(path for path in platform.settings.log_dir.iterdir() if path.suffix in {".db", ".sqlite", ".sqlite3"})
    with closing(sqlite3.connect(file)) as db, db:
        for table in tables_with_values(db):
            db.execute(
                f"UPDATE {table} SET value = CAST(replace(CAST(value AS TEXT), '\"cash\":', '\"cash\":1') AS BLOB) "
                "WHERE key = ?",
                (b"account/bob",),
            )


def test_a_wrong_balance_becomes_no_checkpoint(platform: PlatformThread) -> None:
    platform.stop()
    tamper(platform)
    with pytest.raises(CheckpointRefused, match="cell 0 differs from its journal") as refused:
        checkpoint_all(*folders(platform), APP_ID)
    assert "bob" not in str(refused.value), "/readyz says it to everybody"
    ended = CliRunner().invoke(main, ["checkpoint", "--data-dir", str(platform.settings.data_dir)])
    assert ended.exit_code == 1
    assert "no checkpoint is written" in ended.output
    assert not find_checkpoints(platform.settings.checkpoints_dir, 0)


def test_the_daily_checkpoint_is_proven_first(platform: PlatformThread) -> None:
    assert platform.platform is not None
    keeper: CheckpointKeeper = platform.platform.checkpoints
    until_committed(platform.settings.log_dir)
    platform.run(keeper.look())
    assert not keeper.refused
    assert len(find_checkpoints(platform.settings.checkpoints_dir, 0)) == 1


def test_a_refused_checkpoint_keeps_the_journal_and_is_told(
    platform: PlatformThread, caplog: pytest.LogCaptureFixture
) -> None:
    assert platform.platform is not None
    answers = ["", "cell 0 differs", "cell 0 differs", ""]
    keeper: CheckpointKeeper = platform.platform.checkpoints

    async def write(data_dir: Path) -> str:
        answer = answers.pop(0)
        return answer or await write_beside(data_dir)

    until_committed(platform.settings.log_dir)
    keeper._write = write
    platform.run(keeper.look())
    (path,) = platform.settings.checkpoints_dir.glob("*.gz")
    say(path, time_ms=1_000)  # an old one, to which the journal would be trimmed
    for refusals in (1, 2):
        platform.run(keeper.look())
        assert keeper.refusals == refusals
        assert audit(platform).began_at == 0
        ready = platform.get("/readyz").json
        assert ready["status"] == "degraded"
        assert any("the daily checkpoint is refused: cell 0 differs" in reason for reason in ready["reasons"])
        assert b"exness_checkpoint_refused 1.0" in platform.get("/metrics").body
    assert caplog.text.count("the daily checkpoint is refused") == 1
    trade(platform)  # so that the next one stands further on, and does not take the old one's name
    until_committed(platform.settings.log_dir)
    platform.run(keeper.look())
    assert platform.get("/readyz").json["status"] == "ok"
    assert platform.run(log_start(platform)) > 0, "trimmed to the old one"


def test_nothing_is_trimmed_to_a_checkpoint_that_cannot_be_read(platform: PlatformThread) -> None:
    assert platform.platform is not None
    first = checkpoint(platform)
    trade(platform)
    newest = checkpoint(platform)
    assert newest > first
    paths = dict(find_checkpoints(platform.settings.checkpoints_dir, 0))
    paths[newest].write_bytes(paths[newest].read_bytes()[:-20])
    platform.run(trim_journal(platform.platform.engine, 0, time.time() + 1))
    assert platform.run(log_start(platform)) == first
    assert paths[first].exists()
    paths[first].write_bytes(b"")
    platform.run(trim_journal(platform.platform.engine, 0, time.time() + 1))
    assert platform.run(log_start(platform)) == first


async def log_start(platform: PlatformThread) -> int:
    assert platform.platform is not None
    start: int = platform.platform.engine.app.transport.log.start((JOURNAL_TOPIC, 0))
    return start


def test_a_table_that_is_no_table_is_told_in_one_line(platform: PlatformThread) -> None:
    platform.stop()
    (path,) = platform.settings.tables_dir.glob("**/accounts-0.db")
    (path / "CURRENT").write_text("nonsense")
    with pytest.raises(ValueError, match="can't be read"):
        audit(platform)


def tables_with_values(db: sqlite3.Connection) -> list[str]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [t for t in tables if {"key", "value"} <= {column[1] for column in db.execute(f"PRAGMA table_info({t})")}]


def journal_start(platform: PlatformThread) -> int:
    with LogReader(platform.settings.log_dir).snapshot() as snapshot:
        return snapshot.start((JOURNAL_TOPIC, 0))
