"""The commands of a person at a terminal: what they ask, and what they show."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from cli_fakes import (
    ACCOUNT,
    CLOSED,
    ORDER,
    POSITION,
    STATE,
    FakeServer,
    check_one_line,
    command,
    plain_environment,
    server,
)

__all__ = ["plain_environment", "server"]  # fixtures

BALANCE = {"message": "500 USD deposited", "balance": 10500, "sequence": 2}
LOST = {"positionId": "pos_0_2", "closed": False, "error": "PRICE_UNAVAILABLE", "message": "no price"}
WON = {"positionId": "pos_0_1", "closed": True, "realizedPnL": 5.5, "closePrice": 151, "fee": 0}


def trade(number: int) -> dict[str, Any]:
    return {
        "tradeId": f"0-{number}-0", "positionId": f"pos_0_{number}", "asset": "SOL", "symbol": "SOL_USDC",
        "type": "short", "quantity": 1.5, "leverage": 3, "entryPrice": 150.123456789012345678, "closePrice": 149,
        "realizedPnL": -1.25, "fee": 0.5, "reason": "stop_loss", "openedAt": 1000, "closedAt": 3000, "durationMs": 2000,
    }  # fmt: skip


def page(numbers: list[int], cursor: str | None) -> tuple[int, bytes]:
    return 200, json.dumps({"trades": [trade(n) for n in numbers], "nextCursor": cursor, "sequence": 9}).encode()


def says(server: FakeServer, answer: Any, status: int = 200) -> None:
    server.answer = (status, json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("arguments", "answer", "path", "sent"),
    [
        (
            ("open", "SOL", "long", "--margin", "10", "--stop-loss", "140.5", "--take-profit", "200"),
            POSITION,
            "/api/v1/positions/open",
            {"asset": "SOL", "type": "long", "margin": 10, "leverage": 1, "stopLoss": 140.5, "takeProfit": 200},
        ),
        (
            ("close", "pos_0_1", "--percent", "25", "--slippage", "0.5"),
            CLOSED | {"position": POSITION},
            "/api/v1/positions/close",
            {"positionId": "pos_0_1", "percentage": 25, "slippage": 0.5},
        ),
        (
            ("close", "pos_0_1", "--quantity", "0.00000001"),
            CLOSED,
            "/api/v1/positions/close",
            {"positionId": "pos_0_1", "quantity": 1e-8},
        ),
        (
            ("close-all",),
            {"message": "1 of 1 positions closed", "realizedPnL": 5.5, "results": [WON]},
            "/api/v1/positions/close-all",
            {},
        ),
        (
            ("modify", "pos_0_1", "--stop-loss", "none", "--take-profit", "160"),
            POSITION,
            "/api/v1/positions/modify",
            {"positionId": "pos_0_1", "stopLoss": None, "takeProfit": 160},
        ),
        (
            ("modify", "none", "--stop-loss", "140"),
            POSITION,
            "/api/v1/positions/modify",
            {"positionId": "none", "stopLoss": 140},
        ),
        (
            ("orders", "place", "SOL", "short", "--kind", "stop", "--price", "120", "--margin", "5", "--leverage", "3"),
            ORDER,
            "/api/v1/orders/place",
            {"asset": "SOL", "type": "short", "kind": "stop", "price": 120, "margin": 5, "leverage": 3},
        ),
        (
            ("orders", "cancel", "ord_0_2"),
            ORDER | {"status": "cancelled"},
            "/api/v1/orders/cancel",
            {"orderId": "ord_0_2"},
        ),
        (("deposit", "500"), BALANCE, "/api/v1/account/deposit", {"amount": 500}),
        (("reset", "--yes"), BALANCE, "/api/v1/account/reset", {"confirm": "RESET"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_sent(server: FakeServer, arguments: tuple[str, ...], answer: Any, path: str, sent: Any) -> None:
    says(server, answer)
    assert command(*arguments, "--account", "ann").exit_code == 0
    ((asked, headers, body),) = server.asked
    assert (asked, headers["X-Account"], body) == (path, "ann", sent)
    assert len(headers["Idempotency-Key"]) == 32


def test_a_broken_connection_is_tried_again_once_under_the_same_key(server: FakeServer) -> None:
    says(server, BALANCE)
    server.breaks = 1
    assert command("deposit", "500").exit_code == 0
    first, second = server.asked
    assert first[1]["Idempotency-Key"] == second[1]["Idempotency-Key"]
    assert first[2] == second[2] == {"amount": 500}


def test_a_connection_that_breaks_twice_is_told_of(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.breaks = 9
    check_one_line(command("deposit", "500"), 1, capsys, "no answer from")
    assert len(server.asked) == 2


def test_a_refusal_is_not_tried_again(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    says(server, {"message": "no price", "error": "PRICE_UNAVAILABLE"}, 503)
    check_one_line(command("close-all"), 1, capsys, "PRICE_UNAVAILABLE: no price")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("modify", "pos_0_1"), "--stop-loss or --take-profit"),
        (("modify", "pos_0_1", "--stop-loss", "x"), "is not a number"),
        (("modify", "pos_0_1", "--take-profit", "155,5"), "a decimal comma is not read"),
        (("open", "SOL", "long", "--margin", "1,5"), "a decimal comma is not read"),
        (("deposit", "1.000,5"), "a decimal comma is not read"),
        (("close", "pos_0_1", "--percent", "12,5"), "a decimal comma is not read"),
        (("close", "pos_0_1", "--percent", "5", "--quantity", "1"), "not both"),
        (("orders", "place", "SOL", "long", "--price", "1", "--margin", "1", "--expires-in", "8"), "not a duration"),
        (("trades", "--limit", "0"), "--limit"),
    ],
)
def test_misuse_sends_nothing(server: FakeServer, arguments: tuple[str, ...], said: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not server.asked


def test_a_reset_is_asked_about(server: FakeServer) -> None:
    assert command("reset").exit_code == 1
    assert not server.asked


def test_an_order_expires_from_now_on(server: FakeServer) -> None:
    says(server, ORDER)
    before_ms = int(time.time() * 1000)
    command("orders", "place", "SOL", "long", "--price", "1", "--margin", "1", "--expires-in", "2h")
    expires_at = server.asked[0][2]["expiresAt"]
    assert before_ms + 7_200_000 <= expires_at <= int(time.time() * 1000) + 7_200_000


def test_what_stays_open_is_a_failure(server: FakeServer) -> None:
    says(server, {"message": "1 of 2 positions closed", "realizedPnL": 5.5, "results": [WON, LOST]})
    result = command("close-all")
    assert result.exit_code == 1
    assert "pos_0_1 at 151: +5.50 USD" in result.stdout
    assert "pos_0_2 PRICE_UNAVAILABLE: no price" in result.stdout


def test_tables_cut_nothing(server: FakeServer) -> None:
    long_id = "pos_7_" + "1" * 30
    state = STATE | {
        "positions": [POSITION | {"positionId": long_id, "stopLoss": 123.12345678}],
        "orders": [ORDER],
        "account": ACCOUNT | {"marginCall": True},
    }
    says(server, state)
    shown = command("state").output
    for text in (long_id, "123.12345678", "ord_0_2", "margin call", "9,998.67"):
        assert text in shown
    listed = command("orders").output
    assert "ord_0_2" in listed
    assert long_id not in listed


def test_trades_are_shown_newest_first_up_to_a_limit(server: FakeServer) -> None:
    server.answers = [page([9, 8], "older")]
    result = command("trades", "--limit", "2", "--reason", "stop_loss")
    assert result.exit_code == 0
    assert [path for path, _, _ in server.asked] == ["/api/v1/trades?reason=stop_loss&limit=2"]
    assert result.output.count("short 3x SOL") == 2


def test_csv_goes_through_all_pages(server: FakeServer) -> None:
    server.answers = [page([9, 8], "b+/8"), page([7], None)]
    result = command("trades", "--csv")
    assert result.exit_code == 0
    assert [path for path, _, _ in server.asked] == [
        "/api/v1/trades?limit=500",
        "/api/v1/trades?limit=500&cursor=b%2B%2F8",
    ]
    header, *rows = result.stdout_bytes.decode().split("\r\n")
    assert header.split(",")[:2] == ["tradeId", "positionId"]
    assert [row.split(",")[0] for row in rows] == ["0-9-0", "0-8-0", "0-7-0", ""]


def test_csv_that_is_refused_writes_nothing(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    says(server, {"message": "no", "error": "INVALID_REQUEST"}, 400)
    check_one_line(command("trades", "--csv"), 1, capsys, "INVALID_REQUEST: no")
