"""The cell: one partition of the journal with its accounts, and the fold that moves it from record to record.

The fold reads nothing but the record and the cell's own entries (rows, remembered outcomes, newest quotes),
so the same records give the same state, by the rules that the journal says, in every process and every release.
What the fold changes stays in `pending` until the caller has committed it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from exness_streams.domain import codec, identity, rules
from exness_streams.domain.access_rows import AccessRows
from exness_streams.domain.account import AccountRow, PendingOrder, new_account
from exness_streams.domain.checks import order_not_found, position_not_found
from exness_streams.domain.codec import KeyedOutcome, Outcome
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    Deposit,
    ModifyPosition,
    OpenPosition,
    PlaceOrder,
    ResetAccount,
    without_step,
)
from exness_streams.domain.events import Event
from exness_streams.domain.expiries import ExpiryIndex
from exness_streams.domain.folding import Folding
from exness_streams.domain.frame_fold import FrameFold, IgnoredFrame
from exness_streams.domain.frames import DayFigures, PriceFrame
from exness_streams.domain.funding import deposit, reset_account
from exness_streams.domain.identity import AccessCommand, AccessRow, Ended
from exness_streams.domain.market_states import MarketTold
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.orders import cancel_order, place_order
from exness_streams.domain.outcomes import Outcomes, by_rules, is_transient, repeat_of
from exness_streams.domain.positions import close_position, modify_position, open_position
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.several_changes import close_all, place
from exness_streams.domain.standing import Standing
from exness_streams.domain.transition import JournalPlace, Transition
from exness_streams.domain.triggers import Item, TriggerIndex

Fetch = Callable[[bytes], "bytes | None"]


class Reply(NamedTuple):
    """What the waiting client is told. repeated: the outcome is that of an earlier request with the same key."""

    command_id: str
    outcome: Outcome
    repeated: bool = False


class Folded(NamedTuple):
    """What one record did. ended: credentials that are over since then. ignored: why a frame's ticks were not taken."""

    events: list[Event]
    reply: Reply | None = None
    ended: Ended | None = None
    ignored: IgnoredFrame | None = None


