"""The audit of a directory whose local tables can't be compared: one line that names the table, and exit code 1."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import rocksdict
from platform_process import run_cli
from table_damage import UNOPENABLE, block_garbled

from exness_streams.audit.embedded import audit_all
from exness_streams.audit.tables import OFFSET_KEY
from exness_streams.transport.table import LIFE_KEY

ARCHIVE = Path(__file__).parents[1] / "golden" / "0.1.0" / "clean.tar.xz"
TABLES = ("accounts", "history", "candles")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("golden")
    subprocess.run(["tar", "-C", str(directory), "-xJf", str(ARCHIVE)], check=True)
    return directory / "clean"


@pytest.fixture
def data_dir(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "data")
    return tmp_path / "data"


def table_of(data_dir: Path, name: str) -> Path:
    return data_dir / "tables" / "v1" / "tables" / f"{name}-0.db"


def audit(data_dir: Path) -> None:
    cells = audit_all(data_dir / "log", data_dir / "tables", data_dir / "checkpoints", "exness-streams")
    assert all(cell.is_clean for cell in cells)


def refusal(data_dir: Path) -> str:
    with pytest.raises(ValueError, match="the next start puts it aside and rebuilds it from the log") as refused:
        audit(data_dir)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_it_is_clean_as_it_was_written(data_dir: Path) -> None:
    audit(data_dir)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("damage", UNOPENABLE.values(), ids=UNOPENABLE)
def test_one_that_cannot_be_opened(damage: Callable[[Path], None], name: str, data_dir: Path) -> None:
    damage(table_of(data_dir, name))
    assert str(table_of(data_dir, name)) in refusal(data_dir)


def test_one_with_a_damaged_block(data_dir: Path) -> None:
    block_garbled(table_of(data_dir, "accounts"))
    assert "Corruption" in refusal(data_dir)


def put(table: Path, key: bytes, value: bytes) -> None:
    opened = rocksdict.Rdict(str(table), rocksdict.Options(raw_mode=True))
    opened.put(key, value)
    opened.close()


def test_one_that_is_ahead_of_its_log(data_dir: Path) -> None:
    put(table_of(data_dir, "accounts"), OFFSET_KEY, b"1000000")
    assert "holds records up to 1000000 of exness-streams-accounts-changelog" in refusal(data_dir)


def test_one_of_another_life_of_its_log(data_dir: Path) -> None:
    put(table_of(data_dir, "accounts"), LIFE_KEY, b"unheard of")
    assert "built from another log" in refusal(data_dir)


@pytest.mark.parametrize("name", TABLES)
def test_the_command_ends_with_one_line_and_code_1(name: str, data_dir: Path) -> None:
    (table_of(data_dir, name) / "CURRENT").unlink()
    ended = run_cli("audit", "--data-dir", str(data_dir))
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert "has no file CURRENT" in line
    assert "all agree" not in ended.stdout


def test_without_tables_the_log_alone_is_audited(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "tables")
    ended = run_cli("audit", "--data-dir", str(data_dir))
    assert ended.returncode == 0
    assert "the log's table (no local one is there)" in ended.stdout


def test_one_that_may_not_be_read_is_no_damage(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def __init__(self, *_: object, **__: object) -> None:
            raise Exception("IO error: Permission denied: While opening a file")

    monkeypatch.setattr("exness_streams.audit.tables.rocksdict.Rdict", Refused)
    with pytest.raises(ValueError, match=r"can't be read .*: make it readable for this user") as refused:
        audit(data_dir)
    assert "puts it aside" not in str(refused.value)
