"""What a cell may pass over where its journal does not go on: offsets without a record, and what was given up."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import JournalRepaired, Meta
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.repairs import Unreadable, covers, given_up_to, gives_up, repair_of
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.journal_faults import JournalGap
from exness_streams.engine.losses import meta_of
from exness_streams.transport.leases import Lease
from exness_streams.transport.table import CellTable

log = logging.getLogger(__name__)

WORDS_MAX = 200

Search = Callable[[int, int, Callable[[bytes | None], bool]], Awaitable["bytes | None"]]
"""(partition, offset, whether it is the one) -> the first value of the journal from there on, None: none. LogFault."""


async def nothing_written(partition: int, offset: int, is_wanted: Callable[[bytes | None], bool]) -> bytes | None:
    """A journal without repairs."""
    return None


class PassedOver:
    """Asked where a fold would stop; it reads on in the journal for what operators have written about that."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._found: dict[int, JournalRepaired] = {}

    async def way_on(self, fault: JournalGap | Unreadable, lease: Lease) -> Callable[[Cell], None] | None:
        """What lets a cell go on; None: nothing does. LogFault."""
        if isinstance(fault, JournalGap) and await fault.is_hole(lease):
            return lambda cell: cell.pass_over(fault.end)
        repair = await self._repair(fault.partition, fault.first)
        if repair is None:
            return None
        end = min(repair.end, fault.end)
        return lambda cell: cell.give_up(end)

    async def begin(self, lease: Lease, table: CellTable, commits: TableCommits, journal_start: int) -> None:
        """Before a cell is loaded: when records at the journal's beginning are gone unread, and were given up, commit
        the offset where it begins. LogFault.
        """
        partition, committed = lease.partition, lease.committed or 0
        meta = meta_of(table, partition) or Meta(partition, 0)
        if committed >= journal_start or meta.next_offset != committed:
            return
        repair = await self._repair(partition, committed)
        if repair is not None and repair.end >= journal_start:
            await commits.move(lease, given_up_to(meta, journal_start))

    async def _repair(self, partition: int, first: int) -> JournalRepaired | None:
        known = self._found.get(partition)
        if known is not None and covers(known, first):
            return known  # of a run of records
        found = repair_of(await self._search(partition, first, gives_up(first)))
        if found is not None:
            self._found[partition] = found
            _say(partition, found)
        return found


def _say(partition: int, repair: JournalRepaired) -> None:
    log.warning(
        "of the records %d to %d of partition %d of the journal, those that are gone or can't be read are passed over: "
        "%s gave them up (%s)",
        repair.first,
        repair.end - 1,
        partition,
        in_one_line(repair.operator, WORDS_MAX),
        in_one_line(repair.reason, WORDS_MAX),
    )
