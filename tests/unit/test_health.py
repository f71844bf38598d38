"""Health: what is refused for lack of a price is said, and named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.api.views.health import reasons_not_to_trade
from exness_streams.domain.quotes import Quote

NOW_MS = 1_790_000_000_000
PRICE = Decimal(150)
GOOD = Quote(1, NOW_MS - 5_000, PRICE, PRICE, PRICE)
OLD = Quote(1, NOW_MS - 5_001, PRICE, PRICE, PRICE)
NO_BID = Quote(1, NOW_MS, PRICE, None, PRICE)
NO_ASK = Quote(1, NOW_MS, PRICE, PRICE, None)


@pytest.mark.parametrize(
    ("quotes", "reasons"),
    [
        ({}, ["SOL_USDC, BTC_USDC: no quote has arrived yet"]),
        ({"SOL_USDC": GOOD, "BTC_USDC": GOOD}, []),
        ({"SOL_USDC": GOOD}, ["BTC_USDC: no quote has arrived yet"]),
        ({"SOL_USDC": GOOD, "BTC_USDC": OLD}, ["BTC_USDC: the newest quote is older than 5000 ms"]),
        ({"SOL_USDC": NO_BID, "BTC_USDC": NO_ASK}, ["SOL_USDC, BTC_USDC: a side of the book is empty"]),
        (
            {"SOL_USDC": OLD, "BTC_USDC": NO_ASK},
            ["SOL_USDC: the newest quote is older than 5000 ms", "BTC_USDC: a side of the book is empty"],
        ),
        ({"SOL_USDC": GOOD, "BTC_USDC": GOOD, "AAPL_USDC": OLD}, []),
    ],
)
def test_an_instrument_without_a_usable_quote_is_named(quotes: dict[str, Quote], reasons: list[str]) -> None:
    assert reasons_not_to_trade(("SOL_USDC", "BTC_USDC"), quotes, NOW_MS, 5_000) == reasons
