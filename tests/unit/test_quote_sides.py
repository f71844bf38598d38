"""Which side of a quote a trade meets."""

from __future__ import annotations

import pytest
from trading_samples import dec, quote

from exness_streams.domain.quotes import AHEAD_MS_MAX, Quote, Side, bounded_ms, follows, sequence_bound


@pytest.mark.parametrize(
    ("side", "bid", "ask", "opening", "closing", "mark"),
    [
        ("long", "149", "151", "151", "149", "149"),
        ("short", "149", "151", "149", "151", "151"),
        ("long", None, "151", "151", None, "150"),
        ("short", None, "151", None, "151", "151"),
        ("long", "149", None, None, "149", "149"),
        ("short", "149", None, "149", None, "150"),
        ("long", None, None, None, None, "150"),
    ],
)
def test_a_long_buys_at_the_ask_and_a_short_sells_at_the_bid(
    side: Side, bid: str | None, ask: str | None, opening: str | None, closing: str | None, mark: str
) -> None:
    market = quote(bid, ask, price="150")
    expected = [None if price is None else dec(price) for price in (opening, closing)]
    assert [market.opening_price(side), market.closing_price(side)] == expected
    assert market.mark_price(side) == dec(mark)
    assert market.is_two_sided == (bid is not None and ask is not None)


@pytest.mark.parametrize(
    ("age_ms", "fresh"),
    [(-AHEAD_MS_MAX - 1, False), (-AHEAD_MS_MAX, True), (0, True), (5_000, True), (5_001, False)],
)
def test_a_quote_is_fresh_from_a_little_ahead_until_its_age(age_ms: int, fresh: bool) -> None:
    assert Quote(1, 1_000_000, dec(150)).is_fresh(1_000_000 + age_ms, 5_000) is fresh


@pytest.mark.parametrize(("ahead_ms", "taken_ms"), [(-5, -5), (AHEAD_MS_MAX, AHEAD_MS_MAX), (AHEAD_MS_MAX + 1, 0)])
def test_a_time_of_the_future_is_now(ahead_ms: int, taken_ms: int) -> None:
    assert bounded_ms(1_000_000 + ahead_ms, 1_000_000) == 1_000_000 + taken_ms
    assert sequence_bound(1_000_000) == (1_000_000 + AHEAD_MS_MAX) * 1_000


@pytest.mark.parametrize(
    ("sequence", "known", "newer"),
    [
        (5, 4, True), (4, 4, False), (3, 4, False),
        (101, 102, False),  # both of the future: they order
        (100, 101, True),  # the known one is of the future, this one is not
        (100, 100, False), (101, 100, True),
    ],
)  # fmt: skip
def test_which_tick_is_newer_where_100_is_the_highest_of_now(sequence: int, known: int, newer: bool) -> None:
    assert follows(sequence, known, 100) is newer
