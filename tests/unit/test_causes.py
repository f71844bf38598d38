"""`causedBy`: which request an event came of, and that it decides nothing."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from trading_samples import (
    NOW_MS,
    StoredCell,
    cancel_command,
    close_all_command,
    close_command,
    deposit_command,
    flat,
    frame,
    modify_command,
    open_command,
    place_command,
    reset_command,
)

from exness_streams.domain import codec
from exness_streams.domain.commands import Command, IdempotencyKey


def known_as(request_id: str, command: Any) -> Any:
    return msgspec.structs.replace(command, request_id=request_id)


def causes(cell: StoredCell, record: Any) -> list[Any]:
    return [json.loads(codec.encode(event)).get("causedBy", "unknown") for event in cell.fold(record).events]


def opened(cell: StoredCell) -> str:
    return cell.opened(open_command(leverage=10)).position_id


def placed(cell: StoredCell) -> str:
    return cell.placed(place_command(price=90)).order_id


def two(cell: StoredCell) -> None:
    opened(cell)
    opened(cell)


COMMANDS: dict[str, tuple[Any, int]] = {
    "open": (lambda cell: open_command(), 1),
    "close": (lambda cell: close_command(opened(cell)), 1),
    "close-all": (lambda cell: (two(cell), close_all_command())[1], 2),
    "modify": (lambda cell: modify_command(opened(cell), stop="95"), 1),
    "place": (lambda cell: place_command(price=90), 1),
    "cancel": (lambda cell: cancel_command(placed(cell)), 1),
    "deposit": (lambda cell: deposit_command(), 1),
    "reset": (lambda cell: reset_command(), 1),
}


def test_every_command_is_tried() -> None:
    assert len(COMMANDS) == len(get_args(Command))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_events_of_a_request_name_it(name: str) -> None:
    cell = StoredCell(flat(100))
    make, count = COMMANDS[name]
    assert causes(cell, known_as("req-1", make(cell))) == ["req-1"] * count


def test_what_prices_did_names_no_request() -> None:
    cell = StoredCell(flat(100))
    cell.fold(known_as("req-1", open_command(leverage=10)))
    cell.fold(known_as("req-2", place_command(price=95)))
    assert causes(cell, frame(flat(94, 2))) == [None, None]  # filled, opened
    assert causes(cell, frame(flat(80, 3))) == [None]  # liquidated


def test_an_order_that_expires_when_a_request_comes_was_not_ended_by_it() -> None:
    cell = StoredCell(flat(100))
    cell.fold(known_as("req-1", place_command(price=90, expires_ms=NOW_MS + 10)))
    later = deposit_command(time_ms=NOW_MS + 10)
    assert causes(cell, known_as("req-2", later)) == [None, "req-2"]


def test_a_record_of_an_older_release_causes_events_without_a_request() -> None:
    cell = StoredCell(flat(100))
    old = json.loads(codec.encode(open_command()))
    del old["request_id"]
    assert causes(cell, codec.decode_record(json.dumps(old).encode())) == ["unknown"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_entries_are_the_same_whatever_the_request_is_called(name: str) -> None:
    """What an older release folds, which knows of no request ids, has the same state hash."""
    kept = []
    for request_id in (None, "req-1"):
        cell = StoredCell(flat(100))
        command = COMMANDS[name][0](cell)
        keyed = msgspec.structs.replace(command, idempotency=IdempotencyKey("k", "body"))
        cell.fold(keyed if request_id is None else known_as(request_id, keyed))
        kept.append(cell.entries())
    assert kept[0] == kept[1]
    assert any(b"outcome/" in key for key in kept[0])
    assert not any(b"caused" in value for value in kept[0].values())


def test_an_event_of_before_is_read() -> None:
    cell = StoredCell(flat(100))
    (event,) = cell.fold(known_as("req-1", open_command())).events
    before = json.loads(codec.encode(event))
    del before["causedBy"]
    read = codec.decode_event(json.dumps(before).encode())
    assert msgspec.structs.replace(read, caused_by="req-1") == event
