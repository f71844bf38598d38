"""Packed frames: they are told again byte for byte, damaged ones are refused, and those of yesterday can be read."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_frames import KeptFrames, KeptTicks
from trading_samples import close_command, flat, frame

from exness_streams.domain import codec, packed_frames, rules
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.packed_frames import DICTIONARY, FRAME_BYTES_MAX, SIGN, is_packed, pack, unpack
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RawFrame, RawTick
from exness_streams.domain.repairs import Unreadable, read_record
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import FramerState, Seen
from exness_streams.messages import MarketDataMessage, json_encoder

PACKED_ON_30_NOVEMBER_2026 = bytes.fromhex(
    "018590570ac0300c432f148ce4241e87ebdd4b3ae8a0e3c702231e927e22d2d3a09548cdf69af7ec426894cba35807bbf85055e1a25574"
    "b85c42bd3df63df5b9e09c7ee3b363d08e5b8b818810b6af29360a123d73dfc590eb34469d66"
)
ITS_JSON = (
    b'{"type":"PriceFrame","time_ms":1796023109294,"symbols":[["BTC_USDC",[1796023109290828,1796023109290,65015.7,'
    b'65022.1,65023.2,1797.8274],[],[],[],[],1,4],["SOL_USDC",[1796023109290717,1796023109290,150.2,150.2,150.23,'
    b'601088.14],[],[],[],[],0,4]],"epoch":1796023090599,"from":609,"to":612}'
)

TIME_MS = 1_796_000_000_000

json_like = st.binary(max_size=400) | st.text('{}[]",:0123456789.', max_size=3_000).map(str.encode)
repeated = st.tuples(st.binary(min_size=1, max_size=50), st.integers(1, 3_000)).map(lambda each: each[0] * each[1])


def raw_frame() -> RawFrame:
    quote = Quote(1, TIME_MS, Decimal("0.1"), Decimal("0.09999999999999999"), Decimal("0.11"), None)
    return RawFrame(TIME_MS, 7, 3, 4, (RawTick("SOL_USDC", 0, 5, quote),))


def two_symbols() -> PriceFrame:
    return PriceFrame(TIME_MS, (SymbolFrame("BTC_USDC", flat(2)), SymbolFrame("SOL_USDC", flat(1))), "simulated")


def test_what_was_packed_by_the_first_release_that_packed_is_read_by_this_one() -> None:
    assert unpack(PACKED_ON_30_NOVEMBER_2026) == ITS_JSON
    assert codec.decode_record(PACKED_ON_30_NOVEMBER_2026) == codec.decode_record(ITS_JSON)


def test_the_dictionary_is_the_one_that_journals_were_packed_with() -> None:
    """Nobody may change it. Another one needs another sign beside it, and other rules."""
    assert (SIGN, hashlib.sha256(DICTIONARY).hexdigest()) == (
        b"\x01",
        "11156574bda8a4c9e2a69d3a390307027848be7bf7d3b42971e3764061393847",
    )


@given(json_like | repeated)
@settings(max_examples=examples(300), deadline=None)
def test_what_is_packed_is_told_again_byte_for_byte(value: bytes) -> None:
    packed = pack(value)
    assert is_packed(packed)
    assert unpack(packed) == value


@pytest.mark.parametrize("told", [frame(flat(1)), two_symbols(), raw_frame()])
def test_a_packed_frame_is_the_same_record(told: PriceFrame | RawFrame) -> None:
    packed, plain = codec.encode_frame(told, packed=True), codec.encode_frame(told, packed=False)
    assert plain == codec.encode(told)
    assert codec.decode_record(packed) == codec.decode_record(plain) == told
    assert len(packed) < len(plain) * 0.6


def test_no_json_is_taken_for_a_packed_record() -> None:
    assert not any(is_packed(codec.encode(each)) for each in (frame(flat(1)), raw_frame(), close_command("p")))
    assert not any(is_packed(space + b"{}") for space in (b"", b" ", b"\t", b"\n", b"\r"))


def test_a_record_that_is_cut_off_anywhere_is_refused() -> None:
    for end in range(1, len(PACKED_ON_30_NOVEMBER_2026)):
        with pytest.raises(msgspec.DecodeError, match="a packed frame is damaged"):
            unpack(PACKED_ON_30_NOVEMBER_2026[:end])


@pytest.mark.parametrize("behind", [b"\x00", b"}", PACKED_ON_30_NOVEMBER_2026])
def test_more_behind_the_frame_is_refused(behind: bytes) -> None:
    with pytest.raises(msgspec.DecodeError, match="does not end where its record ends"):
        unpack(PACKED_ON_30_NOVEMBER_2026 + behind)


@given(st.integers(1, len(PACKED_ON_30_NOVEMBER_2026) - 1), st.integers(1, 255))
@settings(max_examples=examples(400), deadline=None)
def test_of_a_damaged_byte_there_is_a_record_or_one_clear_fault(at: int, change: int) -> None:
    damaged = bytearray(PACKED_ON_30_NOVEMBER_2026)
    damaged[at] ^= change
    try:
        read_record(0, rules.NEWEST, 5, bytes(damaged))
    except Unreadable as fault:
        assert str(fault).startswith("record 5 of partition 0 of the journal can't be folded: ")
        assert str(fault).isprintable()


def test_a_small_record_can_not_fill_the_memory() -> None:
    with pytest.raises(msgspec.DecodeError, match="a packed frame is damaged"):
        unpack(pack(bytes(FRAME_BYTES_MAX + 1)))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (codec.encode(close_command("p")), "this release knows no such record"),
        (b'{"type":"PriceFrame","time_ms":1,"symbols":[],"x":1}', "this release knows no such record"),
        (b'{"type":"PriceFrame"}', "missing required field"),
        (b"{}", "missing required field"),
        (b"", "truncated"),
        (b"\xff", "malformed"),
        (PACKED_ON_30_NOVEMBER_2026, "malformed"),
    ],
)
def test_packed_is_a_frame_and_nothing_else(value: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read_record(0, rules.NEWEST, 0, pack(value))


def test_of_a_way_to_pack_that_is_not_known_nothing_is_guessed() -> None:
    for sign in (b"\x00", b"\x02", b"\x1f", b"\x78"):
        with pytest.raises(Unreadable):
            read_record(0, rules.NEWEST, 0, sign + PACKED_ON_30_NOVEMBER_2026[1:])


class Tick(NamedTuple):
    offset: int
    value: bytes


def tick(offset: int) -> Tick:
    price = Decimal(100 + offset)
    update = MarketDataMessage("SOL_USDC", price, 1_000 + offset, offset + 1, None, price, price + 1)
    return Tick(offset, json_encoder.encode(update))


async def test_frames_are_packed_from_the_moment_that_every_cell_goes_by_those_rules() -> None:
    known = rules.PACKED_FRAMES - 1

    async def rules_of_all() -> int:
        return known

    kept = KeptFrames()
    framer = Framer(kept, 2, 0, KeptTicks(FramerState(1, 0, 0)), seen=lambda: Seen(), rules=rules_of_all)
    await framer.frame(0, [tick(0)])
    await framer.beat()
    assert forms(kept) == [False] * 2
    known = rules.PACKED_FRAMES
    await framer.beat()
    await framer.frame(0, [tick(1)])
    assert forms(kept) == [False] * 2 + [True] * 2
    again = KeptFrames()  # by a framer whose session begins by those rules
    await Framer(again, 2, 0, KeptTicks(FramerState(1, 0, 0)), rules=rules_of_all).frame(0, [tick(2)])
    assert forms(again) == [True] * 2
    assert [each.to_offset for each in [*kept.frames(), *again.frames()]][-1] == 3
    assert packed_frames.is_packed(again.appended[0][0][0].value or b"")


def forms(kept: KeptFrames) -> list[bool]:
    """Of each record, whether it is packed."""
    return [is_packed(record.value or b"") for records, _, _ in kept.appended for record in records]
