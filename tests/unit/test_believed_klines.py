"""Klines that can be believed: all of a market's own, and none that no market can have had."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.market_data.believed_klines import NEIGHBOURS, believed
from exness_streams.market_data.rest import Kline


def kline(time_s: int, first: Decimal, last: Decimal, high: Decimal | None = None, low: Decimal | None = None) -> Kline:
    top, bottom = max(first, last), min(first, last)
    return Kline(time_s, first, high or top, low or bottom, last, Decimal(1))


def walk(seed: int, count: int, step: float = 0.05) -> list[Kline]:
    """A wild market: 5 % a minute."""
    rng, price, klines = random.Random(seed), Decimal(150), []
    for nth in range(count):
        last = price * Decimal(round(1 + rng.uniform(-step, step), 6))
        klines.append(kline(nth * 60, price, last))
        price = last
    return klines


ABSURD = [Decimal("1e-18"), Decimal("1e-6"), Decimal("0.5"), Decimal(99_999), Decimal("1e12")]


@given(
    st.integers(0, 9),
    st.dictionaries(st.integers(0, 39), st.tuples(st.sampled_from(ABSURD), st.sampled_from("flhloc")), max_size=5),
)
def test_a_market_with_absurd_klines_in_it_is_left_without_them(
    seed: int, absurd: dict[int, tuple[Decimal, str]]
) -> None:
    true = walk(seed, 40)
    told = list(true)
    for nth, (price, which) in absurd.items():
        one = true[nth]
        if which == "f":
            told[nth] = kline(one.time_s, price, price)
        else:
            high, low = max(one.high, price), min(one.low, price)
            told[nth] = kline(one.time_s, one.open, price if which == "c" else one.close, high, low)
    assert believed(told, true[-1].close) == [one for nth, one in enumerate(true) if nth not in absurd]


def test_a_crash_and_a_market_that_grew_a_hundred_times_in_a_year_are_believed() -> None:
    crashed = [*walk(1, 30), *(kline(nth * 60, Decimal(60), Decimal(60)) for nth in range(30, 60))]
    assert believed(crashed, Decimal(60)) == crashed
    price, grown = Decimal(1), []
    for nth in range(1_000):
        grown.append(kline(nth * 3_600, price, price * Decimal("1.0047")))
        price *= Decimal("1.0047")
    assert price > 100
    assert believed(grown, price) == grown


@pytest.mark.parametrize("known", ["1e-15", "1e12", "0.001"])
def test_a_page_out_of_reach_of_the_price_that_is_known_is_nothing(known: str) -> None:
    assert believed(walk(1, 50), Decimal(known)) == []


def test_nothing_and_one_alone() -> None:
    assert believed([], Decimal(150)) == []
    one = walk(1, 1)
    assert believed(one, Decimal(150)) == one
    assert NEIGHBOURS > 2
