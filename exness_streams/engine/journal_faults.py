"""Why a cell can't go on from the journal, or from the table, that it finds."""

from __future__ import annotations

import logging

from exness_streams.domain.repairs import Unreadable
from exness_streams.engine.losses import RESTORE
from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.leases import Lease

log = logging.getLogger(__name__)

OR_REPAIR = (
    "`exness-streams repair`, on Kafka `exness-streams repair --kafka`, says what is lost by going on without "
    "(docs/operations.md, Repair)"
)


class JournalFault(LogFault):
    """A cell can't go on from the journal it finds. str() is one line: what is wrong, and the way out."""


class JournalGap(JournalFault):
    """A record came that is not the next one: records are lost, or another has committed those between; or there never
    were any, for a transaction of somebody else's took these offsets.
    """

    def __init__(self, partition: int, expected: int, offset: int) -> None:
        super().__init__(
            f"partition {partition}: expected record {expected} of the journal, got {offset}: those between are gone. "
            f"{RESTORE}. {OR_REPAIR}"
        )
        self.partition, self.first, self.end = partition, expected, offset

    async def is_hole(self, lease: Lease) -> bool:
        """Whether there never were any; then it is said. LogFault."""
        if not await lease.holds_nothing(self.first, self.end):
            return False
        log.warning(
            "offsets %d to %d of partition %d of the journal hold no record and are passed over: a transaction took "
            "them, and only workers may write there, without any",
            self.first,
            self.end - 1,
            self.partition,
        )
        return True


class LaterJournal(JournalFault, Misconfigured):
    """The journal goes on in a way that only a later release knows: this one would meet it at each start."""


def fault_of(fault: Unreadable) -> JournalFault:
    """What ends a worker over a record that no operator has given up."""
    return LaterJournal(f"{fault}. {OR_REPAIR}") if fault.is_later else JournalFault(f"{fault}. {OR_REPAIR}")


class TableLacks(JournalFault):
    """Entries are lost. A table that was kept, beside its log, is built anew; else the log itself lacks them.

    lacks: goes on after "the table ...".
    """

    def __init__(self, message: str, lacks: str) -> None:
        super().__init__(message)
        self.lacks = lacks


def check_next(partition: int, expected: int, offset: int) -> None:
    """JournalGap when a record is not the next one, and none that was folded."""
    if offset > expected:
        raise JournalGap(partition, expected, offset)


def check_bounds(partition: int, committed: int, folded: int, journal_start: int, journal_end: int) -> None:
    """JournalFault when the journal, from its start to its end, does not continue what a cell has folded."""
    if folded > journal_end:
        raise JournalFault(
            f"partition {partition} of the journal ends at {journal_end}, but accounts were built from it up to "
            f"{folded}: the journal was recreated or cut. {RESTORE}"
        )
    if committed < journal_start:
        raise JournalFault(
            f"partition {partition} of the journal begins at {journal_start}, but the next record needed is "
            f"{committed}: {_gone(journal_start - committed)}. {RESTORE}. {OR_REPAIR}"
        )


def _gone(records: int) -> str:
    return "1 record is gone" if records == 1 else f"{records} records are gone"


def earlier(partition: int, committed: int, offset: int) -> JournalFault:
    """Reading begins at what was committed. What comes from before that is no repetition: it is another journal."""
    return JournalFault(
        f"record {offset} of partition {partition} of the journal came, but all before {committed} were committed: the "
        f"journal was recreated. {RESTORE}"
    )
