"""The fold against a naive reference, against itself, and against a cell that was restarted."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress

import msgspec
import pytest
from examples import examples
from history_run import EXPOSURE_MAX, OPEN_MAX, STARTING_BALANCE, Run, loaded_cell, settle
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from naive_view import naive_run
from random_histories import Timed, histories, without_entries

from exness_streams.domain import outcomes
from exness_streams.domain.commands import IdempotencyKey
from exness_streams.domain.expiries import ExpiryIndex
from exness_streams.domain.rejections import OF_ACCESS, Rejection, RejectionCode
from exness_streams.domain.triggers import TriggerIndex

History = list[Timed]

few = settings(max_examples=examples(60), deadline=None)
many = settings(max_examples=int(os.environ.get("TEST_HISTORIES", "40")), deadline=None)
echo_lists = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def index_lists(index: TriggerIndex) -> dict[object, list[object]]:
    return {
        (symbol, crossing): sorted(triggers)
        for symbol, lists in index._of_symbol.items()
        for crossing, triggers in lists.items()
        if triggers
    }


@pytest.mark.long
@many
@given(histories, st.sampled_from([1, 2, 3, 1000]), echo_lists)
def test_frames_and_fold_do_what_the_naive_reference_does(history: History, cut_every: int, echoes: list[int]) -> None:
    """Batches of any size, frames repeated, late ones, and ones cut again: always as if tick by tick."""
    run = Run(cut_every, echoes).play(history)
    naive = naive_run(run, STARTING_BALANCE, OPEN_MAX, EXPOSURE_MAX)
    assert run.effects == naive.effects
    assert run.accounts() == naive.reference.accounts


@few
@given(without_entries, st.integers(1, 5), echo_lists)
def test_how_ticks_are_cut_into_frames_changes_nothing(history: History, cut_every: int, echoes: list[int]) -> None:
    whole = Run().play(history)
    cut = Run(cut_every, echoes).play(history)
    assert cut.effects == whole.effects
    assert cut.accounts() == whole.accounts()


@few
@given(histories)
def test_the_fold_is_deterministic(history: History) -> None:
    first = Run().play(history)
    again = Run()
    for record in first.journal:
        again.apply(record)
    assert again.cell.pending == first.cell.pending
    assert list(again.cell.pending) == list(first.cell.pending)
    assert again.hash() == first.hash()


@few
@given(histories, st.lists(st.integers(0, 40), max_size=5))
def test_a_cell_loaded_at_any_offset_goes_on_as_if_never_stopped(history: History, stops: list[int]) -> None:
    """Commits at the stops, too: what is pending and what is in the store make no difference."""
    whole = Run(2).play(history)
    entries: dict[bytes, bytes] = {}
    cell = loaded_cell(0, entries)
    replies = []
    for offset, record in enumerate(whole.journal):
        if offset in stops:
            settle(entries, cell)
            cell = loaded_cell(offset, entries)
        replies.append(cell.fold(offset, record))
    settle(entries, cell)
    assert entries == whole.entries()
    fresh = Run()
    assert [fresh.apply(record) for record in whole.journal] == replies


@few
@given(histories)
def test_the_indexes_are_what_the_rows_say(history: History) -> None:
    run = Run(3)
    for action in history:
        run.play([action])
        triggers, expiries = TriggerIndex(), ExpiryIndex()
        orders = [(row.account_id, order) for row in run.rows() for order in row.orders.values()]
        positions = [(row.account_id, position) for row in run.rows() for position in row.positions.values()]
        triggers.load([*positions, *orders])
        expiries.load(orders)
        assert index_lists(run.cell.triggers) == index_lists(triggers)
        assert list(run.cell.expiries._expiries) == list(expiries._expiries)


@few
@given(histories, st.integers(0, 100), st.booleans())
def test_a_repeat_of_a_keyed_command_is_answered_as_the_first_time(history: History, nth: int, commit: bool) -> None:
    run = Run().play(history)
    keyed = run.remembered
    assume(keyed)
    if commit:
        run.commit()
    command = keyed[nth % len(keyed)]
    assert command.idempotency is not None
    known = run.cell.remembered(command.account_id, command.idempotency.key)
    assert known is not None
    before = run.entries()
    again = run.cell.fold(run.cell.next_offset, msgspec.structs.replace(command, command_id="again"))
    assert again.events == []
    assert again.reply is not None
    assert (again.reply.command_id, again.reply.outcome, again.reply.repeated) == ("again", known.outcome, True)

    other = IdempotencyKey(command.idempotency.key, "another body")
    conflict = run.cell.fold(run.cell.next_offset, msgspec.structs.replace(command, idempotency=other))
    assert conflict.reply is not None
    assert isinstance(conflict.reply.outcome, Rejection)
    assert conflict.reply.outcome.code is RejectionCode.IDEMPOTENCY_CONFLICT
    assert run.entries() == before


@few
@given(histories, st.integers(1, 3))
def test_an_account_remembers_its_newest_outcomes_only(history: History, remembered: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "OUTCOMES_REMEMBERED", remembered)
        run = Run().play(history)
    keys: dict[str, list[str]] = {}
    for record in run.remembered:
        assert record.idempotency is not None
        keys.setdefault(record.account_id, []).append(record.idempotency.key)
    for account, used in keys.items():
        known = [key for key in used if run.cell.remembered(account, key) is not None]
        assert known == used[-remembered:]
    stored = [key for key in run.entries() if key.startswith(b"outcome/")]
    assert len(stored) == sum(min(len(used), remembered) for used in keys.values())


class Enough(Exception):
    """All that was wanted has come about."""


def test_the_histories_get_somewhere() -> None:
    """A guard on the strategies: enough opens, closes of both kinds and refusals come about in as many as CI plays."""
    exits = {"manual", "liquidation", "stop_loss", "take_profit"}
    often = exits | {"opened", "placed", "filled"}
    once = {"modified", "expired", "client", "deposited", "reset", "close-all closed"}
    codes = {code.value for code in RejectionCode} - {
        RejectionCode.UNKNOWN_ASSET.value,  # the edge's
        RejectionCode.IDEMPOTENCY_CONFLICT.value,  # tested above
        *(code.value for code in OF_ACCESS),  # tested in tests/unit/test_identity.py
    }
    wanted = dict.fromkeys(once | codes, 1) | dict.fromkeys(often, 10)
    kinds: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(histories)
    def count(history: History) -> None:
        kinds.update(each if isinstance(each, str) else each.kind for each in Run().play(history).effects)
        if all(kinds[kind] >= least for kind, least in wanted.items()):
            raise Enough

    with suppress(Enough):
        count()
    missing = {kind: kinds[kind] for kind, least in wanted.items() if kinds[kind] < least}
    assert not missing, kinds
