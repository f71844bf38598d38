"""The name that was probably meant."""

from __future__ import annotations

import pytest

from exness_streams.domain.nearest import nearest

NAMES = ("symbol", "limit", "cursor", "stopLoss", "takeProfit")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("simbol", "symbol"),
        ("LIMIT", "limit"),
        ("limits", "limit"),
        ("stoploss", "stopLoss"),
        ("take_profit", "takeProfit"),
        ("", None),
        ("zzz", None),
        ("x" * 10_000, None),
    ],
)
def test_it_is_near_or_none(text: str, meant: str | None) -> None:
    assert nearest(text, NAMES) == meant
    assert nearest(text, ()) is None
