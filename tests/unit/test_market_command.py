"""`exness-streams market`: what it sends, and what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_fakes import FakeServer, check_one_line, command, plain_environment, server

__all__ = ["plain_environment", "server"]  # fixtures

PATH = "/api/v1/operator/markets"


def row(symbol: str, state: str = "open", **more: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "state": state, "stateReason": None, "stateSince": None, "settlementPrice": None,
        "decided": None,
    } | more  # fmt: skip


HALTED = row("SOL_USDC", "halted", stateReason="operator", stateSince=1_000,
             decided={"state": "halted", "since": 1_000, "price": None})  # fmt: skip


def says(server: FakeServer, answer: Any, status: int = 200) -> None:
    server.answer = (status, json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("SOL_USDC", "halt"), {"symbol": "SOL_USDC", "state": "halted"}),
        (("SOL_USDC", "HALT"), {"symbol": "SOL_USDC", "state": "halted"}),
        (("SOL", "close-only"), {"symbol": "SOL", "state": "close_only"}),
        (("SOL", "close_only"), {"symbol": "SOL", "state": "close_only"}),
        (("SOL", "open"), {"symbol": "SOL", "state": "open"}),
        (("SOL", "settle"), {"symbol": "SOL", "state": "settled"}),
        (("SOL", "settle", "--price", "120.50"), {"symbol": "SOL", "state": "settled", "price": 120.5}),
    ],
)
def test_what_is_sent(server: FakeServer, arguments: tuple[str, ...], sent: dict[str, Any]) -> None:
    says(server, HALTED)
    assert command("market", *arguments).exit_code == 0
    ((asked, _, body),) = server.asked
    assert (asked, body) == (PATH, sent)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HALTED, "SOL_USDC is halted\n"),
        (row("SOL_USDC"), "SOL_USDC is open\n"),
        (
            row("SOL_USDC", "settled", stateReason="operator", stateSince=1, settlementPrice=120.5,
                decided={"state": "settled", "since": 1, "price": 120.5}),
            "SOL_USDC is settled at 120.5\n",
        ),
        (
            row("SOL_USDC", "halted", stateReason="exchange", stateSince=1),
            "SOL_USDC is halted\ndecided is open, but the exchange holds it back\n",
        ),
        (
            row("SOL_USDC", "suspended", stateReason="price_guard", stateSince=1,
                decided={"state": "close_only", "since": 1, "price": None}),
            "SOL_USDC is suspended\ndecided is close-only, but the price guard holds it back\n",
        ),
    ],
)  # fmt: skip
def test_what_became_of_it_is_said(server: FakeServer, answer: dict[str, Any], words: str) -> None:
    says(server, answer)
    assert command("market", "SOL", "halt").stdout == words


def test_without_a_state_it_shows_how_markets_are(server: FakeServer) -> None:
    gone = row("OLD_USDC", "close_only", stateReason="not_offered", stateSince=5)
    says(server, {"markets": [row("BTC_USDC"), HALTED, gone]})
    shown = command("market").stdout
    for word in ("BTC_USDC", "open", "SOL_USDC", "halted", "an operator", "not offered any more"):
        assert word in shown
    alone = command("market", "sol").stdout
    assert "SOL_USDC" in alone
    assert "BTC_USDC" not in alone
    assert all(asked == PATH for asked, _, _ in server.asked)
    refused = command("market", "DOGE")
    assert refused.exit_code == 1
    assert "symbol must be one of BTC_USDC, SOL_USDC, OLD_USDC" in refused.stderr


def test_its_json_is_the_api_s(server: FakeServer) -> None:
    says(server, HALTED)
    assert json.loads(command("market", "SOL", "halt", "--json").stdout) == HALTED


@pytest.mark.parametrize("state", ["halt", "open", "close-only"])
def test_a_price_is_of_a_settlement_alone(server: FakeServer, state: str) -> None:
    refused = command("market", "SOL", state, "--price", "1")
    assert (refused.exit_code, server.asked) == (2, [])
    assert "--price is of a settlement alone: market SYMBOL settle --price NUMBER" in refused.stderr


def test_a_word_that_is_no_state_is_refused_with_those_there_are(server: FakeServer) -> None:
    refused = command("market", "SOL", "hlat")
    assert (refused.exit_code, server.asked) == (2, [])
    assert "halt, close_only, open, settle" in refused.stderr


def test_a_refusal_is_one_line(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    says(server, {"message": "SOL_USDC was settled at 1, for good", "error": "MARKET_SETTLED"}, 409)
    check_one_line(command("market", "SOL", "open"), 1, capsys, "MARKET_SETTLED: SOL_USDC was settled at 1, for good")


def test_when_nobody_answers_the_way_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    refused = command("market", "SOL", "halt", "--url", "http://127.0.0.1:1")
    check_one_line(refused, 1, capsys, "no answer from http://127.0.0.1:1", "is `exness-streams run` running?")


def test_the_help_says_what_each_word_does() -> None:
    told = " ".join(command("market", "--help").stdout.split())
    for words in ("halt: nothing fills and nothing triggers", "close-only: positions can be closed", "for good"):
        assert words in told
