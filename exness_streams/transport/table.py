"""The table of cells: RocksDB, written only after the cell's transaction, in one batch with its changelog offset.

Faust's own write path puts a row into RocksDB first and sends the changelog later, so a crash can leave
either ahead. Here the log is written first (CellLog), and RocksDB follows; it is never ahead, and what it
missed is recovered from the changelog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import takewhile
from typing import Any

import msgspec
import rocksdict
from faust.tables.table import Table
from faust.types import TP

from exness_streams.transport.faults import LogFault, TableDamaged, TableFault
from exness_streams.transport.interfaces import Lineage
from exness_streams.transport.table_store import SEEN_KEY, TableStore, entries_from, keys_from, last_key_before

BLOCK_CACHE_BYTES = 64 << 20

MARK_KEY = b"__exness\0mark__"
"""Of what is known of the table here. No entry: it is in no changelog."""

LIFE_KEY = b"__exness\0life__"
"""The life of the log in which what is here was last known to be its beginning (embedded/lives.py). No entry."""

OWN_KEYS = frozenset({MARK_KEY, LIFE_KEY, SEEN_KEY})
"""What is in the files and is no entry, beside Faust's offset."""

TOO_OLD = "is older than the removals that its log can still tell of"

AWAY_S_MAX = 20 * 3600.0
"""Kafka forgets removals a day after they were written (delete.retention.ms), by clocks that may differ by hours."""

_PROVEN, _TRIMMED = b"proven", b"trimmed"


def _take_as_it_is(partition: int) -> None:
    """Whatever a kept table holds."""


def _tell_nobody(fault: TableFault) -> None:
    """Who asked is told."""


