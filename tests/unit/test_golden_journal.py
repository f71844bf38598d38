"""Journals of earlier versions: each record is still read, and does what it did.

The files were made by the code of commit b843224, which knew only market orders and whole closes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from trading_samples import StoredCell

from exness_streams.audit.embedded import compared
from exness_streams.audit.replay import Replay
from exness_streams.domain.codec import (
    QUOTE_PREFIX,
    ROW_PREFIX,
    decode_event,
    decode_keyed_outcome,
    decode_quote,
    decode_record,
    decode_row,
    encode,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0.dev1"


def lines(name: str) -> list[bytes]:
    return (GOLDEN / name).read_bytes().splitlines()


def entries() -> dict[bytes, bytes]:
    found = {}
    for line in lines("entries.tsv"):
        key, value = line.split(b"\t", 1)
        found[json.loads(key).encode()] = value
    return found


def replayed() -> tuple[StoredCell, list[Any]]:
    cell = StoredCell()
    events = [event for line in lines("journal.jsonl") for event in cell.fold(decode_record(line)).events]
    return cell, events


def decoded(key: bytes, value: bytes) -> Any:
    if key.startswith(ROW_PREFIX):
        return decode_row(value)
    if key.startswith(QUOTE_PREFIX):
        return decode_quote(value)
    if key.startswith(b"outcome/"):
        return without_share(decode_keyed_outcome(value))
    return value


def without_share(keyed: Any) -> Any:
    """The entry's part of the fee, which the events of a close have told only since there are partial closes."""
    outcome = keyed.outcome
    if not hasattr(outcome, "entry_fee"):
        return keyed
    return msgspec.structs.replace(keyed, outcome=msgspec.structs.replace(outcome, entry_fee=outcome.fee * 0))


def test_the_records_of_the_first_version_give_the_rows_of_the_first_version() -> None:
    cell, _ = replayed()
    old, new = entries(), cell.entries()
    assert new.keys() == old.keys()
    for key, value in old.items():
        assert decoded(key, new[key]) == decoded(key, value), key


def test_the_entries_of_the_first_version_audit_clean() -> None:
    replay = Replay(0, 0, {})
    for offset, line in enumerate(lines("journal.jsonl")):
        replay.fold(offset, line)
    replay.apply()
    found = compared(replay, replay.next_offset, entries(), "the table as the first version wrote it")
    assert found.is_clean, found.differences
    assert found.accounts == 3  # demo, ann, bob


def test_they_give_its_events_with_fields_added_only() -> None:
    _, events = replayed()
    old = [json.loads(line) for line in lines("events.jsonl")]
    assert len(events) == len(old) == 7
    for event, before in zip(events, old, strict=True):
        after = json.loads(encode(event))
        assert {name: after[name] for name in before} == before


def test_its_events_are_read_as_wholly_closed_and_without_orders() -> None:
    for line in lines("events.jsonl"):
        event = decode_event(line)
        assert getattr(event, "remaining", None) is None
        assert getattr(event, "order_id", None) is None


def test_a_cell_goes_on_from_its_entries() -> None:
    """A store of the first version under this one: quotes, rows, triggers and remembered outcomes are all there."""
    cell = StoredCell()
    cell.store.update(entries())
    cell.cell.next_offset = len(lines("journal.jsonl"))
    cell.restart()
    fresh, _ = replayed()
    assert len(cell.cell.triggers) == len(fresh.cell.triggers) == 1
    assert len(cell.cell.expiries) == 0
    assert cell.row("ann") == fresh.row("ann")
    repeat = decode_record(lines("journal.jsonl")[2])
    assert cell.fold(repeat).reply == fresh.fold(repeat).reply
