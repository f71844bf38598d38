"""The fold of numbered frames against the naive reference, with expiries among ticks, takeovers, repeats and stops."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import pairwise

import pytest
from examples import examples
from history_run import EXPOSURE_MAX, OPEN_MAX, STARTING_BALANCE, settle
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numbered_run import RULES, NumberedRun, naive_run
from random_histories import Timed, histories

from exness_streams.domain import rules
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import META_KEY, QUOTE_PREFIX, ROW_PREFIX, Meta, decode_meta, decode_quote, decode_row
from exness_streams.domain.codec import encode as encoded
from exness_streams.domain.events import PositionClosed, PositionOpened
from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.domain.raw_frames import RawFrame

History = list[Timed]

few = settings(max_examples=examples(60), deadline=None)
choice_lists = st.lists(st.integers(0, 8), min_size=1, max_size=5)


BY_RULES = range(RULES, rules.NEWEST + 1)


@pytest.mark.parametrize("by_rules", BY_RULES)
@few
@given(histories, st.sampled_from([1, 2, 3, 1000]), choice_lists, st.integers(1, 4))
def test_numbered_frames_do_what_the_naive_reference_does(
    by_rules: int, history: History, cut_every: int, choices: list[int], raw_ticks: int
) -> None:
    run = NumberedRun(cut_every, choices, raw_ticks, by_rules).play(history)
    naive = naive_run(run, STARTING_BALANCE, OPEN_MAX, EXPOSURE_MAX)
    assert run.effects == naive.effects
    assert run.accounts() == naive.reference.accounts


@pytest.mark.parametrize("by_rules", BY_RULES)
@few
@given(histories, choice_lists)
def test_the_fold_is_deterministic(by_rules: int, history: History, choices: list[int]) -> None:
    first = NumberedRun(2, choices, by_rules=by_rules).play(history)
    again = NumberedRun(by_rules=by_rules)
    for record in first.journal:
        again.apply(record)
    assert again.cell.pending == first.cell.pending
    assert again.cell.meta == first.cell.meta
    assert again.hash() == first.hash()


@pytest.mark.parametrize("by_rules", BY_RULES)
@few
@given(histories, choice_lists, st.lists(st.integers(0, 60), max_size=5))
def test_a_cell_loaded_at_any_offset_goes_on_as_if_never_stopped(
    by_rules: int, history: History, choices: list[int], stops: list[int]
) -> None:
    whole = NumberedRun(2, choices, by_rules=by_rules).play(history)
    entries: dict[bytes, bytes] = {META_KEY: encoded(Meta(0, 0, rules=by_rules))}
    cell = loaded(0, entries)
    replies = []
    for offset, record in enumerate(whole.journal):
        if offset in stops:
            meta = encoded(cell.meta)
            settle(entries, cell)
            entries[META_KEY] = meta
            cell = loaded(offset, entries)
        replies.append(cell.fold(offset, record))
    settle(entries, cell)
    del entries[META_KEY]
    assert entries == whole.entries()
    assert cell.meta == whole.cell.meta
    fresh = NumberedRun(by_rules=by_rules)
    assert [fresh.apply(record) for record in whole.journal] == replies


def loaded(next_offset: int, entries: dict[bytes, bytes]) -> Cell:
    cell = Cell(0, entries.get)
    rows = [decode_row(value) for key, value in sorted(entries.items()) if key.startswith(ROW_PREFIX)]
    prefix = len(QUOTE_PREFIX)
    quotes = [(k[prefix:].decode(), decode_quote(v)) for k, v in entries.items() if k.startswith(QUOTE_PREFIX)]
    cell.load(next_offset, rows, quotes, meta=decode_meta(entries[META_KEY]))
    return cell


@few
@given(histories, choice_lists, st.integers(1, 4))
def test_no_position_is_opened_and_closed_by_one_tick(history: History, choices: list[int], raw_ticks: int) -> None:
    """Nor in any frame at the price that it was opened at. A frame has one tick here, or all of its ticks raw."""
    run = NumberedRun(1, choices, raw_ticks, rules.ORDERS_AT_MARKET).play(history)
    again = NumberedRun(by_rules=rules.ORDERS_AT_MARKET)
    for record in run.journal:
        opened: dict[str, PositionOpened] = {}
        for event in again.apply(record).events:
            if isinstance(event, PositionOpened):
                opened[event.position_id] = event
            if isinstance(event, PositionClosed) and event.position_id in opened:
                assert isinstance(record, RawFrame)
                assert event.close_price != opened[event.position_id].entry_price


class Enough(Exception):
    """All that was wanted has come about."""


def test_the_histories_get_somewhere() -> None:
    """A guard on the strategies: each of these comes about, in frames of many ticks and by the newest rules."""
    wanted = {"expired": 6, "filled": 6, "late": 6, "at market": 6, "exit_passed": 2}
    kinds: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(histories, choice_lists)
    def play(history: History, choices: list[int]) -> None:
        run = NumberedRun(1000, choices, by_rules=rules.NEWEST).play(history)
        told = [effect if isinstance(effect, str) else effect.kind for effect in run.effects]
        kinds.update(told)
        kinds["at market"] += sum(pair == ("placed", "filled") for pair in pairwise(told))
        kinds["late"] += run.ignored.count(IgnoredFrame.OLD_EPOCH)
        if all(kinds[kind] >= least for kind, least in wanted.items()):
            raise Enough

    with suppress(Enough):
        play()
    missing = {kind: kinds[kind] for kind, least in wanted.items() if kinds[kind] < least}
    assert not missing, kinds
