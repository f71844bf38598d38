"""Checkpoint files that are not what they should be."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from exness_streams.audit.checkpoints import Header


def say(path: Path, **changed: Any) -> None:
    """Make a checkpoint say something else in its header."""
    head, entries = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    header = msgspec.structs.replace(msgspec.json.decode(head, type=Header), **changed)
    path.write_bytes(gzip.compress(msgspec.json.encode(header) + b"\n" + entries))


def _edit(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))

    return damage


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _unknown_row(content: bytes) -> bytes:
    """Whole, but with a row that this version does not know: its hash is right."""
    from exness_streams.domain.state_hash import state_hash

    head, *lines = content.splitlines()
    entries = dict(msgspec.json.decode(line, type=tuple[str, str]) for line in lines) | {"account/eve": "{}"}
    header = msgspec.structs.replace(
        msgspec.json.decode(head, type=Header),
        entries=len(entries),
        state_hash=state_hash((key.encode(), value.encode()) for key, value in entries.items()),
    )
    written = [msgspec.json.encode(entry) for entry in entries.items()]
    return b"\n".join([msgspec.json.encode(header), *written]) + b"\n"


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _bytes(lambda whole: b""),
    "nonsense": _bytes(lambda whole: b"nonsense"),
    "zeros": _bytes(lambda whole: bytes(len(whole))),
    "cut by a byte": _bytes(lambda whole: whole[:-1]),
    "half": _bytes(lambda whole: whole[: len(whole) // 2]),
    "twice": _bytes(lambda whole: whole * 2),
    "a flipped bit": _bytes(lambda whole: whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]),
    "no header": _edit(lambda content: content.split(b"\n", 1)[1]),
    "only a header": _edit(lambda content: content.split(b"\n", 1)[0] + b"\n"),
    "an entry less": _edit(lambda content: b"".join(content.splitlines(keepends=True)[:-1])),
    "an entry more": _edit(lambda content: content + b'["account/eve","{}"]\n'),
    "an entry twice": _edit(lambda content: content + b'["slot/x/0","a"]\n["slot/x/0","a"]\n'),
    "no UTF-8": _edit(lambda content: content + b"\xff\n"),
    "of another partition": lambda path: say(path, partition=7),
    "of another offset": lambda path: say(path, offset=1),
    "of another count": lambda path: say(path, entries=1),
    "a row that this version does not know": _edit(_unknown_row),
    "a directory": _directory,
    "a pipe": _pipe,
    "a link to nothing": _link_to_nothing,
}
"""What may have become of a file that was whole: none of them can begin a replay."""
