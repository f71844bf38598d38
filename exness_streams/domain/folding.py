"""One record on its way through a cell: which rows it has touched, and the events so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from exness_streams.domain.account import AccountRow
from exness_streams.domain.events import Cause, Event
from exness_streams.domain.market_states import MarketTold
from exness_streams.domain.transition import JournalPlace, Transition


class Rows(Protocol):
    """The cell, as a record on its way sees it."""

    partition: int

    def account(self, account_id: str) -> AccountRow | None:
        """The newest row of an account."""

    def put(self, old: AccountRow, new: AccountRow, offset: int) -> None:
        """Take a changed row, made by the record at `offset`."""


class Folding:
    """One record. at: the place of its next event. rules: by which it is folded.

    market_ms, markets: as in JournalPlace.
    """

    def __init__(self, cell: Rows, offset: int, time_ms: int, rules: int) -> None:
        self.offset, self.time_ms, self.rules = offset, time_ms, rules
        self.caused_by: Cause = None
        self.market_ms = 0
        self.markets: Mapping[str, MarketTold] = {}
        self.events: list[Event] = []
        self._cell = cell
        self._touched: set[str] = set()

    @property
    def at(self) -> JournalPlace:
        return self.later(0)

    def later(self, events: int) -> JournalPlace:
        nth = len(self.events) + events
        return JournalPlace(
            self._cell.partition, self.offset, nth, self.time_ms, self.caused_by, self.market_ms, self.markets
        )

    def row_of(self, account_id: str) -> AccountRow | None:
        """An account's row, None before its first record. ValueError when a record at or after this one made it."""
        row = self._cell.account(account_id)
        if account_id not in self._touched:
            if row is not None and row.applied_offset >= self.offset:
                raise ValueError(
                    f"account {account_id} was made by journal record {row.applied_offset} of partition "
                    f"{self._cell.partition}, and record {self.offset} must not be applied to it again: two workers "
                    "have written this cell. Start this worker again"
                )
            self._touched.add(account_id)
        return row

    def known_row(self, account_id: str) -> AccountRow:
        """The row of an account that has a trigger or an order. ValueError when there is none."""
        row = self.row_of(account_id)
        if row is None:
            raise ValueError(f"there is a trigger of account {account_id}, but no such account")
        return row

    def apply(self, row: AccountRow, change: Transition) -> AccountRow:
        """Keep what has changed; the row as it is now."""
        self._cell.put(row, change.row, self.offset)
        self.events.append(change.event)
        return change.row
