"""`init`: secrets of its own, in a file for its owner's eyes, that takes the place of nothing."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from cli_fakes import check_one_line, command, plain_environment

from exness_streams.cli import environment_file
from exness_streams.cli.environment_file import environment_text, write_secret_file
from exness_streams.settings.names import setting_names
from exness_streams.settings.platform import UNPREFIXED, load_settings

__all__ = ["plain_environment"]  # a fixture


def set_by(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_it_sets_what_sign_in_needs() -> None:
    values = set_by(environment_text())
    assert list(values) == ["EXNESS_AUTH", "EXNESS_SECRET_KEY", "EXNESS_PEPPER"]
    assert values["EXNESS_AUTH"] == "required"
    for name in ("EXNESS_SECRET_KEY", "EXNESS_PEPPER"):
        assert re.fullmatch(r"[A-Za-z0-9_-]{64}", values[name])  # 48 bytes, and nothing that a shell or compose reads


def test_every_line_is_a_setting_and_all_together_start_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the lines that are there to be filled in, as they stand."""
    proposed = set_by(re.sub(r"^# (?=[A-Z_]+=)", "", environment_text(), flags=re.MULTILINE))
    assert set(proposed) <= setting_names() | set(UNPREFIXED)
    assert {"SMTP_HOST", "SMTP_PASS", "EXNESS_OPERATORS", "EXNESS_ALLOWED_HOSTS", "FRONTEND_URL"} <= set(proposed)
    for name, value in proposed.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(host="0.0.0.0")
    assert (settings.auth, settings.smtp_host, settings.operators) == (
        "required",
        "smtp.example.com",
        ("you@example.com",),
    )


def test_no_secret_is_made_twice() -> None:
    made = [set_by(environment_text()) for _ in range(20)]
    secrets = [values[name] for values in made for name in ("EXNESS_SECRET_KEY", "EXNESS_PEPPER")]
    assert len(set(secrets)) == 40


def test_the_pepper_is_said_to_stay() -> None:
    before_pepper = environment_text().split("EXNESS_PEPPER=")[0].splitlines()
    assert "It must never change" in " ".join(before_pepper[-3:])


def test_a_shell_reads_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert command("init", "--file", str(path)).exit_code == 0
    script = f"set -eua; . '{path}'; env"
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert set_by(path.read_text()).items() <= dict(line.split("=", 1) for line in ended.stdout.splitlines()).items()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277, 0o777])
def test_only_its_owner_may_read_it(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "settings"
    before = os.umask(umask)
    try:
        result = command("init", "--file", str(path))
    finally:
        os.umask(before)
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_says_what_next_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("init")
    said = result.output + capsys.readouterr().out
    values = set_by((tmp_path / ".env").read_text())
    assert ".env is written" in said
    assert "set -a; . ./.env; set +a; exness-streams run" in said
    assert values["EXNESS_SECRET_KEY"] not in said
    assert values["EXNESS_PEPPER"] not in said


def place(kind: str, path: Path) -> None:
    if kind == "file":
        path.write_text("EXNESS_PEPPER=old")
    elif kind == "empty file":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind == "link to a file":
        path.with_name("other").write_text("EXNESS_PEPPER=old")
        path.symlink_to(path.with_name("other"))
    else:
        path.symlink_to(path.with_name("nowhere"))


@pytest.mark.parametrize("kind", ["file", "empty file", "directory", "link to a file", "link to nothing"])
def test_what_is_there_stays(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    place(kind, path)
    before = {one: one.read_text() for one in tmp_path.iterdir() if one.is_file()}
    check_one_line(command("init", "--file", str(path)), 1, capsys, f"{path} is there already", "--file")
    assert {one: one.read_text() for one in tmp_path.iterdir() if one.is_file()} == before


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere" / ".env"
    check_one_line(command("init", "--file", str(path)), 1, capsys, f"{path} can't be written: No such file")


def test_a_disk_that_fills_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(environment_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_secret_file(tmp_path / ".env", "text")
    assert list(tmp_path.iterdir()) == []
