"""Where a replay begins: the journal's first record, or a checkpoint that can be used; for the audits on both logs.

Every whole checkpoint that the journal still reaches may serve. One that can't is told in one line and passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from exness_streams.audit.checkpoints import Header, find_checkpoints, read_checkpoint
from exness_streams.audit.replay import Replay
from exness_streams.domain import codec

Tell = Callable[[str], None]
"""Given one line for people."""

Known = Callable[[Path], Header]
"""The header of a whole checkpoint. ValueError as read_checkpoint's."""


class Reach(NamedTuple):
    """What a cell's journal has: its first record, up to where it was folded, and the digests of some records.

    digests: by offset, of the records before the checkpoints in reach, those which the journal still has.
    """

    start: int
    end: int
    digests: Mapping[int, str]


def checkpoints_within(directory: Path, partition: int, start: int, end: int) -> list[tuple[int, Path]]:
    """The files of checkpoints that a journal still reaches, by their names, oldest first."""
    return [(offset, path) for offset, path in find_checkpoints(directory, partition) if start <= offset <= end]


def begin_replay(directory: Path, partition: int, reach: Reach, tell: Tell, *, newest_first: bool = False) -> Replay:
    """A replay from the journal's beginning or, where that is gone, the oldest checkpoint that can be used.

    newest_first: from the newest one that can be used, else the journal's beginning. ValueError when there is neither.
    """
    if reach.start == 0 and not newest_first:
        return Replay(partition, 0, {})
    found = checkpoints_within(directory, partition, reach.start, reach.end)
    faults: list[str] = []
    begun = None
    for _, path in reversed(found) if newest_first else found:
        begun = _begun(path, reach, faults)
        if begun is not None:
            break
    if begun is None and reach.start == 0:
        begun = Replay(partition, 0, {})
    if begun is not None:
        for line in faults:
            tell(f"{line}; passed over")
        return begun
    because = f" ({'; '.join(faults)})" if faults else ""
    raise ValueError(
        f"partition {partition}: the journal begins at record {reach.start} and no checkpoint stands between it and "
        f"{reach.end} that can be used{because}, so there is nothing to replay from: put a whole file "
        f"{partition}-<record>.jsonl.gz of that range back into {directory}, from a backup of it"
    )


def _begun(path: Path, reach: Reach, faults: list[str]) -> Replay | None:
    """The replay that begins at a checkpoint; None, and one more fault, where it can't be used."""
    try:
        header, entries = read_checkpoint(path)
        check_journal(path, header, reach)
    except ValueError as fault:
        faults.append(str(fault))
        return None
    try:
        if header.meta is not None:
            entries[codec.META_KEY] = codec.encode_meta(header.meta)
        return Replay(header.partition, header.offset, entries, header.last_record)
    except (ValueError, ArithmeticError, LookupError, TypeError, msgspec.MsgspecError) as error:
        faults.append(f"checkpoint {path} can't be used by this version: {error}")
        return None


def check_journal(path: Path, header: Header, reach: Reach) -> None:
    """ValueError when a checkpoint was made from another journal, as far as its last record is known."""
    had, has = header.last_record, reach.digests.get(header.offset - 1, "")
    if had and has and had != has:
        raise ValueError(f"checkpoint {path} is of another journal: its record {header.offset - 1} is another")


def usable_checkpoints(
    directory: Path, partition: int, reach: Reach, tell: Tell, known: Known
) -> list[tuple[Header, Path]]:
    """The checkpoints that an audit could begin at, oldest first."""
    found = checkpoints_within(directory, partition, reach.start, reach.end)
    headers = [(_known_header(path, reach, tell, known), path) for _, path in found]
    return [(header, path) for header, path in headers if header is not None]


def _known_header(path: Path, reach: Reach, tell: Tell, known: Known) -> Header | None:
    try:
        header = known(path)
        check_journal(path, header, reach)
    except ValueError as fault:
        tell(str(fault))
        return None
    return header