class CellTable(Table):  # type: ignore[misc]
    """Raw keys to raw values, by partition. Not a mapping for agents: use entry(), scan() and write().

    unproven: partitions that were built here and not looked at since. trimmed: those of them for which records of the
    changelog were gone. Whoever knows what must be in the table looks.
    kept: partitions that were here already when recovery began, and the changelog's record that each stood at.
    check_kept: called with a partition that is here already, before recovery goes on with it; raises LogFault.
    lineage: of the log that holds the changelog, where it lies on this machine: a table that does not fit it is put
    aside and built anew. None: it may be the last copy, and is refused.
    is_view: of another topic's records, from which it can be built anew: when its changelog ends before it, it is put
    aside on Kafka, too. Though it may be the last copy: a view stops nobody.
    on_fault: told of files that fail, beside whoever asked for an entry.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check_kept: Callable[[int], None] = _take_as_it_is
        self.unproven: set[int] = set()
        self.trimmed: set[int] = set()
        self.kept: dict[int, int] = {}
        self.lineage: Lineage | None = None
        self.is_view = False
        self.on_fault: Callable[[TableFault], None] = _tell_nobody

    def _new_store_by_url(self, url: Any) -> TableStore:
        return TableStore(url, self.app, self, table_name=self.name, options=self.options, loop=self.loop)

    def on_key_set(self, key: Any, value: Any) -> None:
        """Nothing: the cell's transaction has written the changelog already."""

    def entry(self, partition: int, key: bytes) -> bytes | None:
        """A committed entry, None when there is none. TableFault, as all that reads."""
        try:
            found: bytes | None = self.data._db_for_partition(partition).get(key)
        except Exception as error:  # rocksdict has no exception of its own
            raise self._fault(partition, error) from error
        return found

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose key begins with `prefix`, in the order of keys."""
        for key, value in self._entries(partition, prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def count(self, partition: int, prefix: bytes) -> int:
        """How many entries have a key that begins with `prefix`: about a microsecond each."""
        try:
            keys = keys_from(self.data._db_for_partition(partition), prefix)
            return sum(1 for _ in takewhile(lambda key: key.startswith(prefix), keys))
        except Exception as error:
            raise self._fault(partition, error) from error

    def range(self, partition: int, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries with first <= key < end, in the order of keys."""
        for key, value in self._entries(partition, first):
            if key >= end:
                return
            yield key, value

    def _entries(self, partition: int, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from entries_from(self.data._db_for_partition(partition), first)
        except Exception as error:
            raise self._fault(partition, error) from error

    def last_key(self, partition: int, first: bytes, end: bytes) -> bytes | None:
        """The last key with first <= key < end, None when there is none."""
        try:
            found = last_key_before(self.data._db_for_partition(partition), end)
        except Exception as error:
            raise self._fault(partition, error) from error
        return found if found is not None and found >= first else None

    def _fault(self, partition: int, error: Exception) -> LogFault:
        """What went wrong with the files, in words; others are told of it, too."""
        if isinstance(error, LogFault):
            return error
        fault: TableFault = self.data.damaged(partition, error)
        self.on_fault(fault)
        return fault

    def write(self, partition: int, entries: Mapping[bytes, bytes | None], changelog_offset: int) -> None:
        """Apply what a transaction committed (None removes), and its last changelog record's offset. TableFault."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in entries.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.data.offset_key, str(changelog_offset).encode())
        batch.put(SEEN_KEY, b"%d" % int(time.time() * 1000))
        try:
            self.data._db_for_partition(partition).write(batch)
        except Exception as error:
            raise self._fault(partition, error) from error

    def position(self, partition: int) -> int | None:
        """The changelog's last record that is in the table; None when none is. TableFault."""
        found: int | None = self.data.persisted_offset(TP(self.changelog_name, partition))
        return found

    def misfit(self, tp: TP, persisted: int, last: int) -> str | None:
        """Why what is kept here, up to the changelog's record `persisted`, can't be gone on with, where the last record
        is `last`: goes on after "the table ...". None: it can, or it may be the last copy of what Kafka lacks."""
        if self.lineage is None:
            if self.is_view and persisted > last:
                return (
                    f"was built up to record {persisted} of {tp.topic}, which ends at {last}: it was made anew or cut"
                )
            return self._away(tp, persisted, last)
        if persisted > last:
            return (
                f"was built from the log up to record {persisted} of {tp.topic}, which now ends at {last}: the log is "
                "an older one, as a backup is"
            )
        try:
            if not self.lineage.continues(tp, None, persisted):
                return TOO_OLD
            if not self.lineage.continues(tp, self.entry(tp.partition, LIFE_KEY), persisted):
                return "was built from another log, or from records that this one lacks since it was restored"
            self.check_kept(tp.partition)
        except TableDamaged as fault:
            return f"is damaged ({fault.__cause__})"
        except LogFault as fault:
            return str(fault)
        except (ValueError, msgspec.MsgspecError) as error:
            return f"holds what can't be read ({error})"
        return None

    def _away(self, tp: TP, persisted: int, last: int) -> str | None:
        """Whether removals may have been forgotten that were written since."""
        away_s = self.away_s(tp.partition)
        if persisted >= last or away_s <= AWAY_S_MAX:
            return None
        return f"is {away_s / 3600:.0f} hours old: Kafka may have forgotten what was removed since"

    def away_s(self, partition: int) -> float:
        """How long ago the newest record in it was written; 0 when an earlier release did not note it. TableFault."""
        seen = self.entry(partition, SEEN_KEY)
        return 0.0 if seen is None else time.time() - int(seen) / 1000

    def look(self) -> None:
        """TableFault when files that are open were removed or replaced, beside their log: the next start mends it."""
        if self.lineage is not None:
            self.data.look()

    def put_aside(self, partition: int, why: str) -> None:
        """Keep the files of a partition under another name, and go on with none. why: see `misfit`."""
        self.data.put_aside(partition, why)
        self.kept.pop(partition, None)

    def take_doubts(self, partition: int, persisted: int | None, start: int) -> None:
        """Recovery begins behind the changelog record `persisted` (None: with nothing); the first there is is `start`.

        A compacted topic begins at 0, whatever was compacted: it begins later when somebody deleted its records. What
        is doubted is so until it is proven, whatever processes come and go meanwhile.
        """
        if persisted is None:
            self.kept.pop(partition, None)
        else:
            self.kept[partition] = persisted
            self.check_kept(partition)
        mark = self.entry(partition, MARK_KEY)
        if start > (0 if persisted is None else persisted + 1):
            mark = _TRIMMED
            self._note(partition, MARK_KEY, mark)
        if self.lineage is not None:
            self._note(partition, LIFE_KEY, self.lineage.life)
        if mark != _PROVEN:
            self.unproven.add(partition)
        if mark == _TRIMMED:
            self.trimmed.add(partition)

    def prove(self, partition: int) -> None:
        """All that must be there was found."""
        if partition in self.unproven:
            self._note(partition, MARK_KEY, _PROVEN)
        self.unproven.discard(partition)
        self.trimmed.discard(partition)

    def _note(self, partition: int, key: bytes, value: bytes) -> None:
        try:
            self.data._db_for_partition(partition).put(key, value)
        except Exception as error:
            raise self._fault(partition, error) from error

    @cached_property
    def changelog_name(self) -> str:
        """The topic that holds every entry."""
        name: str = self.changelog_topic.get_topic_name()
        return name

    def is_changelog(self, tp: TP) -> bool:
        """Whether a partition is one of this table's changelog."""
        return bool(tp.topic == self.changelog_name)
