"""Rounding and the one way to write an amount."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.money import (
    AMOUNT_MAX,
    canonical,
    has_decimal_comma,
    money_arithmetic,
    to_money,
    to_price,
    to_quantity,
)

amounts = st.decimals(-AMOUNT_MAX, AMOUNT_MAX, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        ("0", "0"), ("-0", "0"), ("0E+5", "0"), ("0.00", "0"), ("1.50", "1.5"), ("100", "100"), ("1E+2", "100"),
        ("-1.0", "-1"), ("120.00", "120"), ("0.00000001", "1E-8"), ("1E-12", "1E-12"),
    ],
)  # fmt: skip
def test_a_value_is_written_in_one_way(raw: str, written: str) -> None:
    assert str(canonical(Decimal(raw))) == written


@given(amounts)
def test_canonical_keeps_the_value_and_forgets_how_it_was_spelt(amount: Decimal) -> None:
    spelt = canonical(amount)
    assert spelt == amount
    assert str(canonical(spelt)) == str(spelt)
    sign, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    assert str(canonical(Decimal((sign, (*digits, 0, 0), exponent - 2)))) == str(spelt)
    assert "E+" not in str(spelt)


@pytest.mark.parametrize(
    ("raw", "rounded"),
    [
        ("1.000000005", "1"), ("1.000000015", "1.00000002"), ("1.0000000050001", "1.00000001"),
        ("-1.000000005", "-1"), ("-1.000000015", "-1.00000002"), ("0.000000004", "0"), ("-0.000000004", "0"),
    ],
)  # fmt: skip
def test_money_has_8_places_half_even(raw: str, rounded: str) -> None:
    assert str(to_money(Decimal(raw))) == rounded


@pytest.mark.parametrize(
    ("raw", "rounded"), [("1.999999999", "1.99999999"), ("0.000000009999", "0"), ("2.50000000", "2.5")]
)
def test_a_quantity_is_rounded_down(raw: str, rounded: str) -> None:
    assert str(to_quantity(Decimal(raw))) == rounded


@pytest.mark.parametrize(
    ("raw", "rounded"),
    [
        ("75.123456789", "75.12345679"), ("123456.123456785", "123456.12345678"), ("1.000000005", "1"),
        ("0.123456785", "0.12345678"), ("0.0123456785", "0.012345678"), ("0.000001234567891", "0.0000012345679"),
    ],
)  # fmt: skip
def test_a_derived_price_keeps_8_places_or_8_digits(raw: str, rounded: str) -> None:
    assert to_price(Decimal(raw)) == Decimal(rounded)


@given(amounts)
def test_rounding_is_near_and_final(amount: Decimal) -> None:
    money, quantity = to_money(amount), to_quantity(amount)
    with money_arithmetic():
        assert abs(money - amount) <= Decimal("5e-9")
        assert 0 <= abs(amount) - abs(quantity) < Decimal("1e-8")
    assert to_money(money) == money
    assert to_quantity(quantity) == quantity


def test_the_callers_decimal_context_makes_no_difference() -> None:
    with localcontext() as context:
        context.prec, context.rounding = 3, ROUND_UP
        context.traps[Inexact] = True
        assert to_money(Decimal("123456.123456785")) == Decimal("123456.12345678")
        with money_arithmetic():
            assert Decimal("123456.12345678") * Decimal("1.5") == Decimal("185184.18518517")


def test_the_largest_amounts_are_still_exact() -> None:
    digits = Decimal("999999999999.99999999")
    with money_arithmetic():
        product = digits * digits * digits
        assert product == Decimal(99999999999999999999**3).scaleb(-24)


@pytest.mark.parametrize("raw", ["Infinity", "-Infinity", "NaN", "sNaN"])
def test_what_is_no_number_is_not_written(raw: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        canonical(Decimal(raw))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1,5", True), (" -1.234,50 ", True), ("+1'000,5", True), ("1,5" + "0" * 96, True), ("1,5" + "0" * 97, False),
        ("", False), (",", False), (" , ", False), ("15", False), ("1.5", False), ("a,5", False), ("1,5 USD", False),
    ],
)  # fmt: skip
def test_a_decimal_comma_is_recognised(text: str, is_one: bool) -> None:
    assert has_decimal_comma(text) is is_one
