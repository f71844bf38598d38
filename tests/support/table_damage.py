"""What may happen to the files of a table while nobody has them open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path


def file_of(table: Path, pattern: str) -> Path:
    """The newest of its files with such a name."""
    found = sorted(table.glob(pattern))
    assert found, f"{table} has no {pattern}: {sorted(each.name for each in table.iterdir())}"
    return found[-1]


def removed(pattern: str) -> Callable[[Path], None]:
    def damage(table: Path) -> None:
        file_of(table, pattern).unlink()

    return damage


def garbage(pattern: str) -> Callable[[Path], None]:
    """Of the size that it had."""

    def damage(table: Path) -> None:
        file = file_of(table, pattern)
        file.write_bytes(b"\xa5garbage" * (file.stat().st_size // 8 + 1))
        os.truncate(file, max(1, file.stat().st_size // 8 * 8))

    return damage


def cut(pattern: str, to: int) -> Callable[[Path], None]:
    def damage(table: Path) -> None:
        os.truncate(file_of(table, pattern), to)

    return damage


def block_garbled(table: Path) -> None:
    """In the middle of its data: whoever opens it sees nothing of it."""
    file = max(table.glob("*.sst"), key=lambda each: each.stat().st_size)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 4)
        opened.write(b"\xa5" * 64)


def file_in_its_place(table: Path) -> None:
    shutil.rmtree(table)
    table.write_text("in the way")


def link_to_nowhere(table: Path) -> None:
    shutil.rmtree(table)
    table.symlink_to(table.with_name("nowhere") / "at-all")


def of_other_files(table: Path) -> None:
    shutil.rmtree(table)
    table.mkdir()
    (table / "CURRENT").write_text("of another program")


UNOPENABLE: dict[str, Callable[[Path], None]] = {
    "CURRENT missing": removed("CURRENT"),
    "CURRENT empty": cut("CURRENT", 0),
    "CURRENT garbage": garbage("CURRENT"),
    "MANIFEST missing": removed("MANIFEST-*"),
    "MANIFEST garbage": garbage("MANIFEST-*"),
    "MANIFEST empty": cut("MANIFEST-*", 0),
    "SST missing": removed("*.sst"),
    "SST cut": cut("*.sst", 100),
    "SST garbage": garbage("*.sst"),
    "a file in its place": file_in_its_place,
    "a link to nowhere": link_to_nowhere,
    "another program's files": of_other_files,
}
"""None of them can be opened as it was."""


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of what RocksDB does not write into by itself as it opens."""
    if path.is_file():
        yield path.name, path.read_bytes()
    elif path.is_dir():
        for each in sorted(path.iterdir()):
            if not each.name.startswith(("LOG", "LOCK", "OPTIONS", "rocksdict", "IDENTITY")):
                yield each.name, each.read_bytes()
