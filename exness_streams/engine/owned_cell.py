"""A cell with what goes with it while it is this process's."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from exness_streams.domain import codec
from exness_streams.domain.cell import Cell
from exness_streams.domain.events import Event
from exness_streams.engine.ahead import Ahead, Part
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.leases import Lease

IDLE_COMMIT_S = 10.0
"""Quotes alone, and that frames without prices were folded, are committed this seldom: folding the frames again after a
restart gives the same."""


class Progress(NamedTuple):
    """Offsets of a cell's journal: next to commit, next to fold, and its end when the cell was loaded.

    first: what was next to commit then.
    """

    committed: int
    next_offset: int
    journal_end: int
    first: int = 0


@dataclass(eq=False)
class OwnedCell:
    """A cell, and what goes with it while it is here.

    lease: commits it. floor: what was committed when the lease was taken. ready_at: end of its journal when it was
    loaded, or kept; None: it came back, and nobody has looked yet. ahead: what was folded and is not in the table yet.
    busy: one batch at a time, whoever brings it. committing, committed_at_s, took_s, wanted: of its transactions
    (paced_commits.Folding). rules, handed_at_s: as they were handed over last.
    """

    cell: Cell
    lease: Lease
    ahead: Ahead
    ready_at: int | None
    floor: int
    handed_at_s: float = 0.0
    loaded_at_s: float = field(default_factory=time.monotonic)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    committing: asyncio.Task[None] | None = None
    committed_at_s: float = -math.inf
    took_s: float = 0.0
    wanted: Wakeup = field(default_factory=Wakeup)
    rules: int = field(init=False)

    def __post_init__(self) -> None:
        self.rules = self.cell.rules

    @property
    def lag(self) -> int:
        """Records that were in the journal when the cell was loaded and are not folded yet. 1 while nobody knows."""
        return 1 if self.ready_at is None else max(0, self.ready_at - self.cell.next_offset)

    def is_due(self, events: list[Event]) -> bool:
        """Whether what is pending, with these events, wants its transaction now, as a change of rules does."""
        if events or self.rules != self.cell.rules:
            return True
        if any(not key.startswith(codec.QUOTE_PREFIX) for key in self.cell.pending_keys):
            return True
        now_s = time.monotonic()
        if not self.cell.pending_keys:
            return now_s - max(self.loaded_at_s, self.handed_at_s) >= IDLE_COMMIT_S
        return now_s - self.handed_at_s >= IDLE_COMMIT_S

    def hand_over(self, records: int, events: list[Event]) -> None:
        """What is pending runs ahead, until its transaction. records: how many of the journal it came of."""
        cell = self.cell
        part = Part(dict(cell.pending), events, cell.meta, records)
        self.ahead.add(part)
        cell.committed()
        self.handed_at_s, self.rules = time.monotonic(), part.meta.rules

    def hand_over_rest(self) -> None:
        """As hand_over, of what was not due: quotes, and how far the journal was read."""
        newest = self.ahead.parts[-1].meta.next_offset if self.ahead.parts else self.lease.committed or 0
        if self.cell.next_offset > newest:
            self.hand_over(0, [])

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        end = self.cell.next_offset if self.ready_at is None else self.ready_at
        return Progress(self.lease.committed or 0, self.cell.next_offset, end, self.floor)

    def goes_on_with(self, lease: Lease) -> None:
        """The partition came back, and nobody has committed meanwhile.

        An owner in between may have told clients of what it did not commit: it is folded here before any is told more.
        """
        self.lease, self.floor, self.ready_at = lease, lease.committed or 0, None
