"""Damaged checkpoints: whatever became of one, every whole one serves, and one that is none counts for nothing."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from checkpoint_files import DAMAGES, say
from click.testing import CliRunner
from platform_harness import CLOSE, OPEN, PlatformThread, until_committed

from exness_streams.audit.checkpoints import (
    checkpoint_path,
    find_checkpoints,
    read_checkpoint,
    remove_left_behind,
    write_checkpoint,
)
from exness_streams.audit.embedded import CellAudit, audit_all, checkpoint_all
from exness_streams.cli import main
from exness_streams.engine.checkpoint_keeper import CheckpointKeeper, trim_journal
from exness_streams.engine.engine import APP_ID
from exness_streams.settings.platform import load_settings

ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
STRANGER = "0" * 64


def trade(platform: PlatformThread) -> None:
    opened = platform.post(OPEN, ORDER, "ann")
    assert platform.post(CLOSE, {"positionId": opened.json["positionId"]}, "ann").status == 200


def audit(data_dir: Path, told: list[str] | None = None) -> CellAudit:
    settings = load_settings(data_dir=data_dir)
    lines: list[str] = [] if told is None else told
    (cell,) = audit_all(settings.log_dir, settings.tables_dir, settings.checkpoints_dir, APP_ID, tell=lines.append)
    return cell


def checkpoint(data_dir: Path) -> int:
    settings = load_settings(data_dir=data_dir)
    until_committed(settings.log_dir)
    (header,) = checkpoint_all(settings.log_dir, settings.tables_dir, settings.checkpoints_dir, APP_ID)
    return header.offset


class Trimmed(NamedTuple):
    """A stopped platform's directory: three checkpoints, the journal trimmed to the first."""

    directory: Path
    offsets: tuple[int, int, int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trimmed]:
    directory = tmp_path_factory.mktemp("made") / "data"
    platform = PlatformThread(directory).start()
    offsets = []
    for _ in range(3):
        trade(platform)
        offsets.append(checkpoint(directory))
        if len(offsets) == 1:
            assert platform.platform is not None
            platform.run(trim_journal(platform.platform.engine, 0, time.time() + 1))
    trade(platform)
    platform.stop()
    assert len(set(offsets)) == 3
    yield Trimmed(directory, (offsets[0], offsets[1], offsets[2]))


@pytest.fixture
def trimmed(made: Trimmed, tmp_path: Path) -> Trimmed:
    shutil.copytree(made.directory, tmp_path / "data")
    return made._replace(directory=tmp_path / "data")


def file_of(trimmed: Trimmed, nth: int) -> Path:
    return checkpoint_path(trimmed.directory / "checkpoints", 0, trimmed.offsets[nth])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("whole", [0, 1, 2])
def test_whichever_is_whole_serves(trimmed: Trimmed, damage: Callable[[Path], None], whole: int) -> None:
    for nth in {0, 1, 2} - {whole}:
        damage(file_of(trimmed, nth))
    told: list[str] = []
    found = audit(trimmed.directory, told)
    assert found.is_clean, found.differences
    assert found.began_at == trimmed.offsets[whole]
    assert len(told) == whole
    for nth, line in enumerate(told):
        assert str(file_of(trimmed, nth)) in line
        assert line.endswith("; passed over")
        assert "\n" not in line
    assert checkpoint(trimmed.directory) == found.ended_at


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_when_none_is_whole_the_audit_says_what_to_do(trimmed: Trimmed, damage: Callable[[Path], None]) -> None:
    for nth in range(3):
        damage(file_of(trimmed, nth))
    with pytest.raises(ValueError, match="so there is nothing to replay from: put a whole file 0-") as told:
        audit(trimmed.directory)
    for nth in range(3):
        assert str(file_of(trimmed, nth)) in str(told.value)
    assert "\n" not in str(told.value)


def test_one_of_another_journal_does_not_serve(trimmed: Trimmed) -> None:
    """What it says is whole; the record before it is not the one in this journal."""
    write_checkpoint(trimmed.directory / "checkpoints", 0, trimmed.offsets[1], {}, STRANGER)
    file_of(trimmed, 0).unlink()
    told: list[str] = []
    found = audit(trimmed.directory, told)
    assert found.is_clean, found.differences
    assert found.began_at == trimmed.offsets[2]
    assert len(told) == 1
    assert "is of another journal" in told[0]


def test_one_of_an_earlier_release_serves(trimmed: Trimmed) -> None:
    for nth in range(3):
        say(file_of(trimmed, nth), last_record="")
    assert audit(trimmed.directory).began_at == trimmed.offsets[0]


def test_the_commands_name_a_damaged_one_in_one_line(trimmed: Trimmed) -> None:
    DAMAGES["half"](file_of(trimmed, 0))
    for command in ("audit", "checkpoint"):
        ended = CliRunner().invoke(main, [command, "--data-dir", str(trimmed.directory)])
        assert ended.exit_code == 0, ended.output
        lines = [line for line in ended.output.splitlines() if "passed over" in line]
        assert len(lines) == 1
        assert lines[0].startswith(f"exness-streams: checkpoint {file_of(trimmed, 0)} is damaged")


