"""Money in histories: whatever an account did, its trades, its open fees and its deposits give its balance."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from exness_streams.domain import account_history
from exness_streams.domain.account import AccountRow, new_account
from exness_streams.domain.account_history import HistoryHead, Trade, decode_head, decode_point, decode_trade
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import decode_event, decode_row, encode, row_key
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    Deposit,
    OpenPosition,
    PlaceOrder,
    ResetAccount,
)
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.money import ZERO, money_arithmetic
from exness_streams.domain.quotes import Quote

ACCOUNTS = ("ann", "bob")
START = Decimal(10_000)
SYMBOL = "SOL_USDC"
TERMS = Terms(
    symbol=SYMBOL,
    leverage_max=Decimal(100),
    margin_min=Decimal(1),
    fee_rate=Decimal("0.00137"),
    maintenance_margin_rate=Decimal("0.004"),
)

sides = st.sampled_from(["long", "short"])
margins = st.decimals("1", "3000", places=3)
leverages = st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(20), Decimal(90)])
ticks = st.tuples(st.just("tick"), st.decimals("60", "140", places=2))
actions = st.one_of(
    ticks,
    ticks,
    st.tuples(st.just("open"), sides, margins, leverages),
    st.tuples(st.just("open"), sides, margins, leverages),
    st.tuples(st.just("close"), st.integers(0, 9), st.sampled_from(["0.1", "33.333", "50", "99.9", "100"])),
    st.tuples(st.just("close"), st.integers(0, 9), st.sampled_from(["0.1", "33.333", "50", "99.9", "100"])),
    st.tuples(st.just("place"), sides, margins, leverages, st.decimals("70", "130", places=1)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("deposit"), st.decimals("0.00000001", "5000", places=8)),
    st.just(("all",)),
    st.just(("reset",)),
)
histories = st.lists(st.tuples(st.sampled_from(ACCOUNTS), actions), min_size=12, max_size=60)


class Book:
    """A cell, and the histories that its events make."""

    def __init__(self) -> None:
        self.cell = Cell(0, lambda key: None)
        self.entries: dict[bytes, bytes] = {}
        self.kinds: set[str] = set()
        self._tick = 0
        self.tick(Decimal(100))

    def play(self, history: list[Any]) -> Book:
        for account_id, (kind, *values) in history:
            if kind == "tick":
                self.tick(*values)
            elif (command := self._command(account_id, kind, values)) is not None:
                self.fold(command)
        return self

    def tick(self, price: Decimal) -> None:
        self._tick += 1
        quote = Quote(self._tick, self._tick, price, price - Decimal("0.05"), price + Decimal("0.05"))
        self.fold(PriceFrame(self._tick, (SymbolFrame(SYMBOL, quote),)))

    def fold(self, record: Command | PriceFrame) -> None:
        for event in self.cell.fold(self.cell.next_offset, record).events:
            self.kinds.add(getattr(event, "reason", type(event).__name__))
            if getattr(event, "remaining", None) is not None:
                self.kinds.add("part")
            entries: dict[bytes, bytes | None] = {}
            read = decode_event(encode(event))
            assert account_history.fold_event(self.head(event.account_id), read, entries).sequence == event.sequence
            for key, value in entries.items():
                if value is None:
                    del self.entries[key]
                else:
                    self.entries[key] = value

    def _command(self, account_id: str, kind: str, values: list[Any]) -> Command | None:
        base: dict[str, Any] = {
            "command_id": "c",
            "account_id": account_id,
            "time_ms": self._tick,
            "starting_balance": START,
            "quote_age_ms_max": 1 << 40,
            "limits": Limits(open_max=8),
            "idempotency": None,
        }
        row = self.row(account_id)
        match kind:
            case "open":
                side, margin, leverage = values
                return OpenPosition(**base, asset="SOL", terms=TERMS, side=side, margin=margin, leverage=leverage)
            case "close" if row.positions:
                nth, percentage = values
                name = list(row.positions)[nth % len(row.positions)]
                return ClosePosition(**base, position_id=name, percentage=Decimal(percentage))
            case "place":
                side, margin, leverage, price = values
                now = self.cell.quotes[SYMBOL].price
                kind = "limit" if (price < now) == (side == "long") else "stop"
                held: dict[str, Any] = {"asset": "SOL", "terms": TERMS, "side": side, "margin": margin}
                return PlaceOrder(**base, **held, leverage=leverage, kind=kind, price=price)
            case "cancel" if row.orders:
                return CancelOrder(**base, order_id=list(row.orders)[values[0] % len(row.orders)])
            case "deposit":
                return Deposit(**base, amount=values[0])
            case "all":
                return CloseAllPositions(**base)
            case "reset":
                return ResetAccount(**base)
        return None

    def row(self, account_id: str) -> AccountRow:
        stored = self.cell.pending.get(row_key(account_id))
        return new_account(account_id, START) if stored is None else decode_row(stored)

    def head(self, account_id: str) -> HistoryHead:
        stored = self.entries.get(account_history.head_key(account_id))
        return HistoryHead() if stored is None else decode_head(stored)

    def trades(self, account_id: str) -> list[Trade]:
        head = self.head(account_id)
        numbers = range(head.trades_from, head.trades.end)
        return [decode_trade(self.entries[account_history.trade_key(account_id, number)]) for number in numbers]

    def balances(self, account_id: str) -> list[Decimal]:
        head = self.head(account_id)
        numbers = range(head.points_from, head.points.end)
        return [decode_point(self.entries[account_history.point_key(account_id, number)]).balance for number in numbers]


@settings(max_examples=examples(300), deadline=None)
@given(histories)
def test_a_history_sums_to_the_balance(history: list[Any]) -> None:
    book = Book()
    for step in history:
        book.play([step])
        for account_id in ACCOUNTS:
            _check(book, account_id)


def _check(book: Book, account_id: str) -> None:
    row, closed = book.row(account_id), book.trades(account_id)
    assert book.head(account_id).sequence == row.sequence
    with money_arithmetic():
        realized = sum((trade.realized_pnl for trade in closed), ZERO)
        paid = sum((trade.fee for trade in closed), ZERO)
        still_open = sum((position.fee for position in row.positions.values()), ZERO)
        assert row.starting_balance + row.deposited + realized - paid - still_open == row.balance
    balances = book.balances(account_id)
    if row.sequence:
        assert balances[-1] == row.balance
    assert all(one != other for one, other in pairwise(balances))
    assert len({trade.trade_id for trade in closed}) == len(closed)


@settings(max_examples=examples(100), deadline=None)
@given(histories, st.integers(1, 4))
def test_a_history_keeps_its_newest(history: list[Any], kept: int) -> None:
    whole = Book().play(history)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_history, "TRADES_KEPT", kept)
        patch.setattr(account_history, "POINTS_KEPT", kept)
        short = Book().play(history)
        for account_id in ACCOUNTS:
            assert short.trades(account_id) == whole.trades(account_id)[-kept:]
            assert short.balances(account_id) == whole.balances(account_id)[-kept:]


def test_the_histories_get_somewhere() -> None:
    """A guard on the strategies."""
    kinds: set[str] = set()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(histories)
    def count(history: list[Any]) -> None:
        kinds.update(Book().play(history).kinds)

    count()
    wanted = {"manual", "liquidation", "part", "AccountReset", "Deposited", "OrderPlaced", "OrderFilled", "client"}
    assert wanted <= kinds, kinds