class Cell:
    """The state of one partition. Not for use from two threads."""

    def __init__(self, partition: int, fetch: Fetch) -> None:
        """fetch: reads a committed entry by its key, None when there is none."""
        self.partition = partition
        self._pending: dict[bytes, bytes | None] = {}
        self._unencoded: dict[bytes, AccountRow] = {}
        self.triggers = TriggerIndex()
        self.expiries = ExpiryIndex()
        self.standing = Standing()
        self.next_offset = 0
        self.rules = rules.FIRST
        self._accounts = self._taken = 0
        self._fetch = fetch
        self._rows: dict[str, AccountRow] = {}
        self._before: dict[str, AccountRow] = {}
        self._access = AccessRows(partition, self._pending, self._entry)
        self._outcomes = Outcomes(self._pending, self._entry)
        self._market = FrameFold(self.triggers, self.expiries, self.standing, self._pending, self._settle)

    def load(
        self,
        next_offset: int,
        rows: Iterable[AccountRow],
        quotes: Iterable[tuple[str, Quote]],
        access: Iterable[AccessRow] = (),
        meta: codec.Meta | None = None,
    ) -> None:
        """Start from committed entries: quotes and the trigger index are rebuilt, rows stay in the store.

        meta: as committed with them; None when nothing was, or by a release that kept none.
        ValueError when a row comes from a record the journal no longer reaches, UnknownRules.
        """
        self.next_offset = next_offset
        self.rules = rules.FIRST if meta is None else meta.rules
        if self.rules > rules.NEWEST:
            raise rules.UnknownRules(self.partition, self.rules)
        self._accounts = self._taken = 0
        self._pending.clear()
        self._unencoded.clear()
        self._rows.clear()
        self._before.clear()
        self._market.load(quotes, meta)
        self._access.load(access, next_offset)
        items = list(self._items(rows))
        self.triggers.load(items)
        self.standing.load(items)
        self.expiries.load((account_id, item) for account_id, item in items if isinstance(item, PendingOrder))

    def _items(self, rows: Iterable[AccountRow]) -> Iterable[tuple[str, Item]]:
        for row in rows:
            if row.applied_offset >= self.next_offset:
                raise ValueError(
                    f"account {row.account_id} was made by journal record {row.applied_offset} of partition "
                    f"{self.partition}, but the journal is read only up to {self.next_offset}"
                )
            self._accounts += 1
            self._taken += row.applied_offset + 1
            for position in row.positions.values():
                yield row.account_id, position
            for order in row.orders.values():
                yield row.account_id, order

    @property
    def meta(self) -> codec.Meta:
        """What the entries, the pending ones included, say of themselves."""
        return codec.Meta(
            self.partition,
            self.next_offset,
            self._accounts,
            self._taken,
            access=self._access.count,
            access_taken=self._access.taken,
            rules=self.rules,
            now_ms=self._market.now_ms,
            framer_epoch=self._market.epoch,
            ticks_end=self._market.ticks_end,
            ticks_restarts=self._market.restarts,
            ticks_lost=self._market.is_lost,
            markets=tuple(self._market.markets.values()),
        )

    @property
    def pending(self) -> dict[bytes, bytes | None]:
        """The entries that have changed and are not committed. A row is encoded when it is asked for, as it is then:
        once, however many records have changed it."""
        while self._unencoded:
            self._encode(*self._unencoded.popitem())
        return self._pending

    @property
    def pending_keys(self) -> Collection[bytes]:
        """Of the pending entries, which are not encoded for it."""
        return self._pending.keys()

    @property
    def quotes(self) -> dict[str, Quote]:
        """The newest quote of each symbol."""
        return self._market.quotes

    @property
    def days(self) -> dict[str, DayFigures]:
        """The last 24 hours of symbols, as told since this cell is here."""
        return self._market.days

    @property
    def markets(self) -> dict[str, MarketTold]:
        """By symbol, those that are not open."""
        return self._market.markets

    @property
    def market_ms(self) -> int:
        """How far the market's time has come, by the clock of the ticks' owner; 0 by the first rules."""
        return self._market.now_ms if self.rules >= rules.TIME_BY_FRAMES else 0

    @property
    def source(self) -> str | None:
        """Where the newest prices come from, None before the first frame that says so."""
        return self._market.source

    @property
    def settings(self) -> str | None:
        """The digest of the settings of who makes the frames, None before the first that tells it."""
        return self._market.settings

    def account(self, account_id: str) -> AccountRow | None:
        """The newest row of an account, committed or pending."""
        row = self._rows.get(account_id)
        if row is None:
            stored = self._fetch(codec.row_key(account_id))
            row = None if stored is None else codec.decode_row(stored)
        return row

    def has(self, account_id: str) -> bool:
        """Whether an account has begun."""
        return account_id in self._rows or self._fetch(codec.row_key(account_id)) is not None

    def stored(self, account_id: str) -> bytes | None:
        """The newest row of an account as it is stored: the same bytes are the same row. None before its first one."""
        return self._entry(codec.row_key(account_id))

    def access(self, account_id: str) -> AccessRow | None:
        """The newest sessions and keys of an account, committed or pending; None when there never were any."""
        return self._access.row(account_id)

    def remembered(self, account_id: str, key: str) -> KeyedOutcome | None:
        """What came of an earlier request of this account with this idempotency key."""
        return self._outcomes.known(account_id, key)

    def fold(self, offset: int, record: codec.JournalRecord) -> Folded:
        """Apply one record. ValueError when it is not the next one: a gap means records were lost on the way."""
        if offset != self.next_offset:
            raise ValueError(
                f"partition {self.partition}: expected record {self.next_offset} of the journal, got {offset}"
            )
        if isinstance(record, codec.RulesChanged | codec.JournalRepaired):
            if isinstance(record, codec.RulesChanged):
                self.rules = rules.after_change(self.partition, self.rules, record.rules)
                self._market.outdate(record.epoch)
            self.next_offset = offset + 1
            return Folded([])
        with money_arithmetic():
            folding = Folding(self, offset, record.time_ms, self.rules)
            if self.rules < rules.TIME_BY_FRAMES:
                self._market.expire(folding, record.time_ms)
            reply = ended = ignored = None
            if isinstance(record, PriceFrame | RawFrame):
                ignored = self._market.fold(folding, record)
            elif isinstance(record, AccessCommand):
                reply = self._fold_access(folding, record)
                ended = identity.ended_by(reply.outcome, record.account_id)
            else:
                folding.caused_by = record.request_id or msgspec.UNSET
                folding.market_ms, folding.markets = self.market_ms, self.markets
                reply = self._fold_command(folding, record)
            self._settle()
        self.next_offset = offset + 1
        return Folded(folding.events, reply, ended, ignored)

    def pass_over(self, offset: int) -> None:
        """There is no record before this offset that was not folded. ValueError when it was folded itself."""
        if offset < self.next_offset:
            raise ValueError(f"partition {self.partition}: record {offset} of the journal was folded already")
        self.next_offset = offset

    def give_up(self, offset: int) -> None:
        """As pass_over, but there were records: frames perhaps, so that the next one may begin later than this cell
        knows of."""
        self.pass_over(offset)
        self._market.is_lost = True

    def committed(self) -> None:
        """The pending entries are where `fetch` reads them now, and will be in the log and in the store."""
        self._pending.clear()
        self._unencoded.clear()
        self._rows.clear()

    # Commands

    def _fold_access(self, folding: Folding, command: AccessCommand) -> Reply:
        row = self._access.row(command.account_id)
        if command.credential is not None:
            refused = identity.refused(row, command.credential, command.time_ms, trading=False)
            if refused is not None:
                return Reply(command.command_id, refused)
        row = row or AccessRow(account_id=command.account_id)
        changed = identity.change_access(row, command)
        if isinstance(changed, Rejection):
            return Reply(command.command_id, changed)
        self._access.put(row, changed[0], folding.offset)
        return Reply(command.command_id, changed[1])

    def _fold_command(self, folding: Folding, command: Command) -> Reply:
        if command.credential is not None:
            access = self._access.row(command.account_id)
            refused = identity.refused(access, command.credential, command.time_ms, trading=True)
            if refused is not None:
                return Reply(command.command_id, refused)
        row = folding.row_of(command.account_id)
        if row is None:
            row = new_account(command.account_id, command.starting_balance)
        keyed = command.idempotency
        if keyed is not None:
            known = self.remembered(command.account_id, keyed.key)
            if known is not None:
                return Reply(command.command_id, repeat_of(known, keyed), repeated=True)
        outcome = by_rules(self._decide(folding, row, command), self.rules)
        if keyed is not None and not is_transient(outcome):
            row = self.account(command.account_id) or row
            self._outcomes.remember(row, keyed.key, KeyedOutcome(keyed.fingerprint, outcome, keyed.version))
            self.put(row, msgspec.structs.replace(row, outcomes=row.outcomes + 1), folding.offset)
        return Reply(command.command_id, outcome)

    def _decide(self, folding: Folding, row: AccountRow, command: Command) -> Outcome:
        if self.rules < rules.QUANTITY_STEPS:
            command = without_step(command)
        if isinstance(command, CloseAllPositions):
            return close_all(folding, row, command, self.quotes)
        if isinstance(command, PlaceOrder) and self.rules >= rules.ORDERS_AT_MARKET:
            return place(folding, row, command, self.quotes)
        decided = self._change(row, command, folding.at)
        if isinstance(decided, Rejection):
            return decided
        folding.apply(row, decided)
        return decided.event

    def _change(self, row: AccountRow, command: Command, at: JournalPlace) -> Transition | Rejection:
        match command:
            case OpenPosition():
                return open_position(row, command, self.quotes.get(command.terms.symbol), at)
            case PlaceOrder():
                return place_order(row, command, self.quotes.get(command.terms.symbol), at)
            case ClosePosition() | ModifyPosition():
                return self._change_position(row, command, at)
            case CancelOrder():
                order = row.orders.get(command.order_id)
                if order is None:
                    return order_not_found(command.order_id)
                return cancel_order(row, order, "client", at)
            case Deposit():
                return deposit(row, command, at)
            case ResetAccount():
                return reset_account(row, command, at)
        raise TypeError(f"no such command: {command!r}")

    def _change_position(
        self, row: AccountRow, command: ClosePosition | ModifyPosition, at: JournalPlace
    ) -> Transition | Rejection:
        position = row.positions.get(command.position_id)
        if position is None:
            return position_not_found(command.position_id)
        quote = self.quotes.get(position.symbol)
        if isinstance(command, ClosePosition):
            return close_position(row, position, command, quote, at)
        return modify_position(row, position, command, quote, at)

    def put(self, old: AccountRow, new: AccountRow, offset: int) -> None:
        """Take a changed row, made by the record at `offset`. The entry and the indexes follow with `_settle`."""
        known = self._rows.get(new.account_id, old)  # `old` may be of the middle of a record
        self._accounts += known.applied_offset < 0
        self._taken += offset - known.applied_offset
        self._before.setdefault(new.account_id, known)
        self._rows[new.account_id] = msgspec.structs.replace(new, applied_offset=offset)

    def _settle(self) -> None:
        """Bring entries and indexes up to the rows: once for an account, however often a record changed it."""
        for account_id, old in self._before.items():
            new = self._rows[account_id]
            if old.positions is not new.positions:
                self._watch_changes(account_id, old.positions, new.positions)
            if old.orders is not new.orders:
                self._watch_changes(account_id, old.orders, new.orders)
                self.expiries.change(account_id, old.orders, new.orders)
            key = codec.row_key(account_id)
            self._pending[key] = None  # has its place; encoded once it is asked for
            self._unencoded[key] = new
        self._before.clear()

    def _watch_changes(self, account_id: str, old: Mapping[str, Item], new: Mapping[str, Item]) -> None:
        for name, item in old.items():
            if new.get(name) is not item:
                self.triggers.remove(account_id, item)
                self.standing.remove(account_id, item)
        for name, item in new.items():
            if old.get(name) is not item:
                self.triggers.add(account_id, item)
                self.standing.add(account_id, item)

    def _entry(self, key: bytes) -> bytes | None:
        if key in self._unencoded:
            self._encode(key, self._unencoded.pop(key))
        return self._pending[key] if key in self._pending else self._fetch(key)

    def _encode(self, key: bytes, row: AccountRow) -> None:
        self._pending[key] = codec.encode(row)
