"""Random histories of a cell, and the two ways to run one: through frames and the fold, and naively."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from hypothesis import strategies as st
from naive_reference import Closing, Effect, NaiveAccount, NaivePosition, Opening, Reference, Tick

from exness_streams.domain.account import AccountRow, Position
from exness_streams.domain.cell import Cell, Folded
from exness_streams.domain.commands import ClosePosition, Command, IdempotencyKey, OpenPosition
from exness_streams.domain.events import Event, PositionOpened
from exness_streams.domain.frames import FrameBuilder, PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.quotes import Quote
from exness_streams.domain.records import (
    QUOTE_PREFIX,
    ROW_PREFIX,
    JournalRecord,
    decode_quote,
    decode_record,
    decode_row,
    encode,
)
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.state_hash import state_hash

SYMBOLS = ("BTC_USDC", "ETH_USDC", "SOL_USDC")
ACCOUNTS = ("ann", "bob", "eve")
STARTING_BALANCE = Decimal(10_000)
POSITIONS_MAX = 5
AGELESS_MS = 10**15
"""Of the age of quotes the unit tests take care; a market at rest is framed less often than it ticks."""

TERMS = {
    "BTC_USDC": ("0", "0"),
    "ETH_USDC": ("0.001", "0.005"),
    "SOL_USDC": ("0.0007", "0"),
}
"""Fee rate and maintenance margin rate."""


class Move(NamedTuple):
    """One tick: prices in tenths, so that many of them touch a trigger exactly."""

    symbol: int
    middle: int
    spread: int
    has_bid: bool
    has_ask: bool


class Buy(NamedTuple):
    """An order to open, of either side."""

    account: int
    symbol: int
    long: bool
    margin: str
    leverage: str
    slippage: str | None


class Sell(NamedTuple):
    """An order to close the nth position ever opened (modulo their number), by its owner or a stranger."""

    account: int | None
    nth: int
    slippage: str | None


Action = list[Move] | Buy | Sell

moves = st.builds(
    Move,
    symbol=st.integers(0, len(SYMBOLS) - 1),
    # Mostly near 100, so that positions live a while; sometimes a gap.
    middle=st.one_of(st.integers(980, 1020), st.integers(980, 1020), st.integers(900, 1100), st.integers(3, 4000)),
    spread=st.integers(0, 2),
    has_bid=st.integers(0, 9).map(bool),
    has_ask=st.integers(0, 9).map(bool),
)
batches = st.lists(moves, min_size=3, max_size=12)
buys = st.builds(
    Buy,
    account=st.integers(0, len(ACCOUNTS) - 1),
    symbol=st.integers(0, len(SYMBOLS) - 1),
    long=st.booleans(),
    margin=st.sampled_from(["250", "777.000000015", "1", "3000", "9999.99999999", "10001", "0.5"]),
    leverage=st.sampled_from(["50", "99", "20", "100", "7.5", "3", "1", "70", "101"]),
    slippage=st.sampled_from([None, None, "0", "1"]),
)
sells = st.builds(
    Sell,
    account=st.sampled_from([None, None, None, 0]),
    nth=st.integers(0, 30),
    slippage=st.sampled_from([None, None, "1"]),
)


def first_batch(symbol: int) -> st.SearchStrategy[list[Move]]:
    """Gives a symbol a price, so that most orders fill."""
    return moves.map(lambda move: [move._replace(symbol=symbol, middle=1000, has_bid=True, has_ask=True)])


histories = st.tuples(
    st.tuples(*map(first_batch, range(len(SYMBOLS)))),
    st.lists(st.one_of(buys, batches, buys, batches, sells), min_size=8, max_size=30),
).map(lambda parts: [*parts[0], *parts[1]])


def quote_of(move: Move, nth: int) -> Quote:
    middle = Decimal(move.middle)
    return Quote(
        sequence=nth,
        time_ms=nth,
        price=middle / 10,
        bid=(middle - move.spread) / 10 if move.has_bid and move.middle > move.spread else None,
        ask=(middle + move.spread) / 10 if move.has_ask else None,
    )


def fraction(amount: Decimal | str | None) -> Fraction | None:
    return None if amount is None else Fraction(amount)


def tick_of(symbol: str, quote: Quote) -> Tick:
    return Tick(symbol, fraction(quote.bid), fraction(quote.ask), Fraction(quote.price))


class Run:
    """A cell fed by a history through frames. Checks after every record what always has to hold.

    cut_every: ticks per frame. echoes: after the kth frame, the echoes[k]th newest frame comes once more (0: none).
    """

    def __init__(self, cut_every: int = 1_000, echoes: Sequence[int] = (0,)) -> None:
        self.store: dict[bytes, bytes] = {}
        self.cell = Cell(0, self.store.get)
        self.journal: list[JournalRecord] = []
        self.inputs: list[Command | list[tuple[str, Quote]]] = []
        self.effects: list[Effect | str] = []
        self.births: dict[str, int] = {}
        self.remembered: list[Command] = []
        self._owners: list[str] = []
        self._builder = FrameBuilder()
        self._cut_every = cut_every
        self._echoes = echoes
        self._frames: list[PriceFrame] = []
        self._ticks = 0

    def play(self, history: Iterable[Action]) -> Run:
        for action in history:
            if isinstance(action, list):
                for start in range(0, len(action), self._cut_every):
                    self._feed(action[start : start + self._cut_every])
                continue
            nth = sum(not isinstance(item, list) for item in self.inputs)
            command = buy_command(action, nth) if isinstance(action, Buy) else self._sell_command(action, nth)
            self.inputs.append(command)
            self.apply(command)
        return self

    def _feed(self, batch: list[Move]) -> None:
        first = self._ticks + 1
        self._ticks += len(batch)
        group = [(SYMBOLS[move.symbol], quote_of(move, nth)) for nth, move in enumerate(batch, first)]
        self.inputs.append(group)
        for symbol, quote in group:
            self._builder.add(symbol, quote)
        frame = self._builder.cut(self._ticks)
        if frame is None:
            return
        self.apply(frame)
        self._frames.append(frame)
        back = self._echoes[len(self._frames) % len(self._echoes)]
        if 0 < back <= len(self._frames):
            assert not self.apply(self._frames[-back]).events
            for symbol, quote in group:  # and as after a restart: one tick a frame
                assert not self.apply(PriceFrame(self._ticks, (SymbolFrame(symbol, quote),))).events

    def apply(self, record: JournalRecord) -> Folded:
        """Fold one record as it comes out of the log."""
        folded = self.cell.fold(self.cell.next_offset, decode_record(encode(record)))
        self.journal.append(record)
        for event in folded.events:
            if isinstance(event, PositionOpened):
                self.births[event.position_id] = len(self.births)
                self._owners.append(event.account_id)
            self.effects.append(effect_of(event, self.births[event.position_id]))
        outcome = None if folded.reply is None else folded.reply.outcome
        if isinstance(outcome, Rejection):
            self.effects.append(outcome.code.value)
        if not isinstance(record, PriceFrame) and record.idempotency is not None and not is_transient(outcome):
            self.remembered.append(record)
        for account in ACCOUNTS:
            row = self.cell.account(account)
            assert row is None or (row.is_conserved and row.cash >= 0 and row.balance >= 0)
        return folded

    def _sell_command(self, sell: Sell, nth: int) -> ClosePosition:
        names = list(self.births)
        birth = sell.nth % len(names) if names else None
        owner = ACCOUNTS[0] if birth is None else self._owners[birth]
        return ClosePosition(
            command_id=f"c{nth}",
            account_id=owner if sell.account is None else ACCOUNTS[sell.account],
            time_ms=nth,
            starting_balance=STARTING_BALANCE,
            quote_age_ms_max=AGELESS_MS,
            idempotency=key_of(nth),
            position_id="pos_0_none" if birth is None else names[birth],
            reference_price=Decimal(100),
            slippage_percent=None if sell.slippage is None else Decimal(sell.slippage),
        )

    def commit(self) -> None:
        for key, value in self.cell.pending.items():
            if value is None:
                self.store.pop(key, None)
            else:
                self.store[key] = value
        self.cell.committed()

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
            positions = {self.births[name]: self._naive(position) for name, position in row.positions.items()}
            account = NaiveAccount(
                Fraction(row.cash), Fraction(row.realized_pnl), Fraction(row.fees), row.sequence, positions
            )
            if account.events:
                found[row.account_id] = account
        return found

    def _naive(self, position: Position) -> NaivePosition:
        return NaivePosition(
            self.births[position.position_id],
            position.symbol,
            position.side == "long",
            Fraction(position.margin),
            Fraction(position.quantity),
            Fraction(position.entry_price),
            Fraction(position.liquidation_price),
            Fraction(position.fee_rate),
        )


def is_transient(outcome: object) -> bool:
    """Refused for now only: the key stays free for another try."""
    return isinstance(outcome, Rejection) and outcome.code is RejectionCode.PRICE_UNAVAILABLE


def loaded_cell(next_offset: int, entries: dict[bytes, bytes]) -> Cell:
    """A cell of a new process, started from committed entries."""
    cell = Cell(0, entries.get)
    rows = [decode_row(value) for key, value in sorted(entries.items()) if key.startswith(ROW_PREFIX)]
    prefix = len(QUOTE_PREFIX)
    quotes = [(k[prefix:].decode(), decode_quote(v)) for k, v in entries.items() if k.startswith(QUOTE_PREFIX)]
    cell.load(next_offset, rows, quotes)
    return cell


def key_of(nth: int) -> IdempotencyKey | None:
    """A third of the commands are keyed, each with a key of its own."""
    return IdempotencyKey(f"key-{nth}", "body") if nth % 3 == 0 else None


def buy_command(buy: Buy, nth: int) -> OpenPosition:
    symbol = SYMBOLS[buy.symbol]
    fee_rate, maintenance = TERMS[symbol]
    return OpenPosition(
        command_id=f"c{nth}",
        account_id=ACCOUNTS[buy.account],
        time_ms=nth,
        starting_balance=STARTING_BALANCE,
        quote_age_ms_max=AGELESS_MS,
        limits=Limits(open_positions_max=POSITIONS_MAX),
        idempotency=key_of(nth),
        asset=symbol,
        terms=Terms(
            symbol=symbol,
            leverage_max=Decimal(100),
            margin_min=Decimal(1),
            fee_rate=Decimal(fee_rate),
            maintenance_margin_rate=Decimal(maintenance),
        ),
        side="long" if buy.long else "short",
        margin=Decimal(buy.margin),
        leverage=Decimal(buy.leverage),
        reference_price=Decimal(100),
        slippage_percent=None if buy.slippage is None else Decimal(buy.slippage),
    )


def effect_of(event: Event, birth: int) -> Effect:
    if isinstance(event, PositionOpened):
        kind, price, amount = "opened", event.entry_price, event.quantity
    else:
        kind, price, amount = event.reason, event.close_price, event.realized_pnl
    return Effect(
        event.account_id,
        event.sequence,
        kind,
        birth,
        Fraction(price),
        Fraction(amount),
        Fraction(event.fee),
        Fraction(event.balance),
    )


def naive_run(run: Run) -> tuple[Reference, list[Effect | str]]:
    """What a run was given, through the reference: the ticks of each frame one by one, as they came."""
    reference = Reference(Fraction(STARTING_BALANCE), POSITIONS_MAX)
    effects: list[Effect | str] = []
    births = 0
    for item in run.inputs:
        if isinstance(item, list):
            for symbol, quote in item:
                effects.extend(reference.tick(tick_of(symbol, quote)))
        elif isinstance(item, OpenPosition):
            outcome = reference.open(opening_of(item), births)
            births += isinstance(outcome, Effect)
            effects.append(outcome)
        else:
            birth = run.births.get(item.position_id, -1)
            percent = fraction(item.slippage_percent)
            effects.append(reference.close(Closing(item.account_id, birth, fraction(item.reference_price), percent)))
    return reference, effects


def opening_of(command: OpenPosition) -> Opening:
    return Opening(
        command.account_id,
        command.terms.symbol,
        command.side == "long",
        Fraction(command.margin),
        Fraction(command.leverage),
        fraction(command.reference_price),
        fraction(command.slippage_percent),
        Fraction(command.terms.fee_rate),
        Fraction(command.terms.maintenance_margin_rate),
    )
