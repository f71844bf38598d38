"""A record of the journal is folded whole or not at all: what a later release says more is refused, not left out.

Entries and public topics are read leniently, as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from trading_samples import close_command, flat, frame, modify_command, open_command, place_command

from exness_streams.domain import codec
from exness_streams.domain.codec import JournalRecord, KeyedOutcome, Meta, RulesChanged
from exness_streams.domain.commands import IdempotencyKey
from exness_streams.domain.frames import DayFigures, PriceFrame, Step, SymbolFrame
from exness_streams.domain.identity import CreateKey, EndSessions, RedeemLink, RevokeKey
from exness_streams.domain.quotes import Quote, ReceivedQuote
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import json_encoder

D = Decimal
FULL_FRAME = PriceFrame(
    5,
    (SymbolFrame("SOL_USDC", flat(100), (Step(1, D(99)),), (Step(1, D(101)),), (Step(1, D(99)),), (Step(1, D(101)),)),),
    "simulated",
    9,
    (DayFigures("SOL_USDC", D(1), D(2), D(1), D(5), D(6)),),
)
LISTS = {("symbols",), ("days",), ("scopes",), *(("symbols", 0, staircase) for staircase in range(2, 6))}
ABOUT: dict[str, Any] = {"command_id": "c", "account_id": "a", "time_ms": 1}
RECORDS: list[Any] = [
    open_command(key="k"),
    close_command("p"),
    modify_command("p"),
    place_command(),
    FULL_FRAME,
    frame(flat(1)),
    RedeemLink(**ABOUT, link="l", nonce="n", link_expires_ms=2, session_id="s", session_expires_ms=3),
    EndSessions(**ABOUT),
    CreateKey(**ABOUT, key_id="k", name="n", scopes=["read"], secret="x"),
    RevokeKey(**ABOUT, key_id="k"),
    RulesChanged(1, 2),
]


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Every struct that a type reaches."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs_of(field.type)
    for part in get_args(kind):
        yield from structs_of(part)


def test_every_part_of_every_record_refuses_what_it_does_not_know() -> None:
    found = set(structs_of(JournalRecord))
    assert {PriceFrame, Quote, Step, IdempotencyKey, RulesChanged, CreateKey} <= found
    assert [kind.__name__ for kind in found if not kind.__struct_config__.forbid_unknown_fields] == []


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document there are objects, or arrays that stand for objects."""
    if isinstance(document, dict):
        yield path
        for name, part in document.items():
            yield from places(part, (*path, name))
    elif isinstance(document, list):
        for index, part in enumerate(document):
            if isinstance(part, list):
                yield (*path, index)
            yield from places(part, (*path, index))


def with_more(value: bytes, path: tuple[Any, ...]) -> bytes:
    document = json.loads(value)
    at = document
    for step in path:
        at = at[step]
    if isinstance(at, dict):
        at["of_a_later_release"] = 1
    else:
        at.append(1)
    return json.dumps(document).encode()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_field_more_anywhere_in_a_record_is_refused_in_one_line(record: Any) -> None:
    value = codec.encode(record)
    assert codec.decode_record(value) == record
    for path in places(json.loads(value)):
        if path in LISTS:
            continue  # of any length
        with pytest.raises(codec.LaterRecord, match="this release knows no such record") as refused:
            codec.decode_record(with_more(value, path))
        assert "\n" not in str(refused.value)


def test_a_kind_of_record_that_is_not_known_is_refused_likewise() -> None:
    with pytest.raises(codec.LaterRecord, match=r"AccountCorrected.*start one"):
        codec.decode_record(b'{"type":"AccountCorrected","time_ms":1}')


@pytest.mark.parametrize("value", [b"", b"{", b"\xff"])
def test_what_is_no_record_at_all_is_not_said_to_be_of_a_later_release(value: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as refused:
        codec.decode_record(value)
    assert not isinstance(refused.value, codec.LaterRecord)


def test_entries_and_public_records_may_say_more() -> None:
    quote = flat(100)
    assert codec.decode_quote(codec.encode(quote)[:-1] + b",null,7]") == quote
    received = ReceivedQuote(*msgspec.structs.astuple(quote), 5)
    assert codec.decode_quote(codec.encode(quote)[:-1] + b",5,7]") == received
    assert codec.decode_quote(codec.encode(received)) == received
    assert codec.decode_meta(b'{"partition":0,"next_offset":5,"later":1}') == Meta(0, 5)
    keyed = KeyedOutcome("f", Rejection(RejectionCode.POSITION_NOT_FOUND, "no", {"positionId": "p"}))
    assert codec.decode_keyed_outcome(codec.encode(keyed)[:-1] + b',"later":1}') == keyed
    event = (
        b'{"type":"Deposited","eventId":"e","accountId":"a","sequence":1,"timestamp":1,"amount":1,"balance":1,"x":1}'
    )
    assert codec.decode_event(event).account_id == "a"
    assert json_encoder.encode(codec.decode_event(event))
