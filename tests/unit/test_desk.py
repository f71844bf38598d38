"""What the commands share: the platform and account they speak to, names that are understood, the form of an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_fakes import (
    CLOSED,
    MARKETS,
    ORDER,
    POSITION,
    STATE,
    FakeServer,
    check_one_line,
    command,
    market,
    plain_environment,
    server,
)

__all__ = ["plain_environment", "server"]  # fixtures

BALANCE = {"message": "500 USD deposited", "balance": 10500.00000001, "sequence": 2}
ALLOWED = ["BTC", "BTC_USDC", "SOL", "SOL_USDC", "kBONK", "kBONK_USDC"]
UNKNOWN = {"message": "asset must be one of …", "error": "UNKNOWN_ASSET", "details": {"allowed": ALLOWED}}
ORDERING = (("open", "--margin", "1"), ("orders", "place", "--margin", "1", "--price", "1"))


def answer(document: Any, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(document).encode()


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        (("state",), STATE),
        (("markets",), MARKETS),
        (("open", "SOL", "long", "--margin", "1"), POSITION | {"later": "fields", "margin": 1.10}),
        (("close", "pos_0_1"), CLOSED),
        (("close-all",), {"message": "", "realizedPnL": 0, "results": [{"positionId": "pos_0_1", "closed": True}]}),
        (("modify", "pos_0_1", "--stop-loss", "none"), POSITION),
        (("orders", "place", "SOL", "long", "--margin", "1", "--price", "1"), ORDER),
        (("orders", "cancel", "ord_0_2"), ORDER),
        (("deposit", "5"), BALANCE),
        (("reset", "--yes"), BALANCE),
        (("trades",), {"trades": [], "nextCursor": None, "sequence": 7}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_the_answer_is_written_as_it_came(server: FakeServer, arguments: tuple[str, ...], document: Any) -> None:
    raw = json.dumps(document, separators=(",", ":")).encode()
    server.answer = (201, raw)
    result = command(*arguments, "--json")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, raw + b"\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("state",),
        ("markets",),
        ("open", "SOL", "long", "--margin", "1"),
        ("close", "pos_0_1"),
        ("close-all",),
        ("modify", "pos_0_1", "--stop-loss", "none"),
        ("orders",),
        ("orders", "place", "SOL", "long", "--margin", "1", "--price", "1"),
        ("orders", "cancel", "ord_0_2"),
        ("cancel-all",),
        ("deposit", "5"),
        ("reset", "--yes"),
        ("trades",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (answer({"message": "no", "error": "INVALID_REQUEST", "details": {"field": "x"}}, 400), "INVALID_REQUEST"),
        (answer({"message": "starting", "error": "NOT_READY"}, 503), "NOT_READY"),
        ((502, b"<html>"), "HTTP_502"),
        ((200, b"<html>"), "NO_ANSWER"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_is_a_document_on_standard_error(
    server: FakeServer, arguments: tuple[str, ...], refused: tuple[int, bytes], code: str
) -> None:
    server.answer = refused
    result = command(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert json.loads(line)["error"] == code
    if refused[0] in (400, 503):
        assert line.encode() == refused[1]


def test_orders_are_the_part_of_the_state(server: FakeServer) -> None:
    server.answer = (200, json.dumps(STATE | {"orders": [ORDER | {"price": 100.5}]}).replace("100.5", "1.00").encode())
    result = command("orders", "--json")
    assert result.stdout.startswith('{"orders":[{"orderId"')
    assert '"price": 1.00,' in result.stdout, "as it came, digit for digit"
    assert result.stdout.endswith(',"sequence":1}\n')


def test_pages_of_trades_are_one_document(server: FakeServer) -> None:
    pages = [
        {"trades": [], "nextCursor": "older", "sequence": 9},
        {"trades": [], "nextCursor": "oldest", "sequence": 8},
    ]
    trade = {
        "tradeId": "0-1-0", "positionId": "pos_0_1", "asset": "SOL", "symbol": "SOL_USDC", "type": "short",
        "quantity": 1.5, "leverage": 3, "entryPrice": 150.123456789, "closePrice": 149, "realizedPnL": -1.25,
        "fee": 0.5, "reason": "manual", "openedAt": 1000, "closedAt": 3000, "durationMs": 2000,
    }  # fmt: skip
    pages = [
        {"trades": [trade] * 500, "nextCursor": "older", "sequence": 9},
        {"trades": [trade] * 2, "nextCursor": "oldest", "sequence": 8},
    ]
    server.answers = [answer(page) for page in pages]
    result = command("trades", "--json", "--limit", "502")
    told = json.loads(result.stdout)
    assert (len(told["trades"]), told["nextCursor"], told["sequence"]) == (502, "oldest", 9)
    assert [path.split("?")[1] for path, _, _ in server.asked] == ["limit=500", "limit=2&cursor=older"]


def test_what_stays_open_is_told_in_json_too(server: FakeServer) -> None:
    lost = {"positionId": "pos_0_2", "closed": False, "error": "PRICE_UNAVAILABLE", "message": "no price"}
    server.answer = answer({"message": "0 of 1", "realizedPnL": 0, "results": [lost]})
    result = command("close-all", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["results"] == [lost]
    assert json.loads(result.stderr)["error"] == "NOT_ALL_CLOSED"


@pytest.mark.parametrize(("typed", "side"), [("buy", "long"), ("SELL", "short"), ("Long", "long"), ("short", "short")])
@pytest.mark.parametrize("ordering", ORDERING, ids=lambda ordering: ordering[0])
def test_sides(server: FakeServer, ordering: tuple[str, ...], typed: str, side: str) -> None:
    server.answer = answer(POSITION if ordering[0] == "open" else ORDER)
    assert command(*ordering, "SOL", typed).exit_code == 0
    assert server.asked[0][2]["type"] == side


@pytest.mark.parametrize(("typed", "near"), [("lnog", "long"), ("bux", "buy"), ("sel", "sell"), ("shrt", "short")])
@pytest.mark.parametrize("ordering", ORDERING, ids=lambda ordering: ordering[0])
def test_a_side_that_is_none(server: FakeServer, ordering: tuple[str, ...], typed: str, near: str) -> None:
    result = command(*ordering, "SOL", typed)
    assert result.exit_code == 2
    assert f"{typed} is no side (long, short, buy, sell); did you mean {near}?" in result.output
    assert not server.asked


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("sol", "SOL"), ("sol_usdc", "SOL_USDC"), ("SOL/USDC", "SOL_USDC"), ("KBONK", "kBONK"), ("btcusdc", "BTC_USDC")],
)
@pytest.mark.parametrize("ordering", ORDERING, ids=lambda ordering: ordering[0])
def test_the_instrument_that_is_meant(server: FakeServer, ordering: tuple[str, ...], typed: str, meant: str) -> None:
    server.answers = [answer(UNKNOWN, 400), answer(POSITION if ordering[0] == "open" else ORDER, 201)]
    assert command(*ordering, typed, "long").exit_code == 0
    (_, first, refused), (_, second, taken) = server.asked
    assert (refused["asset"], taken["asset"]) == (typed, meant)
    assert first["Idempotency-Key"] != second["Idempotency-Key"], "another body is another request"
    assert refused | {"asset": meant} == taken


@pytest.mark.parametrize("ordering", ORDERING, ids=lambda ordering: ordering[0])
def test_an_instrument_that_is_none_names_the_nearest(
    server: FakeServer, ordering: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = answer(UNKNOWN, 400)
    check_one_line(command(*ordering, "slo", "long"), 1, capsys, "UNKNOWN_ASSET: ", "did you mean SOL?")
    assert len(server.asked) == 1
    assert json.loads(command(*ordering, "slo", "long", "--json").stderr) == UNKNOWN


@pytest.mark.parametrize(
    ("typed", "symbol"),
    [
        ("sol", "SOL_USDC"),
        ("SOL_usdc", "SOL_USDC"),
        ("sol-usdc-perp", "SOL_USDC_PERP"),
        ("kbonk", "kBONK_USDC"),
    ],
)
def test_a_filter_is_the_symbol_that_is_meant(server: FakeServer, typed: str, symbol: str) -> None:
    empty = answer({"trades": [], "nextCursor": None, "sequence": 9})
    server.answers = [answer(MARKETS), empty]
    assert command("trades", "--symbol", typed).exit_code == 0
    assert server.asked[1][0] == f"/api/v1/trades?symbol={symbol}&limit=20"
    server.answer = answer(MARKETS)
    told = json.loads(command("markets", typed, "--json").stdout)
    assert [one["symbol"] for one in told["markets"]] == [symbol]
    assert told["feed"] == MARKETS["feed"]


@pytest.mark.parametrize("arguments", [("trades", "--symbol", "slo"), ("markets", "slo"), ("cancel-all", "slo")])
def test_a_filter_that_is_none_names_the_nearest(
    server: FakeServer, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = answer({"trades": [], "nextCursor": None, "sequence": 9})
    server.answers = [answer(MARKETS), *([empty] if arguments[0] == "trades" else [])]
    check_one_line(command(*arguments), 1, capsys, "UNKNOWN_ASSET: ", "did you mean SOL?")


def test_a_name_that_can_be_two_is_told(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer = answer(MARKETS | {"markets": [market("ab_USDC"), market("AB_USDC")]})
    check_one_line(command("markets", "Ab_usdc"), 1, capsys, "can be AB_USDC or ab_USDC")
    server.answer = answer(UNKNOWN | {"details": {"allowed": ["ab", "AB"]}}, 400)
    check_one_line(command("open", "Ab", "long", "--margin", "1"), 1, capsys, "can be AB or ab")


@pytest.mark.parametrize(
    ("arguments", "account"),
    [
        (("orders", "--account", "ann", "cancel", "ord_0_2"), "ann"),
        (("orders", "cancel", "ord_0_2", "--account", "ann"), "ann"),
        (("orders", "--account", "bob", "cancel", "ord_0_2", "--account", "ann"), "ann"),
        (("orders", "cancel", "ord_0_2"), "env"),
        (("orders", "--account", "ann"), "ann"),
        (("orders",), "env"),
    ],
)
def test_what_is_said_to_the_group_is_said_to_its_commands(
    server: FakeServer, arguments: tuple[str, ...], account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXNESS_ACCOUNT", "env")
    server.answer = answer(ORDER if "cancel" in arguments else STATE)
    assert command(*arguments).exit_code == 0
    assert server.asked[0][1]["X-Account"] == account


def test_json_of_the_group_is_that_of_its_commands(server: FakeServer) -> None:
    server.answer = answer(ORDER)
    assert json.loads(command("orders", "--json", "cancel", "ord_0_2").stdout) == ORDER


def test_markets_are_shown(server: FakeServer) -> None:
    stale = market("BTC_USDC", tradable=False)
    empty = market("ETH_USDC", tradable=False, bid=None)
    none = market("X_USDC", tradable=False, price=None, bid=None, ask=None, timestamp=None)
    server.answer = answer({"markets": [market("SOL_USDC"), stale, empty, none], "feed": MARKETS["feed"]})
    shown = command("markets").output
    assert "SIMULATED PRICES" in shown
    rows = {line.split()[0]: line for line in shown.splitlines()[2:]}
    assert rows["SOL_USDC"].split()[1:6] == ["149.9", "150.1", "0.2", "0.1333", "150"]
    assert [rows[name].split("100x")[1].strip() for name in ("BTC_USDC", "ETH_USDC", "X_USDC")] == [
        "no: stale",
        "no: a side is empty",
        "no: no price yet",
    ]


def test_a_program_is_asked_nothing(server: FakeServer) -> None:
    result = command("reset", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--yes is needed" in result.stderr
    assert not server.asked
