"""Reading the topic of market updates: whatever is there, it is an update or has a name."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest

from exness_streams.domain.candles import TIME_MS_MAX
from exness_streams.domain.ticks import SEQUENCE_MAX, TickFault, is_price
from exness_streams.market_data.ticks import note_sequences, read_tick

NOW_MS = 1_790_000_000_000
SOL = b"SOL_USDC"


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None


def text(**fields: str) -> bytes:
    """A right update, with other texts of some of its fields."""
    right = {"symbol": '"SOL_USDC"', "price": "150", "timestamp": str(NOW_MS), "sequence": "5", "volume": "7"}
    pairs = {**right, "bid": "149", "ask": "151", **fields}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in pairs.items()) + "}").encode()


NO_PRICES = ["0", "-0", "-1", '"NaN"', '"sNaN"', '"Infinity"', '"-Infinity"', "1e500000", "1e30", "1e-19", "1e-500000"]
MANY_DIGITS = "0." + "1" * 33

FAULTY: list[tuple[bytes | None, TickFault]] = [
    *((value, TickFault.NO_UPDATE) for value in (None, b"", b"\x00", b"null", b"[]", b"7", b'"a"', b"{}", b"\xff\xfe")),
    (text(symbol='"SOL\xff"').replace(b"\xc3", b""), TickFault.NO_UPDATE),
    (b'{"symbol":"SOL_USDC","x":' + b"[" * 4_000, TickFault.NO_UPDATE),
    (b'{"symbol":"SOL_USDC","x":' + b"[" * 200_000, TickFault.NO_UPDATE),
    (text(x='"' + "x" * 5_000 + '"'), TickFault.NO_UPDATE),
    *((text(price=price), TickFault.NO_UPDATE) for price in ("null", "true", "[]", '""', "1e99999999999999999999")),
    *((text(timestamp=time), TickFault.NO_UPDATE) for time in ("null", '"now"', "1.5")),
    (text(symbol="5"), TickFault.NO_UPDATE),
    *((text(price=price), TickFault.BAD_PRICE) for price in (*NO_PRICES, MANY_DIGITS)),
    *((text(volume=volume), TickFault.BAD_VOLUME) for volume in ('"NaN"', "-5", "1e500000", "1e25", "1e-500000")),
    *(
        (text(**{name: price}), TickFault.BAD_DAY)
        for name in ("open24h", "high24h", "low24h")
        for price in (*NO_PRICES, MANY_DIGITS)
    ),
    *((text(quoteVolume24h=volume), TickFault.BAD_DAY) for volume in ('"NaN"', "-5", "1e500000", "1e25")),
    *((text(timestamp=time), TickFault.BAD_TIME) for time in ("-1", "10000000000000", "9" * 18, "9" * 3_900)),
    *((text(source=source), TickFault.BAD_SOURCE) for source in ('""', '"Backpack"', '"<b>"')),
    *((text(state=state), TickFault.BAD_STATE) for state in ('""', '"open"', '"settled"', '"Halted"', '"<b>"')),
    *((text(state=state), TickFault.NO_UPDATE) for state in ("1", "[]", "true")),
    *((text(sequence=number), TickFault.BAD_SEQUENCE) for number in ("-1", "10000000000000000", "9" * 18)),
]


@pytest.mark.parametrize(("value", "fault"), FAULTY)
def test_what_is_no_update_is_named(value: bytes | None, fault: TickFault) -> None:
    assert read_tick(Record(SOL, value)) == (None, fault)


@pytest.mark.parametrize("state", ["close_only", "halted"])
def test_the_exchange_s_state_is_read(state: str) -> None:
    tick, fault = read_tick(Record(SOL, text(state=f'"{state}"')))
    assert tick is not None
    assert (tick.state, fault) == (state, None)


@pytest.mark.parametrize("key", [None, b"", b"ETH_USDC", b"sol_usdc", b"\xff"])
def test_the_key_is_the_symbol(key: bytes | None) -> None:
    assert read_tick(Record(key, text())) == (None, TickFault.WRONG_KEY)


@pytest.mark.parametrize("symbol", ["", " ", "../x", "a b", "x" * 65, "\n"])
def test_a_symbol_is_a_name(symbol: str) -> None:
    escaped = symbol.replace("\n", "\\n")
    assert read_tick(Record(symbol.encode(), text(symbol=f'"{escaped}"'))) == (None, TickFault.BAD_SYMBOL)


@pytest.mark.parametrize(
    ("fields", "bid", "ask"),
    [
        ({}, "149", "151"),
        ({"bid": "151"}, "151", "151"),
        ({"bid": "null"}, None, "151"),
        ({"bid": '"149.5"', "price": '"150"', "volume": '"7"'}, "149.5", "151"),
        ({"bid": "1e-18", "ask": "999999999999.123456789012"}, "1e-18", "999999999999.123456789012"),
        ({"volume": "-0"}, "149", "151"),
        ({"other": "[[1]]"}, "149", "151"),
    ],
)
def test_a_right_update_is_taken(fields: dict[str, str], bid: str | None, ask: str | None) -> None:
    tick, fault = read_tick(Record(SOL, text(**fields)))
    assert tick is not None
    assert (fault, tick.price, tick.volume) == (None, 150, 7 if "volume" not in fields else Decimal(tick.volume or 0))
    assert [tick.bid, tick.ask] == [side and Decimal(side) for side in (bid, ask)]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"bid": "151.00000001"}, TickFault.CROSSED_BOOK),
        *(({side: price}, TickFault.BAD_BOOK) for side in ("bid", "ask") for price in (*NO_PRICES, MANY_DIGITS)),
    ],
)
def test_of_a_book_that_is_none_the_price_is_left(fields: dict[str, str], named: TickFault) -> None:
    tick, fault = read_tick(Record(SOL, text(**fields)))
    assert tick is not None
    assert (fault, tick.price, tick.bid, tick.ask) == (named, 150, None, None)
    assert read_tick(Record(SOL, text(**fields, volume="-1"))) == (None, TickFault.BAD_VOLUME)


def test_the_newest_sequences_are_those_of_updates() -> None:
    newest: dict[str, int] = {}
    others = [Record(SOL, value) for value, _ in FAULTY]
    note_sequences([*others, Record(SOL, text()), *others, Record(SOL, text(sequence="4"))], newest, 10)
    note_sequences([Record(b"ETH_USDC", text(symbol='"ETH_USDC"', sequence="9")), Record(None, text())], newest, 10)
    # One that can't be ours would number all that follow.
    note_sequences([Record(SOL, text(sequence="11"))], newest, 10)
    assert newest == {"SOL_USDC": 5, "ETH_USDC": 9}


@pytest.mark.parametrize(
    ("price", "right"),
    [
        ("1e-18", True),
        ("0.9e-18", False),
        ("1e12", True),
        ("1000000000000.00000000000000000001", False),
        ("123456789012.12345678901234567890", True),  # 32 digits
        ("123456789012.123456789012345678901", False),
    ],
)
def test_prices_have_bounds_and_32_digits(price: str, right: bool) -> None:
    assert is_price(Decimal(price)) is right


@pytest.mark.parametrize(("volume", "right"), [("1e24", True), ("1000000000000000000000001", False), ("0", True)])
def test_volumes_have_a_bound(volume: str, right: bool) -> None:
    tick, fault = read_tick(Record(b"SOL_USDC", text(volume=volume)))
    assert (fault is None) is right, (tick, fault)


@pytest.mark.parametrize(
    ("sequence", "right"), [(str(SEQUENCE_MAX), True), (str(SEQUENCE_MAX + 1), False), ("-1", False), ("0", True)]
)
def test_sequences_have_bounds(sequence: str, right: bool) -> None:
    _, fault = read_tick(Record(b"SOL_USDC", text(sequence=sequence)))
    assert (fault is None) is right
    assert SEQUENCE_MAX == (TIME_MS_MAX + 1) * 1000 - 1
