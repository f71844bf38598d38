"""Checkpoints of a journal that was restored since: put aside, and never begun from."""

from __future__ import annotations

from pathlib import Path

import pytest

from exness_streams.audit.checkpoints import find_checkpoints, put_aside_ahead, write_checkpoint


def offsets(directory: Path, partition: int = 0) -> list[int]:
    return [offset for offset, _ in find_checkpoints(directory, partition)]


def test_those_behind_what_was_folded_are_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for offset in (5, 10, 11, 20):
        write_checkpoint(tmp_path, 0, offset, {})
    write_checkpoint(tmp_path, 1, 20, {})
    put_aside_ahead(tmp_path, 0, 10)
    assert offsets(tmp_path) == [5, 10]
    assert offsets(tmp_path, 1) == [20], "another partition's"
    assert len(list(tmp_path.iterdir())) == 5, "nothing is removed"
    assert len(caplog.records) == 2
    put_aside_ahead(tmp_path, 0, 10)
    assert len(caplog.records) == 2


def test_a_directory_that_is_not_there_holds_none(tmp_path: Path) -> None:
    put_aside_ahead(tmp_path / "none", 0, 0)


def test_one_that_cannot_be_looked_through_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    put_aside_ahead(tmp_path / "checkpoints", 0, 0)
    assert "can't be looked through" in caplog.text
