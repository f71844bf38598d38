"""Tables that fit: whatever the figures are, none is folded or cut, and no line is wider than the screen."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from cli_fakes import ACCOUNT, ORDER, POSITION, STATE, market
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from exness_streams.messages import MarketMessage
from exness_streams.terminal.fitting import Column, FittedTable
from exness_streams.terminal.market_view import markets_table
from exness_streams.terminal.watch_view import picture
from exness_streams.terminal.watching import Watch

WIDTHS = (40, 60, 80, 100, 200)
PRICES = ("0.00000098", "123456789.12345678", "150.1", "0", "999999999999.99999999", "-0.1", "65000")
AMOUNTS = ("0.01", "-0.004", "12345678901234567890.12", "-98765432109876543210.987654321", "1000", "1E+18", "1E-8")


def text_of(shown: Any, width: int, height: int = 10_000, *, is_terminal: bool = False) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=is_terminal, color_system=None)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def seen(positions: list[dict[str, Any]], orders: list[dict[str, Any]], quotes: dict[str, str]) -> Watch:
    watch = Watch("demo")
    large = dict.fromkeys(("balance", "usedMargin", "realizedPnL", "unrealizedPnL"), "12345678901234567890.12")
    watch.hear({"type": "state", **STATE, "account": ACCOUNT | large, "positions": positions, "orders": orders})
    for symbol, price in quotes.items():
        watch.hear({"type": "market_data", "symbol": symbol, "price": price, "bid": price, "ask": price})
    return watch


def position(number: int, price: str, pnl: str) -> dict[str, Any]:
    own = {"positionId": f"pos_0_{number}", "symbol": "X_USDC", "entryPrice": price, "markPrice": price}
    return POSITION | own | {"unrealizedPnL": pnl, "stopLoss": price, "takeProfit": price, "liquidationPrice": price}


def figures(text: str) -> str:
    return format(Decimal(text), "f")


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("pnl", AMOUNTS)
def test_a_watch_folds_and_cuts_nothing(width: int, price: str, pnl: str) -> None:
    positions = [position(number, price, pnl) for number in range(40)]
    watch = seen(positions, [ORDER | {"price": price, "orderId": "ord_0_7"}], {"A_USDC": price, "B_USDC": "1"})
    lines = text_of(picture(watch), width)
    assert max(map(cell_len, lines)) <= width
    words = [word for line in lines for word in line.split()]
    shown = f"{Decimal(pnl):+,.2f}".replace("-0.00", "+0.00")
    assert words.count(shown) >= 40, "the PnL of every position"
    assert words.count(figures(price)) >= 2, "bid and ask"
    assert sum(word.startswith("pos_0_") for word in words) == 40
    assert "…" not in "".join(lines)


@given(
    st.lists(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=8), min_size=4, max_size=4)),
    st.sampled_from(WIDTHS),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_a_figure_is_whole_or_its_column_is_gone(rows: list[list[Decimal]], width: int, goes: list[int]) -> None:
    columns = [Column(f"c{index}", goes=order) for index, order in enumerate(goes)]
    cells = [[format(value, "f")[: width - 4] for value in row] for row in rows]
    lines = text_of(FittedTable(columns, cells), width)
    assert max(map(cell_len, lines), default=0) <= width
    words = [word for line in lines for word in line.split()]
    for index, column in enumerate(columns):
        there = all(words.count(row[index]) for row in cells)
        assert there or (column.goes and "too narrow for" in " ".join(words))


def test_columns_go_by_importance() -> None:
    table = FittedTable([Column("a"), Column("b", goes=2), Column("c", goes=1)], [["1" * 20] * 3])
    assert text_of(table, 64)[0].split() == ["a", "b", "c"]
    assert text_of(table, 63)[0].split() == ["a", "c"]
    assert text_of(table, 41)[0].split() == ["a"]
    assert text_of(table, 41)[-1] == "too narrow for b, c"
    assert text_of(table, 22) == ["                   a", "1" * 20, "too narrow for b, c"]


def test_what_must_stay_and_does_not_fit_is_a_figure_a_line() -> None:
    table = FittedTable([Column("id", is_figure=False), Column("PnL")], [["pos", "1" * 30], ["qos", "2" * 30]])
    assert text_of(table, 34) == ["id  pos", "PnL " + "1" * 30, "id  qos", "PnL " + "2" * 30]


@pytest.mark.parametrize("height", [24, 40])
@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("count", [1, 5, 200])
def test_what_the_screen_does_not_hold_is_counted(width: int, height: int, count: int) -> None:
    watch = seen([position(number, "150.1", "-1.5") for number in range(count)], [ORDER], {"A_USDC": "1"})
    lines = text_of(picture(watch), width, height, is_terminal=True)
    assert len(lines) <= height
    rows = sum(line.startswith("pos_0_") for line in lines)
    told = [line for line in lines if line.startswith("and ") and line.endswith(" more")]
    assert told == ([] if rows == count else [f"and {count - rows} more"])
    assert rows == count or rows >= 3


@pytest.mark.parametrize("width", [60, 80])
def test_markets_fold_and_cut_nothing(width: int) -> None:
    markets = [
        MarketMessage(**_fields(market(f"M{number}_USDC", price=price, bid=price, ask=price)))
        for number, price in enumerate(PRICES)
    ]
    lines = text_of(markets_table(markets, 1_000), width)
    assert max(map(cell_len, lines)) <= width
    words = [word for line in lines for word in line.split()]
    for price in PRICES:
        assert words.count(figures(price)) >= 2


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    names = dict(zip(MarketMessage.__struct_encode_fields__, MarketMessage.__struct_fields__, strict=True))
    exact = {name: Decimal(str(fields[name])) for name in ("price", "bid", "ask", "maxLeverage")}
    return {names[name]: exact.get(name, value) for name, value in fields.items()}
