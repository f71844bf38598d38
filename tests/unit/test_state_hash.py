"""The state hash depends on what the entries say, all of them, and on nothing else: not on how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_samples import StoredCell, close_command, deposit_command, flat, frame, open_command, place_command

from exness_streams.domain import codec
from exness_streams.domain.canonical_entries import is_same, meaning_of
from exness_streams.domain.state_hash import bytes_hash, state_hash

stores = st.dictionaries(st.binary(max_size=6), st.binary(max_size=6), max_size=6)


@given(stores, st.randoms(use_true_random=False))
def test_the_order_of_writing_makes_no_difference(store: dict[bytes, bytes], random: st.DrawFn) -> None:
    shuffled = list(store.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert state_hash(shuffled) == state_hash(store.items())


@given(stores, stores)
def test_different_entries_give_different_hashes(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    assert (state_hash(one.items()) == state_hash(other.items())) == (one == other)


def test_where_a_key_ends_counts() -> None:
    assert state_hash([(b"ab", b"c")]) != state_hash([(b"a", b"bc")])
    assert state_hash([(b"a", b"b"), (b"c", b"d")]) != state_hash([(b"a", b"b1 1 cd")])


def test_the_form_is_fixed() -> None:
    """Hashes are compared between versions of the program: a change of the form breaks old checkpoints."""
    assert state_hash([]) == sha256().hexdigest()
    assert state_hash([(b"b", b"22"), (b"a", b"1")]) == sha256(b"1 1 a1" + b"1 2 b22").hexdigest()
    assert bytes_hash([(b"b", b"22"), (b"a", b"1")]) == sha256(b"1 1 a1" + b"1 2 b22").hexdigest()


def test_the_form_of_an_entry_is_fixed_too() -> None:
    quote = codec.encode(flat("100.50", 7))
    written = b'{"ask":"100.5","bid":"100.5","price":"100.5","sequence":7,"time_ms":1790000000000}'
    assert meaning_of(codec.quote_key("SOL_USDC"), quote) == written


# How else the same entry may be written, each over its JSON document.


def mapped(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def through(value: Any) -> Any:
        if isinstance(value, dict):
            return change({name: through(part) for name, part in value.items()})
        if isinstance(value, list):
            return [through(part) for part in value]
        return change(value)

    return through


def is_a_dict_of_its_own_order(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(part, dict) for part in value.values())


WAYS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda document: document,
    "other order of fields": mapped(
        lambda value: (
            dict(reversed(value.items()))
            if isinstance(value, dict) and not is_a_dict_of_its_own_order(value)
            else value
        )
    ),
    "trailing zeros": mapped(lambda value: value.normalize() * Decimal("1.000") if type(value) is Decimal else value),
    "as exponents": mapped(lambda value: Decimal(f"{value:E}") if type(value) is Decimal else value),
    "as text": mapped(lambda value: str(value) if type(value) is Decimal else value),
    "a field more": mapped(
        lambda value: (
            value | {"of_a_later_release": 1}
            if isinstance(value, dict) and value.keys() & {"account_id", "fingerprint", "accountId", "entry_price"}
            else value
        )
    ),
    "without what is None": mapped(
        lambda value: (
            {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else value
        )
    ),
    "other words": mapped(
        lambda value: value | {"message": "in other words"} if isinstance(value, dict) and "message" in value else value
    ),
}


def entries_of_a_busy_cell() -> dict[bytes, bytes]:
    cell = StoredCell(flat("100.25"))
    opened = [cell.opened(open_command(key=f"open-{n}", margin=100 + n, stop="60")) for n in range(3)]
    cell.fold(close_command(opened[1].position_id, key="half", percentage="50"))
    cell.fold(close_command("pos_none", key="refused"))
    cell.fold(open_command(key="too-much", margin=100_000))
    cell.fold(place_command(key="wait", price="90.5"))
    cell.fold(deposit_command("12.5", key="more"))
    cell.fold(frame(flat("101.125", 2)))
    return cell.entries()


@pytest.mark.parametrize("way", WAYS)
def test_how_an_entry_is_written_makes_no_difference(way: str) -> None:
    entries = entries_of_a_busy_cell()
    otherwise = {}
    for key, value in entries.items():
        otherwise[key] = value
        if not key.startswith(codec.SLOT_PREFIX):
            document = json.loads(value, parse_float=Decimal, parse_int=lambda digits: int(digits))
            otherwise[key] = json.dumps(WAYS[way](document), default=str).encode()
    assert state_hash(otherwise.items()) == state_hash(entries.items())
    assert all(is_same(key, value, otherwise[key]) for key, value in entries.items())
    assert bytes_hash(otherwise.items()) != bytes_hash(entries.items())


def leaves(document: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a document that is a value."""
    found: list[tuple[Any, Any]] = []
    parts = document.items() if isinstance(document, dict) else enumerate(document)
    for name, part in parts:
        found += leaves(part) if isinstance(part, dict | list) else [(document, name)]
    return found


WORDS_ALONE = {"message", "entryFee"}


def test_every_value_of_an_entry_makes_a_difference() -> None:
    entries = entries_of_a_busy_cell()
    whole = state_hash(entries.items())
    for key, value in entries.items():
        if key.startswith(codec.SLOT_PREFIX):
            continue
        for at in range(len(leaves(json.loads(value)))):
            document = json.loads(value, parse_float=Decimal)
            container, name = leaves(document)[at]
            if name in WORDS_ALONE:
                continue
            part = container[name]
            container[name] = part + "x" if isinstance(part, str) else 17 if part is None else part + 1
            changed = json.dumps(document, default=str).encode()
            assert state_hash((entries | {key: changed}).items()) != whole, (key, name)
            assert not is_same(key, value, changed), (key, name)


def test_the_order_in_which_positions_were_opened_is_state() -> None:
    """Close-all closes them in it."""
    (key, value), *_ = [item for item in entries_of_a_busy_cell().items() if item[0].startswith(codec.ROW_PREFIX)]
    document = json.loads(value, parse_float=Decimal)
    document["positions"] = dict(reversed(document["positions"].items()))
    assert not is_same(key, value, json.dumps(document, default=str).encode())


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"[]", b"null"])
def test_an_entry_that_cant_be_read_means_its_bytes(value: bytes) -> None:
    assert meaning_of(codec.row_key("demo"), value) == value
    assert not is_same(codec.row_key("demo"), value, None)
    assert is_same(codec.row_key("demo"), None, None)
