"""Trades as CSV, and who gets it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import msgspec
import pytest

from exness_streams.api.views.csv_trades import header_line, is_wanted, trade_lines
from exness_streams.messages import TradeMessage, json_encoder

TRADE = TradeMessage(
    trade_id="0-7-0",
    position_id="pos_0_1",
    asset="SOL",
    symbol="SOL_USDC",
    type="long",
    quantity=Decimal("0.00000001"),
    leverage=Decimal(2),
    entry_price=Decimal("1E-18"),
    close_price=Decimal("100000"),
    realized_pnl=Decimal("-1234567890.12345678"),
    fee=Decimal("0.3"),
    reason="manual",
    opened_at=1_790_000_000_000,
    closed_at=1_790_000_000_007,
    duration_ms=7,
)


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((header_line() + content).decode(), newline=""), strict=True))


def test_the_columns_are_the_fields_of_the_json() -> None:
    line = header_line()
    assert line.endswith(b"\r\n")
    assert line.strip().decode().split(",") == list(msgspec.json.decode(json_encoder.encode(TRADE)))


def test_numbers_are_exact_and_plain() -> None:
    (row,) = read(trade_lines([TRADE]))
    assert row["entryPrice"] == "0.000000000000000001"
    assert row["quantity"] == "0.00000001"
    assert row["realizedPnL"] == "-1234567890.12345678"
    assert row["openedAt"] == "1790000000000"
    fields = json.loads(json_encoder.encode(TRADE), parse_float=Decimal, parse_int=Decimal)
    for name, value in fields.items():
        assert row[name] == value if isinstance(value, str) else Decimal(row[name]) == value


@pytest.mark.parametrize("symbol", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", '=HYPERLINK("http://x")'])
def test_a_text_is_never_a_formula(symbol: str) -> None:
    (row,) = read(trade_lines([msgspec.structs.replace(TRADE, symbol=symbol, asset=symbol)]))
    assert row["symbol"] == row["asset"] == "'" + symbol


@pytest.mark.parametrize("symbol", ["A,B", 'A"B', "A\nB", "A\r\nB", "Ä€😀", " A "])
def test_odd_texts_come_back_as_they_were(symbol: str) -> None:
    (first, second) = read(trade_lines([msgspec.structs.replace(TRADE, symbol=symbol), TRADE]))
    assert first["symbol"] == symbol
    assert second["symbol"] == "SOL_USDC"


def test_every_line_ends_as_the_rfc_says() -> None:
    assert trade_lines([TRADE, TRADE]).count(b"\r\n") == 2
    assert trade_lines([]) == b""


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("image/png", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv, */*", True),
        ("text/csv, */*;q=0.1", True),
        ("text/*", True),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv", True),
        ("application/json, text/csv;q=0.9", False),
        ("text/csv;q=0", False),
        ("text/csv;q=0, */*", False),
        ("text/csv;q=nonsense", True),
        (",,;,;q=1,text/csv;;", True),
        ("text/csv;q=0.5, application/*;q=0.5", True),
    ],
)
def test_who_gets_csv(accept: str, wanted: bool) -> None:
    assert is_wanted(accept) is wanted
