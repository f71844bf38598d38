"""Taking every pending order back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_fakes import MARKETS, ORDER, STATE, FakeServer, command, plain_environment, server

__all__ = ["plain_environment", "server"]  # fixtures

GONE = (404, b'{"message":"no pending order","error":"ORDER_NOT_FOUND"}')
REFUSED = (503, b'{"message":"moving","error":"REBALANCING"}')
TAKEN = (200, json.dumps(ORDER | {"status": "cancelled"}).encode())
MAD = (200, b"<html>")


def order(number: int, market: str = "SOL_USDC") -> dict[str, Any]:
    return ORDER | {"orderId": f"ord_0_{number}", "market": market, "asset": market.split("_")[0]}


def state(*orders: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps(STATE | {"orders": list(orders)}).encode()


def cancelled(server: FakeServer) -> list[str]:
    return [body["orderId"] for path, _, body in server.asked if path.endswith("/cancel")]


@pytest.mark.parametrize(
    ("answers", "exit_code", "told", "asked"),
    [
        ([], 0, "no pending orders to cancel", 0),
        ([TAKEN, TAKEN], 0, "2 of 2 orders cancelled", 2),
        ([TAKEN, GONE], 0, "1 of 2 orders cancelled, 1 had gone before", 2),
        ([GONE, GONE], 0, "0 of 2 orders cancelled, 2 had gone before", 2),
        ([REFUSED, TAKEN], 1, "1 of 2 orders cancelled", 2),
        ([TAKEN, MAD, TAKEN], 1, "1 of 3 orders cancelled", 2),
    ],
)
def test_how_many_were_cancelled(
    server: FakeServer, answers: list[tuple[int, bytes]], exit_code: int, told: str, asked: int
) -> None:
    numbers = range(len(answers))
    server.answers = [state(*map(order, numbers)), *answers]
    result = command("cancel-all")
    assert result.exit_code == exit_code
    assert result.stdout.splitlines()[-1] == told
    assert cancelled(server) == [f"ord_0_{number}" for number in numbers][:asked]
    keys = [headers["Idempotency-Key"] for path, headers, _ in server.asked if path.endswith("/cancel")]
    assert len(set(keys)) == len(keys)


def test_as_a_document(server: FakeServer) -> None:
    server.answers = [state(order(1), order(2), order(3)), TAKEN, GONE, REFUSED]
    result = command("cancel-all", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "message": "1 of 3 orders cancelled, 1 had gone before",
        "results": [
            {"orderId": "ord_0_1", "cancelled": True},
            {"orderId": "ord_0_2", "cancelled": False, "error": "ORDER_NOT_FOUND", "message": "no pending order"},
            {"orderId": "ord_0_3", "cancelled": False, "error": "REBALANCING", "message": "moving"},
        ],
    }
    assert json.loads(result.stderr)["error"] == "NOT_ALL_CANCELLED"


@pytest.mark.parametrize("typed", ["sol", "SOL", "SOL_USDC", "sol/usdc"])
def test_of_one_instrument(server: FakeServer, typed: str) -> None:
    held = state(order(1), order(2, "SOL_USDC_PERP"), order(3, "kBONK_USDC"), order(4))
    server.answers = [(200, json.dumps(MARKETS).encode()), held, TAKEN, TAKEN]
    assert command("cancel-all", typed).exit_code == 0
    assert cancelled(server) == ["ord_0_1", "ord_0_4"]
