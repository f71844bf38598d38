"""The house's spread, whatever the quote: wider on both sides, never crossed, and exact but for one unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.instruments import mark_up
from exness_streams.domain.money import canonical, to_price
from exness_streams.domain.quotes import Quote

prices = st.decimals(Decimal("1e-12"), Decimal("1e12"), allow_nan=False, allow_infinity=False)
rates = st.integers(1, 49_999_999).map(lambda units: Decimal(units).scaleb(-8))


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    low, high = sorted((draw(prices), draw(prices)))
    return Quote(1, 1, low, draw(st.sampled_from([low, None])), draw(st.sampled_from([high, None])))


@given(quotes(), rates)
def test_each_side_moves_away_from_the_other(quote: Quote, rate: Decimal) -> None:
    marked = mark_up(quote, rate)
    assert (marked.bid is None, marked.ask is None) == (quote.bid is None, quote.ask is None)
    if quote.bid is not None and marked.bid is not None:
        assert 0 < marked.bid <= quote.bid
    if quote.ask is not None and marked.ask is not None:
        assert marked.ask >= quote.ask
    if marked.bid is not None and marked.ask is not None:
        assert marked.bid <= marked.ask
    assert (marked.sequence, marked.time_ms, marked.price, marked.volume) == (1, 1, quote.price, None)


@given(quotes(), rates)
def test_it_is_the_formula_rounded_once_onto_the_grid_of_prices(quote: Quote, rate: Decimal) -> None:
    marked = mark_up(quote, rate)
    half = Fraction(rate) / 2
    for side, given_price, factor in ((marked.bid, quote.bid, 1 - half), (marked.ask, quote.ask, 1 + half)):
        if side is None or given_price is None:
            continue
        exact = Fraction(given_price) * factor
        assert abs(Fraction(side) - exact) < min(Fraction(1, 10**8), exact / 10**7)
        assert (Fraction(side) <= exact) if factor < 1 else (Fraction(side) >= exact)
        assert to_price(side) == canonical(side)


@given(quotes(), rates)
def test_the_same_quote_gives_the_same_digits(quote: Quote, rate: Decimal) -> None:
    assert repr(mark_up(quote, rate)) == repr(mark_up(quote, rate))


@given(st.lists(prices, min_size=2, max_size=9), rates)
def test_it_keeps_the_order_of_prices(several: list[Decimal], rate: Decimal) -> None:
    """So a new low of the exchange's bids is never a new high of the house's."""
    bids = [mark_up(Quote(1, 1, price, price, price), rate) for price in sorted(several)]
    assert [quote.bid for quote in bids] == sorted(quote.bid or Decimal(0) for quote in bids)
    assert [quote.ask for quote in bids] == sorted(quote.ask or Decimal(0) for quote in bids)
