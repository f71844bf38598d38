"""Workers that decide alike have one digest, however their settings are written; those that don't, have another."""

from __future__ import annotations

from typing import Any

import pytest

from exness_streams.settings.deciding import deciding_digest
from exness_streams.settings.platform import load_settings


def digest(**settings: Any) -> str:
    return deciding_digest(load_settings(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"fee_rate": "0.0005"},
        {"maintenance_margin_rate": "0.01"},
        {"spread_rate": "0.001"},
        {"max_leverage": "50"},
        {"terms": '{"SOL_USDC":{"feeRate":0.0005}}'},
        {"terms": '{"SOL_USDC":{"minMargin":2}}'},
        {"instruments": ("SOL_USDC", "BTC_USDC")},
        {"max_open": 100},
        {"max_exposure": "1000"},
        {"starting_balance": "5000"},
        {"max_quote_age_ms": 6_000},
        {"price_band": 0},
        {"terms": '{"SOL_USDC":{"priceBand":0.2}}'},
    ],
)
def test_what_decides_is_in_the_digest(settings: dict[str, Any]) -> None:
    assert digest(**settings) != digest()


@pytest.mark.parametrize(
    "settings",
    [
        {"starting_balance": "10000.00"},
        {"max_leverage": "100.0"},
        {"instruments": ("ETH_USDC", "SOL_USDC", "BTC_USDC")},
        {"terms": '{"SOL_USDC":{"maxLeverage":100}}'},
        {"frame_pace_ms": 100},
        {"margin_call_level": "80"},
        {"port": 4_001},
    ],
)
def test_what_only_shows_or_paces_is_not_nor_how_a_number_is_written(settings: dict[str, Any]) -> None:
    assert digest(**settings) == digest()


def test_a_digest_is_the_same_in_every_process() -> None:
    assert digest() == "687fd824ca26"
