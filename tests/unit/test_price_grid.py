"""Which prices are on a grid, and which are next to one that is not."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.price_grid import nearest_on_grid


@pytest.mark.parametrize(
    ("price", "tick", "nearest"),
    [
        ("150", "0.01", []),
        ("150.010", "0.01", []),
        ("150.015", "0.01", ["150.01", "150.02"]),
        ("150.07", "0.05", ["150.05", "150.1"]),
        ("150", "0.010", []),
        ("7.3", "2.5", ["5", "7.5"]),
        ("0.004", "0.01", ["0.01"]),
        ("1E+2", "10", []),
        ("123456789012.000000000000000001", "0.00000001", ["123456789012", "123456789012.00000001"]),
        ("150.123", None, []),
        ("150.123", "0", []),
    ],
)
def test_the_nearest(price: str, tick: str | None, nearest: list[str]) -> None:
    assert [str(one) for one in nearest_on_grid(Decimal(price), None if tick is None else Decimal(tick))] == nearest


prices = st.decimals("0.000000000000000001", "1000000000000", places=18, allow_nan=False)
ticks = st.decimals("0.00000001", "1000", places=8, allow_nan=False)


@given(prices, ticks)
def test_they_are_multiples_on_both_sides(price: Decimal, tick: Decimal) -> None:
    nearest = nearest_on_grid(price, tick)
    assert bool(nearest) == bool(Fraction(price) % Fraction(tick))
    for one in nearest:
        assert Fraction(one) % Fraction(tick) == 0
        assert 0 < abs(Fraction(one) - Fraction(price)) < Fraction(tick)
        assert nearest_on_grid(one, tick) == []
    if len(nearest) == 2:
        assert nearest[0] < price < nearest[1]
