"""What the terminal's tables show."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.terminal.tables import coloured


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("1", "[green]+1.00[/]"),
        ("0.006", "[green]+0.01[/]"),
        ("0.004", "[white]+0.00[/]"),
        ("0", "[white]+0.00[/]"),
        ("-0", "[white]+0.00[/]"),
        ("-0.004", "[white]+0.00[/]"),
        ("-0.006", "[red]-0.01[/]"),
        ("-1234567.5", "[red]-1,234,567.50[/]"),
    ],
)
def test_the_colour_follows_the_sign_that_is_shown(amount: str, shown: str) -> None:
    assert coloured(Decimal(amount)) == shown
