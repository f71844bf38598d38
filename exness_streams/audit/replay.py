"""Folding a cell's journal again, away from the running cell: for the audits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exness_streams.audit.checkpoints import record_digest
from exness_streams.domain import codec
from exness_streams.domain.canonical_entries import is_same
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import JournalRepaired
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.repairs import Unreadable, covers, read_record

WORDS_MAX = 200

APPLY_ENTRIES = 1_000
"""So many changed entries are gathered before they are applied: most are changed again at once."""


class Replay:
    """A cell's entries, moved on from record to record. `entries` is the caller's to give, and changed here.

    Without the Meta, which belongs to a transaction and not to a record; what the one given says is taken over.
    began_after: the digest of the record before `began_at`, where it is known.
    """

    def __init__(self, partition: int, began_at: int, entries: dict[bytes, bytes], began_after: str = "") -> None:
        self.partition = partition
        self.began_at = began_at
        self.entries = entries
        self.last_value: bytes | None = None
        self._began_after = began_after
        self._repair: JournalRepaired | None = None
        known = entries.pop(codec.META_KEY, None)
        self._cell = Cell(partition, entries.get)
        rows = [codec.decode_row(value) for key, value in entries.items() if key.startswith(codec.ROW_PREFIX)]
        quotes = {
            key.removeprefix(codec.QUOTE_PREFIX).decode(): codec.decode_quote(value)
            for key, value in entries.items()
            if key.startswith(codec.QUOTE_PREFIX)
        }
        access = [
            codec.decode_access_row(value) for key, value in entries.items() if key.startswith(codec.ACCESS_PREFIX)
        ]
        meta = None if known is None else codec.decode_meta(known)
        self._cell.load(began_at, rows, quotes.items(), access, meta)
        self._rewound_to: codec.Meta | None = None

    @property
    def next_offset(self) -> int:
        """The journal's record that is to be folded next."""
        return self._cell.next_offset

    @property
    def meta(self) -> codec.Meta:
        """What the cell says of itself at the record that `entries` stand at."""
        return self._rewound_to or self._cell.meta

    def rewound(self, meta: codec.Meta, last_value: bytes | None) -> None:
        """`entries` were brought back to where the cell said this of itself. Nothing is folded any more."""
        self._rewound_to, self.last_value = meta, last_value

    @property
    def last_record(self) -> str:
        """The digest of the record folded last, "" when it is unknown."""
        return self._began_after if self.last_value is None else record_digest(self.last_value)

    def fold(self, offset: int, value: bytes | None) -> None:
        """Fold one record; its effect is in `entries` after the next `apply`. Unreadable, and nothing was changed;
        ValueError when it can't be folded."""
        self._cell.fold(offset, read_record(self.partition, self._cell.rules, offset, value))
        self.last_value = value
        if len(self._cell.pending_keys) > APPLY_ENTRIES:
            self.apply()

    def pass_over(self, offset: int) -> None:
        """The journal has no record before this offset that was not folded."""
        if offset > self._cell.next_offset:
            self._cell.pass_over(offset)

    def known_repair(self, fault: Unreadable) -> JournalRepaired | None:
        """The one that gave up the last such record, if this is another of its run."""
        known = self._repair
        return known if known is not None and covers(known, fault.first) else None

    def give_up(self, fault: Unreadable, repair: JournalRepaired, tell: Callable[[str], None]) -> None:
        """Pass over a record that can't be read, which a later one gives up. That is told."""
        self._repair = repair
        self._cell.give_up(fault.end)
        self.last_value = fault.value or b""
        who, why = in_one_line(repair.operator, WORDS_MAX), in_one_line(repair.reason, WORDS_MAX)
        tell(f"cell {self.partition}: journal record {fault.first} can't be read; {who} gave it up: {why}")

    def apply(self) -> dict[bytes, bytes | None]:
        """Bring `entries` up to the last record. Returns what they held before, by key, None for what was not there."""
        before: dict[bytes, bytes | None] = {}
        for key, value in self._cell.pending.items():
            before[key] = self.entries.get(key)
            put(self.entries, key, value)
        self._cell.committed()
        return before


class StateSearch:
    """Where a replay that goes on gives a certain state, and if it never does, where it came nearest."""

    def __init__(self, replay: Replay, wanted: Mapping[bytes, bytes]) -> None:
        self._replay = replay
        self._wanted = wanted
        replay.apply()
        entries = replay.entries
        keys = entries.keys() | wanted.keys()
        self._differing = {key for key in keys if not is_same(key, entries.get(key), wanted.get(key))}
        self._differing_least = len(self._differing)
        self._meta, self._last_value = replay.meta, replay.last_value
        self._since: dict[bytes, bytes | None] = {}

    @property
    def offset(self) -> int:
        """The journal's record before which the state came nearest."""
        return self._meta.next_offset

    @property
    def is_found(self) -> bool:
        """Whether the state at `offset` is the one that is wanted."""
        return self._differing_least == 0

    def fold(self, offset: int, value: bytes | None) -> None:
        """Go on by one record. ValueError as Replay's."""
        replay = self._replay
        replay.fold(offset, value)
        for key, former in replay.apply().items():
            self._since.setdefault(key, former)
            if is_same(key, replay.entries.get(key), self._wanted.get(key)):
                self._differing.discard(key)
            else:
                self._differing.add(key)
        if len(self._differing) < self._differing_least:
            self._differing_least = len(self._differing)
            self._meta, self._last_value = replay.meta, replay.last_value
            self._since.clear()

    def rewind(self) -> None:
        """Bring the replay's entries back to those at `offset`. The search ends with this."""
        for key, former in self._since.items():
            put(self._replay.entries, key, former)
        self._replay.rewound(self._meta, self._last_value)
        self._since.clear()


def put(entries: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    """Set an entry, or remove it: None is a tombstone."""
    if value is None:
        entries.pop(key, None)
    else:
        entries[key] = value
