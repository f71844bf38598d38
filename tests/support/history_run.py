"""A random history through frames and the fold. naive_view.py takes it through the naive reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
from naive_rules import Effect, NaiveAccount, NaiveOrder, NaivePosition
from naive_view import Ticks, check_row, close_all_text, fraction, item_of, naive_order, naive_position, told
from random_histories import (
    ACCOUNTS,
    SYMBOLS,
    Buy,
    Cancel,
    CloseAll,
    Modify,
    Move,
    Order,
    Pay,
    Reset,
    Sell,
    Timed,
    Wait,
    price_at,
    quote_of,
    stop_price,
    take_price,
    terms_of,
)

from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell, Folded
from exness_streams.domain.codec import (
    QUOTE_PREFIX,
    ROW_PREFIX,
    JournalRecord,
    PositionsClosed,
    decode_quote,
    decode_record,
    decode_row,
    encode,
)
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    Deposit,
    IdempotencyKey,
    ModifyPosition,
    OpenPosition,
    PlaceOrder,
    ResetAccount,
)
from exness_streams.domain.events import Event, OrderPlaced, PositionOpened
from exness_streams.domain.frames import FrameBuilder, PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.state_hash import state_hash

STARTING_BALANCE = Decimal(10_000)
OPEN_MAX = 5
EXPOSURE_MAX = Decimal(100_000)
AGELESS_MS = 10**15
"""Of the age of quotes the unit tests take care; a market at rest is framed less often than it ticks."""


class Run:
    """A cell fed by a history through frames. Checks after every record what always has to hold.

    cut_every: ticks per frame. echoes: after the kth frame, the echoes[k]th newest frame comes once more (0: none).
    Positions and orders are known by the number of the command that gave birth to them.
    """

    def __init__(self, cut_every: int = 1_000, echoes: Sequence[int] = (0,)) -> None:
        self.store: dict[bytes, bytes] = {}
        self.cell = Cell(0, self.store.get)
        self.journal: list[JournalRecord] = []
        self.inputs: list[Command | Ticks] = []
        self.effects: list[Effect | str] = []
        self.remembered: list[Command] = []
        self._commands = 0
        self._births: dict[int, int] = {}
        self._items: dict[str, tuple[str, str]] = {}
        self._now_ms = 0
        self._builder = FrameBuilder()
        self._cut_every = cut_every
        self._echoes = echoes
        self._frames: list[PriceFrame] = []
        self._ticks = 0

    def play(self, history: Iterable[Timed]) -> Run:
        for after_ms, action in history:
            self._now_ms += after_ms
            if isinstance(action, list):
                for start in range(0, len(action), self._cut_every):
                    self._feed(action[start : start + self._cut_every])
                continue
            command = self._command(action)
            self.inputs.append(command)
            self.apply(command)
        return self

    def _feed(self, batch: list[Move]) -> None:
        first = self._ticks + 1
        self._ticks += len(batch)
        group = [(SYMBOLS[move.symbol], quote_of(move, nth)) for nth, move in enumerate(batch, first)]
        for symbol, quote in group:
            self._builder.add(symbol, quote)
        frame = self._builder.cut(self._now_ms)
        self.inputs.append(Ticks(None if frame is None else frame.time_ms, group))
        if frame is None:
            return
        self.apply(frame)
        self._frames.append(frame)
        back = self._echoes[len(self._frames) % len(self._echoes)]
        if 0 < back <= len(self._frames):
            # The market agent's clock goes on, so an echo has the newest time, whatever it holds.
            assert not self.apply(msgspec.structs.replace(self._frames[-back], time_ms=self._now_ms)).events
            for symbol, quote in group:  # and as after a restart: one tick a frame
                assert not self.apply(PriceFrame(self._now_ms, (SymbolFrame(symbol, quote),))).events

    def apply(self, record: JournalRecord) -> Folded:
        """Fold one record as it comes out of the log."""
        if not isinstance(record, PriceFrame | RawFrame):
            self._births[self.cell.next_offset] = self._commands
            self._commands += 1
        folded = self.cell.fold(self.cell.next_offset, decode_record(encode(record)))
        self.journal.append(record)
        for event in folded.events:
            if isinstance(event, PositionOpened | OrderPlaced):
                self._items[item_of(event)] = (event.account_id, event.side)
            self.effects.append(self._effect(event))
        outcome = None if folded.reply is None else folded.reply.outcome
        if isinstance(outcome, Rejection):
            self.effects.append(outcome.code.value)
        if isinstance(outcome, PositionsClosed):
            self.effects.append(close_all_text([result.outcome for result in outcome.results]))
        if (
            not isinstance(record, PriceFrame | RawFrame)
            and record.idempotency is not None
            and not is_transient(outcome)
        ):
            self.remembered.append(record)
        for row in filter(None, map(self.cell.account, ACCOUNTS)):
            check_row(row)
        return folded

    # Commands

    def _command(self, action: Order) -> Command:
        if isinstance(action, Buy):
            return OpenPosition(**self._base(action.account), **self._opening(action), **guard(action.slippage))
        if isinstance(action, Wait):
            return self._place(action)
        if isinstance(action, CloseAll):
            return CloseAllPositions(**self._base(action.account))
        if isinstance(action, Pay):
            return Deposit(**self._base(action.account), amount=Decimal(action.amount))
        if isinstance(action, Reset):
            return ResetAccount(**self._base(action.account))
        return self._change(action)

    def _place(self, wait: Wait) -> PlaceOrder:
        waits_below = wait.buy.long == wait.is_limit
        entry = -wait.price if waits_below else wait.price
        fields = self._opening(wait.buy)
        for name in ("stop_loss", "take_profit"):  # as far from the entry as a market order's from 100
            if fields[name] is not None:
                fields[name] += Decimal(entry) / 10
        return PlaceOrder(
            **self._base(wait.buy.account),
            **fields,
            kind="limit" if wait.is_limit else "stop",
            price=price_at(entry),
            expires_ms=None if wait.expires_in is None else self._now_ms + wait.expires_in,
        )

    def _change(self, action: Sell | Modify | Cancel) -> Command:
        name = self._pick(action)
        owner, side = self._items.get(name, (ACCOUNTS[0], "long"))
        base = self._base(ACCOUNTS.index(owner) if action.account is None else action.account)
        if isinstance(action, Cancel):
            return CancelOrder(**base, order_id=name)
        if isinstance(action, Sell):
            part: dict[str, Any] = {} if action.part is None else {action.part[0]: Decimal(action.part[1])}
            return ClosePosition(**base, position_id=name, **guard(action.slippage), **part)
        long = side == "long"
        return ModifyPosition(
            **base,
            position_id=name,
            stop_loss=msgspec.UNSET if action.stop is None else stop_price(long, action.stop or None),
            take_profit=msgspec.UNSET if action.take is None else take_price(long, action.take or None),
        )

    def _pick(self, action: Sell | Modify | Cancel) -> str:
        prefix = "ord_" if isinstance(action, Cancel) else "pos_"
        names = [name for name in self._items if name.startswith(prefix)]
        if not action.any_ever:
            live = {name for row in self.rows() for name in (*row.positions, *row.orders)}
            names = [name for name in names if name in live]
        return names[action.nth % len(names)] if names else f"{prefix}0_none"

    def _base(self, account: int) -> dict[str, Any]:
        return {
            "command_id": f"c{self._commands}",
            "account_id": ACCOUNTS[account],
            "time_ms": self._now_ms,
            "starting_balance": STARTING_BALANCE,
            "quote_age_ms_max": AGELESS_MS,
            "limits": Limits(open_max=OPEN_MAX, exposure_max=EXPOSURE_MAX),
            "idempotency": IdempotencyKey(f"key-{self._commands}", "body") if self._commands % 3 == 0 else None,
        }

    def _opening(self, buy: Buy) -> dict[str, Any]:
        symbol = SYMBOLS[buy.symbol]
        return {
            "asset": symbol,
            "terms": terms_of(symbol),
            "side": "long" if buy.long else "short",
            "margin": Decimal(buy.margin),
            "leverage": Decimal(buy.leverage),
            "stop_loss": stop_price(buy.long, buy.stop),
            "take_profit": take_price(buy.long, buy.take),
        }

    # What has become of it

    def commit(self) -> None:
        settle(self.store, self.cell)

    def entries(self) -> dict[bytes, bytes]:
        """Committed and pending together."""
        merged: dict[bytes, bytes | None] = {**self.store, **self.cell.pending}
        return {key: value for key, value in merged.items() if value is not None}

    def hash(self) -> str:
        return state_hash(self.entries().items())

    def rows(self) -> list[AccountRow]:
        return [decode_row(value) for key, value in self.entries().items() if key.startswith(ROW_PREFIX)]

    def accounts(self) -> dict[str, NaiveAccount]:
        """The rows in the terms of the reference. A refused keyed request leaves an account as new as it was."""
        found = {}
        for row in self.rows():
            if row.sequence:
                found[row.account_id] = NaiveAccount(
                    Fraction(row.cash),
                    Fraction(row.realized_pnl),
                    Fraction(row.fees),
                    row.sequence,
                    {
                        self.birth(name): naive_position(self.birth(name), position)
                        for name, position in row.positions.items()
                    },
                    {self.birth(name): naive_order(self.birth(name), order) for name, order in row.orders.items()},
                    Fraction(row.deposited),
                )
        return found

    def _positions(self, row: AccountRow) -> list[NaivePosition]:
        return [naive_position(self.birth(name), position) for name, position in row.positions.items()]

    def _orders(self, row: AccountRow) -> list[NaiveOrder]:
        return [naive_order(self.birth(name), order) for name, order in row.orders.items()]

    def birth(self, name: str) -> int:
        """Which command it came of; -1 for a name that never was."""
        number = name.rsplit("_", 1)[1]
        return self._births[int(number)] if number.isdecimal() else -1

    def _effect(self, event: Event) -> Effect:
        name = item_of(event)
        kind, price, amount, fee, rest = told(event)
        return Effect(
            event.account_id,
            event.sequence,
            kind,
            self.birth(name) if name else -1,
            Fraction(price),
            Fraction(amount),
            Fraction(fee),
            Fraction(event.balance),
            tuple(map(fraction, rest)),
        )


def guard(slippage: str | None) -> dict[str, Any]:
    return {"reference_price": Decimal(100), "slippage_percent": None if slippage is None else Decimal(slippage)}


def is_transient(outcome: object) -> bool:
    """Refused for now only: the key stays free for another try."""
    if isinstance(outcome, PositionsClosed):
        refused = [is_transient(result.outcome) for result in outcome.results]
        return bool(refused) and all(refused)
    return isinstance(outcome, Rejection) and outcome.code is RejectionCode.PRICE_UNAVAILABLE


def settle(entries: dict[bytes, bytes], cell: Cell) -> None:
    """Commit what is pending."""
    for key, value in cell.pending.items():
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
    cell.committed()


def loaded_cell(next_offset: int, entries: dict[bytes, bytes]) -> Cell:
    """A cell of a new process, started from committed entries."""
    cell = Cell(0, entries.get)
    rows = [decode_row(value) for key, value in sorted(entries.items()) if key.startswith(ROW_PREFIX)]
    prefix = len(QUOTE_PREFIX)
    quotes = [(k[prefix:].decode(), decode_quote(v)) for k, v in entries.items() if k.startswith(QUOTE_PREFIX)]
    cell.load(next_offset, rows, quotes)
    return cell