def test_one_that_may_not_be_read_is_passed_over(trimmed: Trimmed, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = file_of(trimmed, 0)
    opens = gzip.open

    def open_as_another_user(path: Path, mode: str) -> Any:
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return opens(path, mode)

    monkeypatch.setattr("exness_streams.audit.checkpoints.gzip.open", open_as_another_user)
    told: list[str] = []
    assert audit(trimmed.directory, told).began_at == trimmed.offsets[1]
    assert told == [f"checkpoint {refused} can't be read: Permission denied; passed over"]


def test_older_ones_go_only_when_the_newer_can_be_read_back(trimmed: Trimmed) -> None:
    directory, newest = trimmed.directory / "checkpoints", trimmed.offsets[2]
    told: list[str] = []
    whole = file_of(trimmed, 2).read_bytes()
    for damage in DAMAGES.values():
        if damage is not DAMAGES["a row that this version does not know"]:
            damage(file_of(trimmed, 2))
            remove_left_behind(directory, 0, newest, newest, told.append)
            assert told.pop().endswith("; older ones are kept")
            assert len(find_checkpoints(directory, 0)) == 3
            if file_of(trimmed, 2).is_dir():
                file_of(trimmed, 2).rmdir()
            file_of(trimmed, 2).unlink(missing_ok=True)
            file_of(trimmed, 2).write_bytes(whole)
    DAMAGES["a directory"](file_of(trimmed, 0))
    remove_left_behind(directory, 0, newest, newest, told.append)
    assert [offset for offset, _ in find_checkpoints(directory, 0)] == [trimmed.offsets[0], newest]
    assert len(told) == 1
    assert "can't be removed" in told[0]


# -- the running platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("running") / "data", journal_retention_hours=1000)
    try:
        trade(thread.start())
        yield thread
    finally:
        thread.stop()


class Looked(NamedTuple):
    """A platform with one checkpoint of today, and a keeper that writes none but counts."""

    platform: PlatformThread
    path: Path
    keeper: CheckpointKeeper
    written: list[Path]

    def look(self) -> int:
        """How many it would have written."""
        self.written.clear()
        self.platform.run(self.keeper.look())
        return len(self.written)


@pytest.fixture
def looked(platform: PlatformThread) -> Looked:
    assert platform.platform is not None
    directory = platform.settings.checkpoints_dir
    shutil.rmtree(directory, ignore_errors=True)
    offset = checkpoint(platform.settings.data_dir)
    written: list[Path] = []

    async def write(data_dir: Path) -> str:
        written.append(data_dir)
        return ""

    keeper = CheckpointKeeper(platform.platform.engine, write)
    return Looked(platform, checkpoint_path(directory, 0, offset), keeper, written)


def test_todays_is_enough(looked: Looked) -> None:
    assert looked.look() == 0
    os.utime(looked.path, (1, 1))
    assert looked.look() == 0, "the file's own time counted"


@pytest.mark.parametrize("damage", [d for name, d in DAMAGES.items() if "version" not in name])
def test_a_damaged_one_is_not_todays(
    looked: Looked, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    assert looked.look() == 0
    damage(looked.path)
    assert looked.look() == 1
    assert looked.look() == 1
    assert caplog.text.count("; passed over") == 1, "told once"


def _old(path: Path) -> None:
    say(path, time_ms=int((time.time() - 25 * 3600) * 1000))


def _of_tomorrow(path: Path) -> None:
    say(path, time_ms=int((time.time() + 20 * 3600) * 1000))


def _beyond_the_journal(path: Path) -> None:
    write_checkpoint(path.parent, 0, 10**9, read_checkpoint(path)[1])
    path.unlink()


def _of_another_cell(path: Path) -> None:
    write_checkpoint(path.parent, 1, 1, {})
    path.unlink()


def _of_another_journal(path: Path) -> None:
    say(path, last_record=STRANGER)


def _unfinished(path: Path) -> None:
    path.rename(path.with_suffix(".tmp"))


def _named_otherwise(path: Path) -> None:
    path.rename(path.with_name(f"0-0{path.name.removeprefix('0-')}"))


@pytest.mark.parametrize(
    "change",
    [
        _old,
        _of_tomorrow,
        _beyond_the_journal,
        _of_another_cell,
        _of_another_journal,
        _unfinished,
        _named_otherwise,
        Path.unlink,
    ],
)
def test_what_is_none_of_today_here_is_written_anew(looked: Looked, change: Callable[[Path], None]) -> None:
    change(looked.path)
    for path in looked.path.parent.iterdir():
        os.utime(path)
    assert looked.look() == 1


def test_nothing_is_trimmed_by_a_files_own_time(looked: Looked) -> None:
    os.utime(looked.path, (1, 1))
    assert looked.look() == 0
    assert audit(looked.platform.settings.data_dir).began_at == 0
    assert looked.path.exists()


def test_a_directory_that_cannot_be_listed_is_told_and_survived(looked: Looked) -> None:
    directory = looked.path.parent
    shutil.rmtree(directory)
    directory.touch()
    try:
        looked.look()
        assert str(directory) in looked.keeper.refused
    finally:
        directory.unlink()
    assert looked.look() == 1
    assert not looked.keeper.refused


def test_what_a_kill_left_is_cleared_and_a_whole_one_is_never_replaced_by_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0-5.jsonl.tmp", "0-9.jsonl.tmp", "1-9.jsonl.tmp"):
        (tmp_path / name).write_bytes(b"half")
    written = write_checkpoint(tmp_path, 0, 9, {b"a": b"1"})
    assert {path.name for path in tmp_path.iterdir()} == {"0-9.jsonl.gz", "1-9.jsonl.tmp"}
    monkeypatch.setattr("exness_streams.audit.checkpoints.gzip.GzipFile.write", lambda file, data: 0)
    with pytest.raises(ValueError, match="damaged"):
        write_checkpoint(tmp_path, 0, 9, {b"a": b"2"})
    monkeypatch.undo()
    ((_, path),) = find_checkpoints(tmp_path, 0)
    assert read_checkpoint(path) == (written, {b"a": b"1"})
    assert {path.name for path in tmp_path.iterdir()} == {"0-9.jsonl.gz", "1-9.jsonl.tmp"}
