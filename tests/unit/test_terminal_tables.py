"""What the terminal's tables show."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from cli_fakes import CLOSED, ORDER, POSITION
from rich.console import Console

from exness_streams.messages import CloseMessage, OrderMessage, PositionMessage
from exness_streams.terminal.tables import coloured, show_closed, show_modified, show_opened, show_order, signed


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


def test_a_gain_of_any_size_has_its_digits() -> None:
    assert signed(Decimal("123456789012345678901234567890.129")) == "+123,456,789,012,345,678,901,234,567,890.13"
    assert signed(Decimal("-0.001")) == "+0.00"


@pytest.mark.parametrize("width", [30, 60, 80])
@pytest.mark.parametrize("number", ["0.00000098", "123456789.12345678"])
@pytest.mark.parametrize(
    ("kind", "fields", "show"),
    [
        (PositionMessage, POSITION, show_opened),
        (PositionMessage, POSITION, show_modified),
        (CloseMessage, CLOSED, show_closed),
        (OrderMessage, ORDER, show_order),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_sentence_goes_on_between_two_words(
    kind: Any, fields: dict[str, Any], show: Callable[[Console, Any], None], number: str, width: int
) -> None:
    names = ("quantity", "entryPrice", "liquidationPrice", "stopLoss", "takeProfit", "markPrice", "price", "closePrice")
    told = msgspec.convert(fields | {name: number for name in names if name in fields}, kind, strict=False)
    shown = {}
    for is_terminal in (True, False):
        console = Console(width=width, file=io.StringIO(), force_terminal=is_terminal, color_system=None)
        show(console, told)
        assert isinstance(console.file, io.StringIO)
        shown[is_terminal] = console.file.getvalue()
    assert shown[True].split() == shown[False].split()
    assert max(map(len, shown[True].splitlines())) <= width
    assert number in [word.strip(",:") for word in shown[True].split()]
    assert len(shown[False].splitlines()) <= 2, "for a program, a line is a line"


def test_an_order_that_was_filled_at_once_says_where_and_how_to_close_it() -> None:
    filled = {"status": "filled", "fillPrice": "99.5", "positionId": "pos_0_2", "quantity": "10.05025125"}
    console = Console(width=200, file=io.StringIO(), force_terminal=False, color_system=None)
    show_order(console, msgspec.convert(ORDER | filled, OrderMessage, strict=False))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "limit buy 10.05025125 SOL_USDC at 100: filled at 99.5, margin 500.00 USD",
        "close it with: exness-streams close pos_0_2",
    ]
