"""The formulas, figure by figure."""

from __future__ import annotations

from decimal import Decimal

import pytest
from trading_samples import dec

from exness_streams.domain.formulas import (
    fill_fee,
    is_beyond_slippage,
    liquidation_price,
    opening_quantity,
    profit,
    realized_profit,
)
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.quotes import Side


@pytest.mark.parametrize(
    ("side", "entry", "leverage", "rate", "expected"),
    [
        ("long", "150", "100", "0", "148.5"),
        ("short", "150", "100", "0", "151.5"),
        ("long", "150", "3", "0", "100"),
        ("short", "150", "3", "0", "200"),
        ("long", "100", "7", "0", "85.71428571"),  # 6/7
        ("long", "150", "1", "0", "0"),
        ("short", "150", "1", "0", "300"),
        ("long", "100", "10", "0.005", "90.5"),
        ("short", "100", "10", "0.005", "109.5"),
        ("long", "100", "1", "0.005", "0.5"),
    ],
)
def test_liquidation_price(side: Side, entry: str, leverage: str, rate: str, expected: str) -> None:
    with money_arithmetic():
        assert liquidation_price(side, dec(entry), dec(leverage), dec(rate)) == dec(expected)


def test_quantity_is_what_the_margin_buys_and_never_more() -> None:
    with money_arithmetic():
        assert opening_quantity(dec(1000), dec(2), dec(150)) == dec("13.33333333")
        assert opening_quantity(dec(1), dec(1), dec("100000001")) == 0


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [("long", "110", "20"), ("long", "95", "-10"), ("short", "110", "-20"), ("short", "95", "10")],
)
def test_profit(side: Side, price: str, expected: str) -> None:
    assert profit(side, dec(100), dec(price), dec(2)) == dec(expected)


@pytest.mark.parametrize(
    ("price", "expected"), [("100", "0"), ("75", "-50"), ("74.99", "-50"), ("0.01", "-50"), ("200", "200")]
)
def test_a_loss_ends_at_the_margin(price: str, expected: str) -> None:
    assert realized_profit("long", dec(100), dec(price), dec(2), dec(50)) == dec(expected)


def test_a_fee_is_a_fraction_of_the_notional() -> None:
    assert fill_fee(dec("1.5"), dec(100), Decimal("0.001")) == dec("0.15")
    assert fill_fee(dec("0.00000001"), dec("0.5"), dec("0.5")) == 0
    assert fill_fee(dec(10), dec(10), dec(0)) == 0


@pytest.mark.parametrize(
    ("buys", "fill", "beyond"),
    [(True, "101", False), (True, "101.00000001", True), (True, "50", False),
     (False, "99", False), (False, "98.99999999", True), (False, "150", False)],
)  # fmt: skip
def test_slippage_counts_the_worse_side_only(buys: bool, fill: str, beyond: bool) -> None:
    assert is_beyond_slippage(buys, dec(fill), dec(100), dec(1)) is beyond
