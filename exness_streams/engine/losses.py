"""What a table must hold, and does not: by the offset that was committed with it, and by its own Meta.

A table whose changelog was deleted, cut or trimmed comes back empty, or with older entries, and looks like one that
never had more. An offset is committed in the same transaction as the entries, and never without any: so an offset
above 0 over an empty table, or over one that stands at an earlier record, means that entries are lost. What the
offset can't tell, the entries tell of each other: the Meta counts the accounts and sums up what they have taken, and
a row knows how many outcomes are remembered for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from exness_streams.domain.codec import META_KEY, Meta, decode_meta
from exness_streams.domain.outcomes import OUTCOMES_REMEMBERED
from exness_streams.transport.faults import LogFault

if TYPE_CHECKING:
    from exness_streams.transport.table import CellTable

RESTORE = (
    "Restore it from a backup (docs/operations.md, Lost state). Reset no offset and keep every worker's directory: "
    "one may be the last copy"
)
"""How every refusal ends."""


def meta_of(table: CellTable, partition: int) -> Meta | None:
    """None for a table that has none: an empty one, or one that was last written by 0.1.0."""
    stored = table.entry(partition, META_KEY)
    return None if stored is None else decode_meta(stored)


def is_empty(table: CellTable, partition: int, prefixes: Iterable[bytes]) -> bool:
    """Whether there is neither a Meta nor an entry with one of these prefixes."""
    if table.entry(partition, META_KEY) is not None:
        return False
    return all(next(iter(table.scan(partition, prefix)), None) is None for prefix in prefixes)


def lost_by_offset(table: CellTable, partition: int, committed: int | None, *, empty: bool) -> str | None:
    """What the table lacks of records before a committed offset, in words that follow its name. None: nothing."""
    if not committed:
        return None
    if empty:
        return f"holds nothing, but {committed} records were taken into it"
    meta = meta_of(table, partition)
    if meta is None:
        trimmed = partition in table.trimmed
        return "no longer holds its first records, and nothing tells what they were" if trimmed else None
    if meta.next_offset < committed:
        return f"ends with what came of record {meta.next_offset - 1}, but {committed} records were taken into it"
    return None


def lost_by_count(known: Meta | None, found: Meta) -> str | None:
    """What the accounts that were found lack of those that a Meta counted. None: nothing, or nobody has counted."""
    if known is None:
        return None
    if (known.access, known.access_taken) != (found.access, found.access_taken):
        return f"holds sessions and keys of {found.access} accounts, or older ones than those of {known.access} it had"
    if (known.accounts, known.taken) == (found.accounts, found.taken):
        return None
    if known.accounts != found.accounts:
        return f"holds {found.accounts} accounts, but had {known.accounts} when it was last written"
    return "holds older states of some accounts than when it was last written"


def check_kept(table: CellTable, partition: int) -> None:
    """Refuse a table of another partition before the changelog goes on with it.

    LogFault; beside its log, where it is put aside, its words go on after "the table ...".
    """
    meta = meta_of(table, partition)
    if meta is not None and meta.partition != partition:
        if table.lineage is not None:
            raise LogFault(f"is that of partition {meta.partition}")
        raise LogFault(
            f"the table kept here as partition {partition} of {table.changelog_name} is that of partition "
            f"{meta.partition}: stop this worker, move its directory away (do not remove it), and start it: its "
            "tables are built anew from their changelogs"
        )


def outcomes_expected(outcomes: int) -> int:
    """How many remembered outcomes an account has, by the number in its row."""
    return min(outcomes, OUTCOMES_REMEMBERED)
