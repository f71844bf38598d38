"""The largest records that a cell's transaction can hold: none is refused by a broker after its client was told."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.account import AccountRow, PendingOrder, Position, new_account
from exness_streams.domain.codec import CloseResult, KeyedOutcome, PositionsClosed
from exness_streams.domain.events import AccountReset, PositionClosed
from exness_streams.domain.identity import KEYS_MAX, SESSIONS_MAX
from exness_streams.domain.instruments import is_symbol
from exness_streams.domain.money import AMOUNT_MAX
from exness_streams.engine.committer import public_event
from exness_streams.settings.platform import Settings
from exness_streams.transport.kafka.topics import MESSAGE_BYTES_MIN

OPEN_MAX = max(limit.le for limit in Settings.model_fields["max_open"].metadata if hasattr(limit, "le"))
"""Positions and orders of one account, at the most that can be set."""

OVERHEAD = 1_000
"""Of a batch with one record: its header, the key, the record's own."""

SYMBOL = "A" * 64
ACCOUNT = "a" * 64
PRICE = Decimal("999999999999.123456789012345678")
MONEY = Decimal("999999999999.12345678")
GAIN = MONEY * 10**18
"""A price that rose from the lowest to the highest."""
QUANTITY = Decimal("9999999999999999999999999999.12345678")
RATE = Decimal("0.09999999")
EXACT = Decimal("99.123456789012345678")
LATE_MS = 253_402_300_799_999
SEQUENCE = 10**12


def position(number: int) -> Position:
    return Position(
        position_id=f"pos_255_{SEQUENCE + number}", symbol=SYMBOL, asset=SYMBOL, side="short", margin=MONEY,
        leverage=EXACT, quantity=QUANTITY, entry_price=PRICE, liquidation_price=PRICE, fee_rate=RATE,
        maintenance_margin_rate=RATE, fee=MONEY, opened_ms=LATE_MS, slippage=EXACT, stop_loss=PRICE, take_profit=PRICE,
    )  # fmt: skip


def order(number: int) -> PendingOrder:
    return PendingOrder(
        order_id=f"ord_255_{SEQUENCE + number}", symbol=SYMBOL, asset=SYMBOL, side="short", kind="limit", price=PRICE,
        margin=MONEY, leverage=EXACT, quantity=QUANTITY, reserved_fee=MONEY, fee_rate=RATE,
        maintenance_margin_rate=RATE, placed_ms=LATE_MS, stop_loss=PRICE, take_profit=PRICE, expires_ms=LATE_MS,
    )  # fmt: skip


def closed(number: int) -> PositionClosed:
    return PositionClosed(
        event_id=f"255-{SEQUENCE}-{number}", account_id=ACCOUNT, sequence=SEQUENCE + number, timestamp=LATE_MS,
        position_id=f"pos_255_{SEQUENCE + number}", symbol=SYMBOL, asset=SYMBOL, side="short", margin=MONEY,
        leverage=EXACT, quantity=QUANTITY, entry_price=PRICE, close_price=PRICE, realized_pnl=-GAIN, fee=GAIN,
        entry_fee=MONEY, reason="manual", opened_at=LATE_MS, balance=GAIN,
    )  # fmt: skip


def row_of(positions: int, orders: int) -> AccountRow:
    row = new_account(ACCOUNT, GAIN)
    held = {one.position_id: one for one in map(position, range(positions))}
    waiting = {one.order_id: one for one in map(order, range(orders))}
    return msgspec.structs.replace(row, positions=held, orders=waiting)


def test_the_parts_are_as_long_as_they_can_be() -> None:
    assert is_symbol(SYMBOL)
    assert not is_symbol(SYMBOL + "A")
    assert PRICE < AMOUNT_MAX


def test_an_account_with_all_the_positions_or_orders_that_can_be_set() -> None:
    for positions in (0, OPEN_MAX // 2, OPEN_MAX):
        size = len(codec.encode(row_of(positions, OPEN_MAX - positions)))
        assert size < MESSAGE_BYTES_MIN - OVERHEAD, positions


def test_the_remembered_outcome_of_a_request_that_closes_them_all() -> None:
    results = [CloseResult(f"pos_255_{SEQUENCE + number}", closed(number)) for number in range(OPEN_MAX)]
    kept = codec.encode(KeyedOutcome("f" * 64, PositionsClosed(results)))
    assert len(kept) < MESSAGE_BYTES_MIN - OVERHEAD
    assert len(kept) > MESSAGE_BYTES_MIN / 2, "the bound is near: who adds a field looks at it again"


def test_the_events_of_such_an_account() -> None:
    names = [f"pos_255_{SEQUENCE + number}" for number in range(OPEN_MAX)]
    reset = AccountReset(
        event_id=f"255-{SEQUENCE}-0", account_id=ACCOUNT, sequence=SEQUENCE, timestamp=LATE_MS, caused_by="r" * 128,
        balance=GAIN, positions_dropped=names, orders_dropped=names,
    )  # fmt: skip
    for event in (reset, msgspec.structs.replace(closed(0), caused_by="r" * 128)):
        assert len(public_event(event).value or b"") < MESSAGE_BYTES_MIN / 10


def test_the_sessions_and_keys_of_an_account_are_few() -> None:
    assert (SESSIONS_MAX + KEYS_MAX) * 2_000 < MESSAGE_BYTES_MIN - OVERHEAD
