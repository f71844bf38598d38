"""The exchange's market rows: what decides is read or refuses the row, all else is read or not known."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.api.presenter import market_message
from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.market_facts import MarginFunction, PriceBands
from exness_streams.market_data.market_rows import read_market
from exness_streams.messages import json_encoder

PERP: dict[str, Any] = {
    "baseSymbol": "SOL",
    "createdAt": "2025-01-21T06:34:54.691858",
    "filters": {
        "price": {
            "borrowEntryFeeMaxMultiplier": None,
            "maxImpactMultiplier": "1.03",
            "maxMultiplier": "1.25",
            "maxPrice": "1000",
            "meanMarkPriceBand": {"maxMultiplier": "1.1", "minMultiplier": "0.9"},
            "meanPremiumBand": {"tolerancePct": "0.05"},
            "minImpactMultiplier": "0.97",
            "minMultiplier": "0.75",
            "minPrice": "0.01",
            "tickSize": "0.01",
        },
        "quantity": {"maxQuantity": None, "minQuantity": "0.01", "stepSize": "0.01"},
    },
    "fundingInterval": "28800000",
    "imfFunction": {"base": "0.02", "factor": "0.0001275", "type": "sqrt"},
    "marketType": "PERP",
    "mmfFunction": {"base": "0.0125", "factor": "0.0000765", "type": "sqrt"},
    "orderBookState": "CancelOnly",
    "quoteSymbol": "USDC",
    "symbol": "SOL_USDC_PERP",
    "visible": False,
}


def read(row: dict[str, Any]) -> Any:
    return read_market(msgspec.Raw(json.dumps(row).encode()))


def test_everything_that_the_platform_may_need_is_kept() -> None:
    market = read(PERP)
    assert (market.is_open, market.state, market.is_visible) == (False, "CancelOnly", False)
    assert market.funding_interval_ms == 28_800_000
    assert market.initial_margin == MarginFunction("sqrt", Decimal("0.02"), Decimal("0.0001275"))
    assert market.maintenance_margin == MarginFunction("sqrt", Decimal("0.0125"), Decimal("0.0000765"))
    assert market.bands == PriceBands(
        min_price=Decimal("0.01"),
        max_price=Decimal(1000),
        min_multiplier=Decimal("0.75"),
        max_multiplier=Decimal("1.25"),
        impact_min_multiplier=Decimal("0.97"),
        impact_max_multiplier=Decimal("1.03"),
        mark_min_multiplier=Decimal("0.9"),
        mark_max_multiplier=Decimal("1.1"),
        premium_tolerance=Decimal("0.05"),
    )


@pytest.mark.parametrize("sent", [28_800_000, "28800000", 28_800_000.0])
def test_the_funding_interval_comes_as_text_and_as_a_number(sent: object) -> None:
    assert read({**PERP, "fundingInterval": sent}).funding_interval_ms == 28_800_000


def test_a_spot_market_and_an_older_row_say_less() -> None:
    older = {name: PERP[name] for name in ("symbol", "baseSymbol", "quoteSymbol", "marketType")}
    market = read(older)
    assert (market.is_open, market.state, market.is_visible) == (True, None, True)
    assert market.bands == PriceBands()
    assert (market.funding_interval_ms, market.initial_margin, market.maintenance_margin) == (None, None, None)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
UNDECIDING = ("visible", "fundingInterval", "imfFunction", "mmfFunction")
BANDS = ("minPrice", "maxPrice", "minMultiplier", "maxMultiplier", "minImpactMultiplier", "maxImpactMultiplier",
         "meanMarkPriceBand", "meanPremiumBand")  # fmt: skip


@given(st.dictionaries(st.sampled_from(UNDECIDING), odd), st.dictionaries(st.sampled_from(BANDS), odd))
def test_whatever_stands_where_nothing_is_decided_the_market_is_read(
    fields: dict[str, Any], bands: dict[str, Any]
) -> None:
    row = {**PERP, **fields, "filters": {**PERP["filters"], "price": {**PERP["filters"]["price"], **bands}}}
    market = read(row)
    assert (market.symbol, market.tick_size, market.state) == ("SOL_USDC_PERP", Decimal("0.01"), "CancelOnly")


@pytest.mark.parametrize("symbol", ["", "SOL USDC", 5])
def test_a_row_without_a_symbol_is_none(symbol: object) -> None:
    with pytest.raises(ValueError):
        read({**PERP, "symbol": symbol})


TERMS = Terms(
    symbol="SOL_USDC_PERP",
    leverage_max=Decimal(100),
    margin_min=Decimal(1),
    fee_rate=Decimal(0),
    maintenance_margin_rate=Decimal(0),
)
FACTS = ("visible", "priceBands", "fundingInterval", "imfFunction", "mmfFunction")


def shown(row: dict[str, Any] | None) -> dict[str, Any]:
    listed = None if row is None else read(row)
    message = market_message(TERMS, None, Limits(), None, listed, is_fresh=False)
    decoded: dict[str, Any] = json.loads(json_encoder.encode(message), parse_float=Decimal)
    return {name: decoded[name] for name in FACTS}


def test_what_the_exchange_says_is_in_the_markets_document() -> None:
    assert shown(PERP) == {
        "visible": False,
        "priceBands": {
            "minPrice": Decimal("0.01"),
            "maxPrice": 1000,
            "minMultiplier": Decimal("0.75"),
            "maxMultiplier": Decimal("1.25"),
            "impactMinMultiplier": Decimal("0.97"),
            "impactMaxMultiplier": Decimal("1.03"),
            "markMinMultiplier": Decimal("0.9"),
            "markMaxMultiplier": Decimal("1.1"),
            "premiumTolerance": Decimal("0.05"),
        },
        "fundingInterval": 28_800_000,
        "imfFunction": {"type": "sqrt", "base": Decimal("0.02"), "factor": Decimal("0.0001275")},
        "mmfFunction": {"type": "sqrt", "base": Decimal("0.0125"), "factor": Decimal("0.0000765")},
    }


def test_what_is_not_known_is_null() -> None:
    assert shown(None) == dict.fromkeys(FACTS)
    spot = {
        name: value for name, value in PERP.items() if name not in ("fundingInterval", "imfFunction", "mmfFunction")
    }
    assert shown({**spot, "visible": True, "filters": None}) == {**dict.fromkeys(FACTS), "visible": True}
    half = {**PERP, "filters": {"price": {"minMultiplier": "0.75"}}}
    bands = shown(half)["priceBands"]
    assert {name for name, value in bands.items() if value is not None} == {"minMultiplier"}
