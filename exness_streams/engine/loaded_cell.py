"""A cell loaded from its table, once that is known to be whole."""

from __future__ import annotations

from collections.abc import Iterable

from exness_streams.domain import codec
from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell, Fetch
from exness_streams.domain.identity import AccessRow
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rules import UnknownRules
from exness_streams.engine.journal_faults import JournalFault, LaterJournal, TableLacks, check_bounds
from exness_streams.engine.losses import (
    RESTORE,
    is_empty,
    lost_by_count,
    lost_by_offset,
    meta_of,
    outcomes_expected,
)
from exness_streams.transport.table import CellTable


class CellLoading:
    """Of the cells that one table holds."""

    def __init__(self, table: CellTable) -> None:
        self._table = table

    def load(
        self, partition: int, fetch: Fetch, committed: int | None, *, journal_start: int, journal_end: int
    ) -> Cell:
        """The cell as its table has it, before the record `committed` of its journal.

        JournalFault when the journal does not continue it, TableLacks when entries are missing.
        """
        next_offset = 0 if committed is None else committed
        prefixes = codec.ROW_PREFIX, codec.QUOTE_PREFIX, codec.ACCESS_PREFIX
        empty = is_empty(self._table, partition, prefixes)
        self._check_whole(partition, lost_by_offset(self._table, partition, committed, empty=empty))
        check_bounds(partition, next_offset, next_offset, journal_start, journal_end)
        if committed is None and not empty:
            raise JournalFault(
                f"the group's offset of partition {partition} of the journal is gone, and its table does not say where "
                f"it stands, since it was last written by 0.1.0. Restore the offset, or the brokers' topic of offsets, "
                "from a backup (docs/operations.md, Lost state): another offset would execute requests again"
            )
        cell, known = Cell(partition, fetch), meta_of(self._table, partition)
        try:
            cell.load(next_offset, self._rows(partition), self._quotes(partition), self._access(partition), known)
        except UnknownRules as error:
            raise LaterJournal(str(error)) from error
        except ValueError as error:
            raise TableLacks(f"{error}. {RESTORE}", f"does not hold together: {error}") from error
        self._check_whole(partition, lost_by_count(known, cell.meta))
        self._check_outcomes(partition)
        return cell

    def _check_outcomes(self, partition: int) -> None:
        """Each row says how many outcomes are remembered for it: they are counted when a table was built anew."""
        if partition not in self._table.unproven:
            return
        expected = sum(outcomes_expected(row.outcomes) for row in self._rows(partition))
        for prefix in (codec.SLOT_PREFIX, codec.OUTCOME_PREFIX):
            found = self._table.count(partition, prefix)
            if found != expected:
                self._check_whole(
                    partition, f"holds {found} answers of requests with a key, and lacks some of {expected}"
                )
        self._table.prove(partition)

    def _check_whole(self, partition: int, lost: str | None) -> None:
        if lost is not None:
            raise TableLacks(f"partition {partition} of {self._table.changelog_name} {lost}. {RESTORE}", lost)

    def _rows(self, partition: int) -> Iterable[AccountRow]:
        for _, value in self._table.scan(partition, codec.ROW_PREFIX):
            yield codec.decode_row(value)

    def _access(self, partition: int) -> Iterable[AccessRow]:
        for _, value in self._table.scan(partition, codec.ACCESS_PREFIX):
            yield codec.decode_access_row(value)

    def _quotes(self, partition: int) -> Iterable[tuple[str, Quote]]:
        for key, value in self._table.scan(partition, codec.QUOTE_PREFIX):
            yield key.removeprefix(codec.QUOTE_PREFIX).decode(), codec.decode_quote(value)
