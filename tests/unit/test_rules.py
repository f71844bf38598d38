"""The rules of a journal are what its records say."""

from __future__ import annotations

import pytest

from exness_streams.domain import codec, rules
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta, RulesChanged


@pytest.fixture(autouse=True)
def _a_release_that_knows_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 3)


def cell(known: Meta | None = None) -> Cell:
    made = Cell(0, lambda key: None)
    made.load(0 if known is None else known.next_offset, [], [], meta=known)
    return made


def test_a_journal_begins_with_the_first_rules() -> None:
    assert cell().rules == rules.FIRST
    assert cell(Meta(0, 7)).rules == rules.FIRST


def test_each_change_raises_them_from_its_record_on() -> None:
    one = cell()
    for offset, wanted in enumerate((2, 3)):
        assert one.fold(offset, RulesChanged(1, wanted)).events == []
        assert (one.rules, one.meta.rules, one.next_offset) == (wanted, wanted, offset + 1)


@pytest.mark.parametrize("again", [1, 2])
def test_a_change_that_was_written_twice_or_late_changes_nothing(again: int) -> None:
    one = cell()
    one.fold(0, RulesChanged(1, 2))
    one.fold(1, RulesChanged(1, again))
    assert (one.rules, one.next_offset) == (2, 2)


@pytest.mark.parametrize(
    ("wanted", "words"), [(3, "skips rules: it goes from 1 to 3"), (4, "rules 4, and this release knows them")]
)
def test_a_change_that_skips_or_is_unknown_is_not_folded(wanted: int, words: str) -> None:
    one = cell()
    with pytest.raises(ValueError, match=words):
        one.fold(0, RulesChanged(1, wanted))
    assert (one.rules, one.next_offset) == (rules.FIRST, 0)


def test_they_are_loaded_with_what_was_folded_by_them() -> None:
    before = cell()
    before.fold(0, RulesChanged(1, 2))
    stored = codec.decode_meta(codec.encode(before.meta))
    assert cell(stored).rules == 2


def test_a_cell_of_later_rules_is_not_loaded() -> None:
    with pytest.raises(rules.UnknownRules, match="start a release"):
        cell(Meta(0, 5, rules=4))


def test_a_journal_of_the_first_rules_has_the_bytes_of_before() -> None:
    assert codec.encode(cell(Meta(0, 5)).meta) == b'{"partition":0,"next_offset":5}'
