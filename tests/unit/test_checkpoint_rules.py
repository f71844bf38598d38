"""A checkpoint says by which rules its journal goes on, and a replay that begins with it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from trading_samples import deposit_command

from exness_streams.audit import checkpoints
from exness_streams.audit.beginnings import Reach, begin_replay
from exness_streams.audit.checkpoints import Header, read_checkpoint, write_checkpoint
from exness_streams.audit.embedded import compared
from exness_streams.audit.replay import Replay, StateSearch
from exness_streams.domain import codec, rules
from exness_streams.domain.codec import META_KEY, RulesChanged
from exness_streams.domain.state_hash import bytes_hash, state_hash

AFTER = RulesChanged(1, 2)


@pytest.fixture(autouse=True)
def _a_release_that_knows_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 2)


def replay_of(*records: codec.JournalRecord) -> Replay:
    replay = Replay(0, 0, {})
    for offset, record in enumerate(records):
        replay.fold(offset, codec.encode(record))
    replay.apply()
    return replay


def written(directory: Path, replay: Replay) -> Header:
    return write_checkpoint(directory, 0, replay.next_offset, replay.entries, replay.last_record, replay.meta)


def begun(directory: Path, at: int) -> Replay:
    faults: list[str] = []
    replay = begin_replay(directory, 0, Reach(at, at, {}), faults.append)
    assert faults == []
    return replay


def test_a_replay_goes_on_by_the_rules_of_its_checkpoint(tmp_path: Path) -> None:
    replay = replay_of(deposit_command(), AFTER, deposit_command())
    assert written(tmp_path, replay).meta == replay.meta
    again = begun(tmp_path, 3)
    assert again.meta == replay.meta
    assert again.meta.rules == 2


def test_one_of_the_first_rules_has_the_hash_that_the_release_before_checks(tmp_path: Path) -> None:
    replay = replay_of(deposit_command())
    header = written(tmp_path, replay)
    assert (header.form, header.state_hash) == (1, bytes_hash(replay.entries.items()))
    assert begun(tmp_path, 1).meta.rules == rules.FIRST


def test_one_of_later_rules_has_the_hash_of_what_it_means(tmp_path: Path) -> None:
    replay = replay_of(deposit_command(), AFTER)
    header = written(tmp_path, replay)
    assert (header.form, header.state_hash) == (2, state_hash(replay.entries.items()))
    path = next(tmp_path.iterdir())
    assert read_checkpoint(path) == (header, replay.entries)


def test_one_of_0_1_0_says_no_rules_and_goes_on_by_the_first(tmp_path: Path) -> None:
    replay = replay_of(deposit_command())
    write_checkpoint(tmp_path, 0, 1, replay.entries, replay.last_record)
    assert begun(tmp_path, 1).meta.rules == rules.FIRST


def test_one_of_a_form_that_is_not_known_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, replay_of(deposit_command(), AFTER))
    monkeypatch.delitem(checkpoints.FORMS, 2)
    with pytest.raises(ValueError, match="form 2, which this release does not know"):
        begin_replay(tmp_path, 0, Reach(2, 2, {}), lambda line: None)


def test_one_of_rules_that_are_not_known_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, replay_of(deposit_command(), AFTER))
    monkeypatch.setattr(rules, "NEWEST", 1)
    with pytest.raises(ValueError, match="goes on by rules 2"):
        begin_replay(tmp_path, 0, Reach(2, 2, {}), lambda line: None)


def test_a_table_of_other_rules_differs_though_its_entries_are_the_same() -> None:
    replay = replay_of(deposit_command(), AFTER)
    table = replay.entries | {META_KEY: codec.encode(replay.meta)}
    assert compared(replay, 2, table, "it").is_clean
    wrong = codec.Meta(**{name: getattr(replay.meta, name) for name in codec.Meta.__struct_fields__} | {"rules": 1})
    differing = compared(replay, 2, table | {META_KEY: codec.encode(wrong)}, "it")
    assert differing.differences == ["the table says that its rules is 1; replay gives 2"]


def test_a_search_that_went_too_far_comes_back_with_the_rules_of_where_it_was_nearest() -> None:
    wanted = replay_of(deposit_command())
    replay = replay_of(deposit_command())
    other = replay_of(deposit_command(), deposit_command(7))
    search = StateSearch(replay, other.entries)
    search.fold(1, codec.encode(AFTER))
    search.rewind()
    assert (search.offset, replay.meta) == (1, wanted.meta)
