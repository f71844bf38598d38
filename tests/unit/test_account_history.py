"""An account's history as its events make it: what is kept, what is shown, what goes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from account_events import ACCOUNT, closed, deposited, reset

from exness_streams.domain import account_history
from exness_streams.domain.account_history import (
    HistoryHead,
    Numbers,
    decode_head,
    decode_point,
    decode_trade,
)
from exness_streams.domain.events import Event


class Store:
    """A history's entries as a table would have them."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.changes = 0

    @property
    def head(self) -> HistoryHead:
        stored = self.entries.get(account_history.head_key(ACCOUNT))
        return HistoryHead() if stored is None else decode_head(stored)

    def fold(self, *events: Event) -> Store:
        for event in events:
            entries: dict[bytes, bytes | None] = {}
            account_history.fold_event(self.head, event, entries)
            self.changes = len(entries)
            for key, value in entries.items():
                if value is None:
                    del self.entries[key]  # what was never there must not be removed
                else:
                    self.entries[key] = value
        return self

    def shown(self) -> list[str]:
        head = self.head
        numbers = range(head.trades_from, head.trades.end)
        return [decode_trade(self.entries[account_history.trade_key(ACCOUNT, number)]).trade_id for number in numbers]

    def balances(self) -> list[str]:
        head = self.head
        numbers = range(head.points_from, head.points.end)
        return [
            str(decode_point(self.entries[account_history.point_key(ACCOUNT, number)]).balance) for number in numbers
        ]

    def stored(self, prefix: bytes) -> int:
        return sum(key.startswith(prefix) for key in self.entries)


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(account_history, "TRADES_KEPT", 3)
    monkeypatch.setattr(account_history, "POINTS_KEPT", 2)
    yield


def test_a_close_becomes_a_trade_with_both_fees() -> None:
    store = Store().fold(closed(1))
    trade = decode_trade(store.entries[account_history.trade_key(ACCOUNT, 0)])
    assert trade.fee == Decimal("0.3")
    assert (trade.trade_id, trade.position_id, trade.side, trade.reason) == ("0-1-0", "pos_0_1", "short", "stop_loss")
    assert (trade.opened_ms, trade.closed_ms) == (1_000, 2_001)
    assert (trade.quantity, trade.realized_pnl) == (Decimal("1.5"), Decimal("-1.5"))


def test_an_event_that_was_taken_before_changes_nothing() -> None:
    store = Store().fold(closed(1), closed(2))
    entries: dict[bytes, bytes | None] = {}
    for event in (closed(1), closed(2)):
        assert account_history.fold_event(store.head, event, entries) == store.head
    assert entries == {}


@pytest.mark.parametrize("sequence", [3, 4, 100])
def test_an_event_behind_a_gap_is_taken_as_it_stands(sequence: int) -> None:
    store = Store().fold(closed(1, "9000"))
    assert account_history.missing_before(store.head, closed(sequence)) == sequence - 2
    store.fold(closed(sequence, "7000"))
    assert (store.head.sequence, store.shown()) == (sequence, ["0-1-0", f"0-{sequence}-0"])
    assert store.balances() == ["9000", "7000"], "no figure is made up for what is missing"


def test_a_history_may_begin_late() -> None:
    assert account_history.missing_before(HistoryHead(), closed(7)) == 6
    assert Store().fold(closed(7)).shown() == ["0-7-0"]


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_nothing_is_missing_before_the_next_event_nor_one_that_was_taken(sequence: int) -> None:
    assert account_history.missing_before(Store().fold(closed(1), closed(2)).head, closed(sequence)) == 0


def test_a_point_is_made_when_the_balance_changes() -> None:
    store = Store().fold(deposited(1, "10000"), closed(2, "10000"), closed(3, "9998"), deposited(4, "9999"))
    assert store.balances() == ["10000", "9998", "9999"]
    assert decode_point(store.entries[account_history.point_key(ACCOUNT, 1)]).time_ms == 2_003


def test_a_reset_begins_anew() -> None:
    store = Store().fold(closed(1, "9000"), closed(2, "8000"), reset(3, "8000"))
    assert store.shown() == []
    assert store.balances() == ["8000"]  # also when it is the balance of before
    store.fold(closed(4, "7000"))
    assert store.shown() == ["0-4-0"]
    assert store.balances() == ["8000", "7000"]


def test_what_a_reset_puts_out_of_sight_goes_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_history, "REMOVED_PER_EVENT_MAX", 4)
    store = Store().fold(*(closed(n, str(n)) for n in range(1, 11)))
    stored = []
    for event in (reset(11), closed(12, "1"), closed(13, "2"), closed(14, "3")):
        store.fold(event)
        assert store.changes <= 3 + 2 * 4
        stored.append((store.stored(b"trade/"), store.stored(b"equity/")))
    assert stored == [(6, 7), (3, 4), (2, 3), (3, 4)]
    assert store.shown() == ["0-12-0", "0-13-0", "0-14-0"]


@pytest.mark.usefixtures("few_kept")
def test_only_the_newest_are_kept() -> None:
    store = Store().fold(*(closed(n, str(n)) for n in range(1, 8)))
    assert store.shown() == ["0-5-0", "0-6-0", "0-7-0"]
    assert store.balances() == ["6", "7"]
    assert (store.stored(b"trade/"), store.stored(b"equity/"), store.stored(b"head/")) == (3, 2, 1)


def test_numbers_that_may_go_are_never_shown() -> None:
    for numbers in (Numbers(0, 0, 5), Numbers(2, 4, 5), Numbers(0, 5, 5), Numbers(3, 3, 20)):
        assert all(number < numbers.first(3) for number in numbers.removed(3))


def test_keys_are_in_the_order_of_the_numbers() -> None:
    for key_of in (account_history.trade_key, account_history.point_key):
        keys = [key_of("a", number) for number in (0, 9, 10, 99_999, 100_000, 10**11)]
        assert keys == sorted(keys)
