"""Records and entries as bytes and back, digit for digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_samples import StoredCell, close_command, flat, frame, open_command

from exness_streams.domain import codec
from exness_streams.domain.account import AccountRow, Position
from exness_streams.domain.codec import KeyedOutcome
from exness_streams.domain.commands import ClosePosition, OpenPosition
from exness_streams.domain.events import PositionClosed, PositionOpened
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection, RejectionCode

plain = st.decimals(
    Decimal("1e-12"), Decimal("1e12"), allow_nan=False, allow_infinity=False, places=None
).map(abs)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rejections = st.builds(
    Rejection,
    code=st.sampled_from(RejectionCode),
    message=texts,
    details=st.dictionaries(texts, st.one_of(texts, st.integers(-9, 10**9), st.lists(texts, max_size=2)), max_size=2),
)


def some(kind: type) -> st.SearchStrategy[Any]:
    with_decimals = {field.name: strategy_of(field.type) for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **with_decimals)


def strategy_of(kind: object) -> st.SearchStrategy[Any]:
    if kind is Decimal:
        return plain
    if kind is str:
        return texts
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(-(2**53), 2**53)
    if kind == Decimal | None:
        return st.none() | plain
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return some(kind)
    return generic(kind)


def generic(kind: Any) -> st.SearchStrategy[Any]:
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return st.dictionaries(strategy_of(arguments[0]), strategy_of(arguments[1]), max_size=3)
    if origin is tuple:
        return st.lists(strategy_of(arguments[0]), max_size=3).map(tuple)
    if msgspec.UnsetType in arguments:
        given = [part for part in arguments if part is not msgspec.UnsetType]
        return st.one_of(*(st.none() if part is type(None) else strategy_of(part) for part in given))
    if type(None) in arguments:
        return st.one_of(st.none(), *(strategy_of(part) for part in arguments if part is not type(None)))
    assert all(isinstance(part, str) for part in arguments), kind
    return st.sampled_from(arguments)  # a Literal


CASES: list[tuple[st.SearchStrategy[Any], Callable[[bytes], Any]]] = [
    (some(OpenPosition), codec.decode_record),
    (some(ClosePosition), codec.decode_record),
    (some(PriceFrame), codec.decode_record),
    (some(PositionOpened), codec.decode_event),
    (some(PositionClosed), codec.decode_event),
    (some(AccountRow), codec.decode_row),
    (some(Quote), codec.decode_quote),
    (
        st.builds(KeyedOutcome, texts, st.one_of(some(PositionOpened), some(PositionClosed), rejections)),
        codec.decode_keyed_outcome,
    ),
]


@pytest.mark.parametrize(("values", "decode"), CASES, ids=lambda case: getattr(case, "__name__", None))
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_what_is_encoded_is_decoded_digit_for_digit(
    data: st.DataObject, values: st.SearchStrategy[Any], decode: Callable[[bytes], Any]
) -> None:
    value = data.draw(values)
    encoded = codec.encode(value)
    again = decode(encoded)
    assert again == value
    assert repr(again) == repr(value)  # 1.0 and 1.00 are equal, but are not the same digits
    assert codec.encode(again) == encoded


@pytest.mark.parametrize(
    "digits", ["0.1", "1.10", "123456789012345678901234.000000000000000001", "1E-8", "0.000001", "1E+2", "-0.5", "0"]
)
def test_numbers_are_json_numbers_with_their_digits(digits: str) -> None:
    quote = Quote(1, 2, Decimal(digits))
    encoded = codec.encode(quote)
    assert digits.encode() in encoded
    assert str(codec.decode_quote(encoded).price) == digits
    assert isinstance(json.loads(encoded)[2], float | int)


def test_a_record_names_its_kind() -> None:
    assert [
        json.loads(codec.encode(record))["type"] for record in (open_command(), close_command("p"), frame(flat(1)))
    ] == ["OpenPosition", "ClosePosition", "PriceFrame"]


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b'{"type":"Unknown"}', b'{"type":"PriceFrame"}', b"\xff"])
def test_what_is_no_record_is_a_fault(value: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        codec.decode_record(value)


def test_public_events_use_the_names_of_the_api() -> None:
    cell = StoredCell(flat(100))
    opened = cell.opened(open_command())
    assert json.loads(codec.encode(opened)).keys() >= {
        "type",
        "eventId",
        "accountId",
        "entryPrice",
        "liquidationPrice",
    }
    closed = cell.closed(close_command(opened.position_id))
    public = json.loads(codec.encode(closed))
    assert public["type"] == "PositionClosed"
    assert public.keys() >= {"realizedPnL", "closePrice", "openedAt", "reason", "balance", "sequence", "timestamp"}


@given(texts, texts)
def test_entries_of_different_kinds_never_share_a_key(account: str, key: str) -> None:
    keys = {
        codec.row_key(account),
        codec.outcome_key(account, key),
        codec.outcome_slot_key(account, 3),
        codec.quote_key(account),
    }
    assert len(keys) == 4
    assert [entry for entry in keys if entry.startswith(codec.ROW_PREFIX)] == [codec.row_key(account)]
    assert [entry for entry in keys if entry.startswith(codec.QUOTE_PREFIX)] == [codec.quote_key(account)]


def test_a_position_is_what_its_event_says() -> None:
    opened = StoredCell(flat(100)).opened(open_command())
    assert isinstance(opened.position, Position)
    assert opened.position.entry_price == opened.entry_price


def test_every_entry_of_an_account_is_named_by_it() -> None:
    assert codec.row_key("ann") == b"account/ann"
    assert codec.access_key("ann") == b"access/ann"
    assert codec.outcome_key("ann", "k") == b"outcome/ann/k"
    assert codec.outcome_slot_key("ann", 7) == b"slot/ann/7"
    assert codec.quote_key("SOL_USDC") == b"quote/SOL_USDC"


def test_a_close_of_before_rounding_was_forgiven_forgives_none() -> None:
    written = json.loads(codec.encode(close_command("pos_0_1")))
    written.pop("forgives_rounding", None)
    command = codec.decode_record(json.dumps(written).encode())
    assert isinstance(command, ClosePosition)
    assert command.forgives_rounding is False
