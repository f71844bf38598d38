"""States that were encoded before are those that would be encoded now, whatever happens to accounts and market."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from history_run import STARTING_BALANCE, Run, loaded_cell, settle
from hypothesis import given, settings
from hypothesis import strategies as st
from random_histories import ACCOUNTS, Buy, Move, Pay, Timed, histories

from exness_streams.api import presenter
from exness_streams.api.accounts import Accounts
from exness_streams.api.encoded_states import EncodedStates
from exness_streams.domain.account import new_account
from exness_streams.domain.cell import Cell
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.domain.plain_numbers import Form, encoders

FORMS: tuple[Form, ...] = ("number", "string")
LEVEL = Decimal(60)
OPEN = MarketTold("", MarketState.OPEN, StateReason.OPERATOR, 0)
few = settings(max_examples=60, deadline=None)


QUOTE_AGE_MS_MAX = 3_000


def states(bytes_max: int = 1 << 20, clock_ms: Callable[[], int] = lambda: 0) -> EncodedStates:
    nobody: Any = None
    accounts = Accounts(nobody, nobody, STARTING_BALANCE)
    return EncodedStates(accounts, LEVEL, bytes_max, quote_age_ms_max=QUOTE_AGE_MS_MAX, clock_ms=clock_ms)


def fresh(cell: Cell, account_id: str, form: Form, now_ms: int = 0) -> tuple[bytes, int]:
    row = cell.account(account_id) or new_account(account_id, STARTING_BALANCE)
    stale = [
        symbol
        for symbol in {position.symbol for position in row.positions.values()}
        if (quote := cell.quotes.get(symbol)) is None
        or not quote.is_fresh(now_ms, QUOTE_AGE_MS_MAX, cell.market_ms)
        or cell.markets.get(symbol, OPEN).state in (MarketState.SUSPENDED, MarketState.HALTED, MarketState.SETTLED)
    ]
    message = presenter.state_message(row, cell.quotes, LEVEL, stale)
    return encoders[form].encode(message), row.sequence


@few
@given(histories, st.lists(st.integers(0, 3), min_size=1, max_size=9), st.sampled_from([0, 4000, 1 << 20]))
def test_what_is_kept_is_what_would_be_encoded(history: list[Timed], looks: list[int], bytes_max: int) -> None:
    """looks: after each step, what else happens: a commit, a look in one form only, none at all."""
    run, kept = Run(2), states(bytes_max)
    for nth, action in enumerate(history):
        run.play([action])
        look = looks[nth % len(looks)]
        if look == 0:
            continue
        if look == 1:
            run.commit()
        for account_id in (*ACCOUNTS, "nobody"):
            for form in FORMS[: 1 if look == 2 else 2]:
                for _ in range(2):
                    assert kept.state(run.cell, account_id, form) == fresh(run.cell, account_id, form)
        assert kept.kept_bytes <= bytes_max


@few
@given(histories, st.integers(0, 60))
def test_nothing_is_kept_from_another_life_of_a_cell(history: list[Timed], stop: int) -> None:
    """A cell goes, is loaded from what was committed, and folds other records than it had folded before."""
    whole, kept = Run(2).play(history), states()
    entries: dict[bytes, bytes] = {}
    cell = loaded_cell(0, entries)
    for offset, record in enumerate(whole.journal[:stop]):
        cell.fold(offset, record)
    settle(entries, cell)
    next_offset = cell.next_offset
    for record in whole.journal[stop:]:
        cell.fold(cell.next_offset, record)
        for account_id in ACCOUNTS:
            kept.state(cell, account_id, "number")
    again = loaded_cell(next_offset, entries)
    for account_id in ACCOUNTS:
        assert kept.state(again, account_id, "number") == fresh(again, account_id, "number")


@pytest.fixture
def run() -> Run:
    """With something in the first account."""
    run = Run()
    prices = [Timed(1, [Move(number, 1000, 2, True, True)]) for number in range(3)]
    buys = [Timed(1, Buy(account, 2, True, "250", "3", None, None, None)) for account in range(2)]
    return run.play([*prices, *buys, Timed(1, Pay(2, "100"))])


def test_a_state_is_encoded_once_for_each_change(run: Run) -> None:
    kept = states()
    ann, bob = ACCOUNTS[:2]

    def cost(account_id: str, *actions: Any) -> int:
        run.play([Timed(1, action) for action in actions])
        before = kept.encoded
        for _ in range(10):
            kept.state(run.cell, account_id, "number")
        return kept.encoded - before

    assert cost(ann) == 1
    assert cost(ann) == 0
    run.commit()
    assert cost(ann) == 0, "a commit changes nothing"
    assert cost(ann, Pay(1, "100")) == 0, "nor does what another account does"
    assert cost(ann, [Move(0, 990, 2, True, True)]) == 0, "nor a market that it is not in"
    assert cost(ann, [Move(2, 1001, 2, True, True)]) == 1
    assert cost(ann, Pay(0, "100")) == 1
    assert cost(bob) == 1
    kept.state(run.cell, bob, "string")
    assert kept.encoded == 5, "the other form is another encoding"


def test_a_position_is_stale_while_nothing_can_be_closed_at_its_price(run: Run) -> None:
    [position] = (run.cell.account(ACCOUNTS[0]) or new_account("", STARTING_BALANCE)).positions.values()
    quote = run.cell.quotes[position.symbol]
    now_ms = quote.aged_from_ms
    kept = states(clock_ms=lambda: now_ms)

    def is_stale() -> bool:
        content = kept.state(run.cell, ACCOUNTS[0], "number")
        assert content == fresh(run.cell, ACCOUNTS[0], "number", now_ms)
        return bool(json.loads(content.content)["positions"][0].get("stale", False))

    assert not is_stale()
    now_ms += QUOTE_AGE_MS_MAX
    assert not is_stale()
    now_ms += 1
    assert is_stale(), "though neither the row nor the quote is another"
    now_ms = quote.aged_from_ms
    assert not is_stale()
    for state in MarketState:
        run.cell.markets[position.symbol] = MarketTold(position.symbol, state, StateReason.OPERATOR, 1)
        assert is_stale() == (state not in (MarketState.OPEN, MarketState.CLOSE_ONLY))
    del run.cell.markets[position.symbol]
    assert not is_stale()


def test_who_is_read_least_recently_makes_room(run: Run) -> None:
    size = states()
    size.state(run.cell, ACCOUNTS[0], "number")
    kept = states(2 * size.kept_bytes + 500)
    for name in (ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[0], ACCOUNTS[2]):
        kept.state(run.cell, name, "number")
    assert kept.encoded == 3
    kept.state(run.cell, ACCOUNTS[0], "number")
    assert kept.encoded == 3
    kept.state(run.cell, ACCOUNTS[1], "number")
    assert kept.encoded == 4


def test_accounts_that_are_not_there_take_no_memory(run: Run) -> None:
    kept = states()
    for number in range(1000):
        kept.state(run.cell, f"stranger-{number}", "number")
    assert kept.kept_bytes == 0
