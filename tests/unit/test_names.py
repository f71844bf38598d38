"""Names as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.terminal.names import Ambiguous, did_you_mean, find, nearest

NAMES = ("SOL", "SOL_USDC", "SOL_USDC_PERP", "BTC", "BTC_USDC", "kBONK", "kBONK_USDC", "AAPL.US", "AAPL.US_USDC_PERP")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((name, name) for name in NAMES),
        *((name.lower(), name) for name in NAMES),
        *((name.upper(), name) for name in NAMES),
        ("Sol", "SOL"),
        ("sol/usdc", "SOL_USDC"),
        ("SOL-USDC", "SOL_USDC"),
        ("solusdc", "SOL_USDC"),
        (" btc ", "BTC"),
        ("sol-usdc-perp", "SOL_USDC_PERP"),
        ("slo", None),
        ("", None),
        ("_", None),
        ("---", None),
    ],
)
def test_which_name_is_meant(typed: str, meant: str | None) -> None:
    assert find(typed, NAMES) == meant


@pytest.mark.parametrize("typed", ["aBc", "abC_x"])
def test_a_name_that_can_be_two_is_neither(typed: str) -> None:
    names = ("abc", "ABC", "abc_x", "ABC_X")
    with pytest.raises(Ambiguous, match=r" can be ABC.* or abc"):
        find(typed, names)
    assert [find(name, names) for name in names] == list(names)


@pytest.mark.parametrize(
    ("typed", "near"),
    [("slo", "SOL"), ("SOL_USD", "SOL_USDC"), ("btcc", "BTC"), ("bonk", "kBONK"), ("XRPQZW", None), ("", None)],
)
def test_the_nearest(typed: str, near: str | None) -> None:
    assert nearest(typed, NAMES) == near
    assert did_you_mean(typed, NAMES) == ("" if near is None else f"; did you mean {near}?")


@given(st.text(max_size=70), st.sets(st.text(min_size=1, max_size=10), max_size=5))
def test_no_text_breaks_it(typed: str, names: set[str]) -> None:
    near = nearest(typed, names)
    assert near is None or near in names
    try:
        found = find(typed, names)
    except Ambiguous:
        return
    assert found is None or found in names
    assert typed not in names or found == typed
