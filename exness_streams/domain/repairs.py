"""What can't be read of a journal, and what an operator has written about it.

A JournalRepaired says that the records from `first` to before `end` of its partition are given up. It counts only where
a fold would stop: what can be read is folded, whatever is written about it. So whoever folds the journal, now or in an
audit years later, passes over the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from exness_streams.domain import rules
from exness_streams.domain.codec import JournalRecord, JournalRepaired, LaterRecord, Meta, RulesChanged, decode_record
from exness_streams.domain.outside_text import in_one_line

WHY_MAX = 300

_SIGN = b'"JournalRepaired"'


class Unreadable(ValueError):
    """A record of the journal that nobody here can fold. str() is one line.

    first, end: its offset, and the next. is_later: perhaps a later release can.
    """

    def __init__(self, partition: int, offset: int, value: bytes | None, why: str, *, is_later: bool = False) -> None:
        self.why = in_one_line(why, WHY_MAX)
        super().__init__(f"record {offset} of partition {partition} of the journal can't be folded: {self.why}")
        self.partition, self.first, self.end = partition, offset, offset + 1
        self.value, self.is_later = value, is_later


def read_record(partition: int, in_force: int, offset: int, value: bytes | None) -> JournalRecord:
    """A record that a cell which goes by the rules `in_force` can fold. Unreadable."""
    if value is None:
        raise Unreadable(partition, offset, None, "it has no value")
    try:
        record = decode_record(value)
        if isinstance(record, RulesChanged):
            rules.after_change(partition, in_force, record.rules)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        is_later = isinstance(error, LaterRecord | rules.UnknownRules)
        raise Unreadable(partition, offset, value, str(error), is_later=is_later) from error
    return record


def repair_of(value: bytes | None) -> JournalRepaired | None:
    """A journal record as what an operator has written, None when it is something else."""
    if value is None or _SIGN not in value:
        return None
    try:
        record = decode_record(value)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return record if isinstance(record, JournalRepaired) else None


def given_up_to(meta: Meta, offset: int) -> Meta:
    """What a cell says of itself once all before `offset` that it has not folded is given up, as Cell.give_up."""
    return msgspec.structs.replace(meta, next_offset=offset, ticks_lost=True)


def covers(repair: JournalRepaired, offset: int) -> bool:
    """Whether the record at `offset` is given up by it."""
    return repair.first <= offset < repair.end


def gives_up(offset: int) -> Callable[[bytes | None], bool]:
    """Whether a journal record gives up the one at `offset`."""

    def is_so(value: bytes | None) -> bool:
        repair = repair_of(value)
        return repair is not None and covers(repair, offset)

    return is_so


def covering(values: Iterable[bytes | None], offset: int) -> JournalRepaired | None:
    """The first of these records that gives up the one at `offset`. Give it those behind that one."""
    return repair_of(next(filter(gives_up(offset), values), None))
