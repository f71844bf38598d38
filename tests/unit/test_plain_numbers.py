"""Numbers as they go out: no exponent in any form, and texts that look like numbers are left alone."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.api.errors import ApiError
from exness_streams.domain.plain_numbers import Form, PlainEncoder, in_plain_digits
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import EquityPoint, TradesMessage

FORMS: tuple[Form, ...] = ("number", "string")
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=None, min_value=-(10**20), max_value=10**20)


class Tagged(msgspec.Struct, frozen=True, tag="Tagged", tag_field="type", rename="camel", omit_defaults=True):
    some_amount: Decimal
    some_text: str
    nested: list[EquityPoint] = []
    left_out: Decimal | None = None


@given(numbers, numbers, st.sampled_from(["1E-7", "E+3", "-2.5E-10", "plain"]))
@pytest.mark.parametrize("form", FORMS)
def test_decimals_are_written_out_and_texts_stay(form: Form, amount: Decimal, balance: Decimal, text: str) -> None:
    message = Tagged(amount, text, [EquityPoint(1, balance)])
    document = PlainEncoder(form).encode(message).decode()
    assert re.search(r"[0-9]E", document.replace(text, "")) is None
    read = json.loads(document, parse_float=Decimal, parse_int=Decimal)
    assert list(read) == ["type", "someAmount", "someText", "nested"]
    assert (read["type"], read["someText"]) == ("Tagged", text)
    for shown, exact in ((read["someAmount"], amount), (read["nested"][0]["balance"], balance)):
        assert isinstance(shown, str if form == "string" else Decimal)
        assert Decimal(shown) == exact


def test_a_message_without_tiny_numbers_is_encoded_as_ever() -> None:
    message = TradesMessage(trades=[], next_cursor=None, sequence=3)
    assert PlainEncoder("number").encode(message) == msgspec.json.encode(message)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("1E-8 USD deposited", "0.00000001 USD deposited"),
        ("between 9.8E-7 and -1.20E-10.", "between 0.00000098 and -0.000000000120."),
        ("at most 1E+12", "at most 1000000000000"),
        ("a1E-8, 1E-8b, 1E-8-x and pos_1E-8 are names", "a1E-8, 1E-8b, 1E-8-x and pos_1E-8 are names"),
        ("ENOENT: E-mail", "ENOENT: E-mail"),
    ],
)
def test_sentences_are_written_out(said: str, written: str) -> None:
    assert in_plain_digits(said) == written


@pytest.mark.parametrize("code", [code for code in RejectionCode if code.name.startswith(("INVALID", "INSUF", "SLIP"))])
def test_a_rejection_is_told_without_exponents(code: RejectionCode) -> None:
    told = ApiError.of(Rejection(code, "above 9.8E-7", {"above": "9.8E-7", "limit": 3, "allowed": ["A"]}))
    assert (told.message, told.details) == ("above 0.00000098", {"above": "0.00000098", "limit": 3, "allowed": ["A"]})


def test_names_in_a_refusal_stay() -> None:
    told = ApiError.of(Rejection(RejectionCode.POSITION_NOT_FOUND, "no open position 1E-7", {"positionId": "1E-7"}))
    assert (told.message, told.details) == ("no open position 1E-7", {"positionId": "1E-7"})
