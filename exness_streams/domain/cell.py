"""The cell: one partition of the journal with its accounts, and the fold that moves it from record to record.

The fold reads nothing but the record and the cell's own entries (rows, remembered outcomes, newest quotes),
so the same records give the same entries, byte for byte, in every process. What the fold changes stays in
`pending` until the caller has committed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from exness_streams.domain import records
from exness_streams.domain.account import AccountRow, Position, new_account
from exness_streams.domain.commands import ClosePosition, Command, OpenPosition
from exness_streams.domain.events import CloseReason, Event
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.quotes import Quote
from exness_streams.domain.records import KeyedOutcome, Outcome
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.trading import (
    Change,
    Moment,
    close_position,
    fill_close,
    open_position,
    position_not_found,
)
from exness_streams.domain.triggers import Fired, TriggerIndex, TriggerKind

OUTCOMES_REMEMBERED = 10_000
"""How many outcomes of keyed requests an account keeps; the oldest makes room for the newest."""

_REASONS: dict[TriggerKind, CloseReason] = {
    TriggerKind.LIQUIDATION: "liquidation",
    TriggerKind.STOP_LOSS: "stop_loss",
    TriggerKind.TAKE_PROFIT: "take_profit",
}

Fetch = Callable[[bytes], "bytes | None"]


class Reply(NamedTuple):
    """What the waiting client is told. repeated: the outcome is that of an earlier request with the same key."""

    command_id: str
    outcome: Outcome
    repeated: bool = False


class Folded(NamedTuple):
    """What one record did."""

    events: list[Event]
    reply: Reply | None = None


class Cell:
    """The state of one partition. Not for use from two threads."""

    def __init__(self, partition: int, fetch: Fetch) -> None:
        """fetch: reads a committed entry by its key, None when there is none."""
        self.partition = partition
        self.pending: dict[bytes, bytes | None] = {}
        self.quotes: dict[str, Quote] = {}
        self.triggers = TriggerIndex()
        self.next_offset = 0
        self._fetch = fetch
        self._rows: dict[str, AccountRow] = {}

    def load(self, next_offset: int, rows: Iterable[AccountRow], quotes: Iterable[tuple[str, Quote]]) -> None:
        """Start from committed entries: quotes and the trigger index are rebuilt, rows stay in the store.

        ValueError when a row comes from a record the journal no longer reaches.
        """
        self.next_offset = next_offset
        self.pending.clear()
        self._rows.clear()
        self.quotes = dict(quotes)
        self.triggers.load(self._positions(rows))

    def _positions(self, rows: Iterable[AccountRow]) -> Iterable[tuple[str, Position]]:
        for row in rows:
            if row.applied_offset >= self.next_offset:
                raise ValueError(
                    f"account {row.account_id} was made by journal record {row.applied_offset} of partition "
                    f"{self.partition}, but the journal is read only up to {self.next_offset}"
                )
            for position in row.positions.values():
                yield row.account_id, position

    def account(self, account_id: str) -> AccountRow | None:
        """The newest row of an account, committed or pending."""
        row = self._rows.get(account_id)
        if row is None:
            stored = self._fetch(records.row_key(account_id))
            row = None if stored is None else records.decode_row(stored)
        return row

    def remembered(self, account_id: str, key: str) -> KeyedOutcome | None:
        """What came of an earlier request of this account with this idempotency key."""
        stored = self._entry(records.outcome_key(account_id, key))
        return None if stored is None else records.decode_keyed_outcome(stored)

    def fold(self, offset: int, record: Command | PriceFrame) -> Folded:
        """Apply one record. ValueError when it is not the next one: a gap means records were lost on the way."""
        if offset != self.next_offset:
            raise ValueError(
                f"partition {self.partition}: expected record {self.next_offset} of the journal, got {offset}"
            )
        with money_arithmetic():
            if isinstance(record, PriceFrame):
                folded = self._fold_frame(offset, record)
            else:
                folded = self._fold_command(offset, record)
        self.next_offset = offset + 1
        return folded

    def committed(self) -> None:
        """The pending entries are in the log and in the store now."""
        self.pending.clear()
        self._rows.clear()

    # Frames

    def _fold_frame(self, offset: int, frame: PriceFrame) -> Folded:
        fired: list[Fired] = []
        for symbol_frame in frame.symbols:
            fired += self._fold_symbol(symbol_frame)
        events: list[Event] = []
        for crossing in sorted(fired):  # by tick, whatever its symbol
            events.append(self._fire(crossing, Moment(self.partition, offset, len(events), frame.time_ms)))
        return Folded(events)

    def _fold_symbol(self, frame: SymbolFrame) -> list[Fired]:
        known = self.quotes.get(frame.symbol)
        seen = -1 if known is None else known.sequence
        if frame.last.sequence <= seen:
            return []  # repeated or late: every tick of it has had its effect
        self.quotes[frame.symbol] = frame.last
        self.pending[records.quote_key(frame.symbol)] = records.encode(frame.last)
        return self.triggers.fired_by(frame, seen)

    def _fire(self, fired: Fired, moment: Moment) -> Event:
        row = self.account(fired.account_id)
        assert row is not None, f"trigger of an unknown account {fired.account_id}"
        position = row.positions[fired.position_id]
        change = fill_close(row, position, fired.price, _REASONS[fired.kind], moment)
        self._put_row(row, change.row, moment.offset)
        return change.event

    # Commands

    def _fold_command(self, offset: int, command: Command) -> Folded:
        row = self.account(command.account_id)
        if row is None:
            row = new_account(command.account_id, command.starting_balance)
        keyed = command.idempotency
        if keyed is not None:
            known = self.remembered(command.account_id, keyed.key)
            if known is not None:
                return Folded([], Reply(command.command_id, repeat_of(known, keyed.fingerprint), repeated=True))
        decided = self._decide(row, command, Moment(self.partition, offset, 0, command.time_ms))
        changed = decided.row if isinstance(decided, Change) else row
        outcome: Outcome = decided.event if isinstance(decided, Change) else decided
        if keyed is not None and not is_transient(outcome):
            self._remember(changed, keyed.key, KeyedOutcome(keyed.fingerprint, outcome))
            changed = msgspec.structs.replace(changed, outcomes=changed.outcomes + 1)
        if changed is not row:
            self._put_row(row, changed, offset)
        events = [decided.event] if isinstance(decided, Change) else []
        return Folded(events, Reply(command.command_id, outcome))

    def _decide(self, row: AccountRow, command: Command, moment: Moment) -> Change | Rejection:
        match command:
            case OpenPosition():
                return open_position(row, command, self.quotes.get(command.terms.symbol), moment)
            case ClosePosition():
                position = row.positions.get(command.position_id)
                if position is None:
                    return position_not_found(command.position_id)
                return close_position(row, command, self.quotes.get(position.symbol), moment)

    def _remember(self, row: AccountRow, key: str, outcome: KeyedOutcome) -> None:
        slot = records.outcome_slot_key(row.account_id, row.outcomes % OUTCOMES_REMEMBERED)
        oldest = self._entry(slot)
        if oldest is not None:
            self.pending[records.outcome_key(row.account_id, oldest.decode())] = None
        self.pending[slot] = key.encode()
        self.pending[records.outcome_key(row.account_id, key)] = records.encode(outcome)

    # Entries

    def _put_row(self, old: AccountRow, new: AccountRow, offset: int) -> None:
        new = msgspec.structs.replace(new, applied_offset=offset)
        for name, position in old.positions.items():
            if new.positions.get(name) is not position:
                self.triggers.remove(old.account_id, position)
        for name, position in new.positions.items():
            if old.positions.get(name) is not position:
                self.triggers.add(new.account_id, position)
        self._rows[new.account_id] = new
        self.pending[records.row_key(new.account_id)] = records.encode(new)

    def _entry(self, key: bytes) -> bytes | None:
        return self.pending[key] if key in self.pending else self._fetch(key)


def is_transient(outcome: Outcome) -> bool:
    """Whether the same request may fare better later: then its key is still free, and a repeat is tried anew."""
    return isinstance(outcome, Rejection) and outcome.code is RejectionCode.PRICE_UNAVAILABLE


def repeat_of(known: KeyedOutcome, fingerprint: str) -> Outcome:
    """The remembered outcome, or a conflict when the key now names another request."""
    if known.fingerprint == fingerprint:
        return known.outcome
    return Rejection(
        RejectionCode.IDEMPOTENCY_CONFLICT,
        "this Idempotency-Key was used for another request; use a new key for a new request",
        {"field": "Idempotency-Key"},
    )
