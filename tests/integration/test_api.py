"""The HTTP API against a whole platform: what the original promised, and the rules of trading."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from platform_harness import CLOSE, OPEN, STATE, PlatformThread, Reply, until

from exness_streams.messages import AccountMessage, PositionMessage

_numbers = itertools.count()

ALWAYS_TOLD = {field.encode_name for field in msgspec.structs.fields(PositionMessage) if field.required}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"))
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def account(platform: PlatformThread) -> str:
    """An account of this test's own, in a market that stands at 150.00 / 150.10."""
    platform.set_price("SOL_USDC", "150.00", "150.10")
    return f"account-{next(_numbers)}"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., PlatformThread]]:
    """Makes platforms for one test, all on the same data."""
    made: list[PlatformThread] = []

    def make(**settings: Any) -> PlatformThread:
        made.append(PlatformThread(tmp_path / "data", **settings))
        return made[-1].start()

    yield make
    for thread in made:
        thread.stop()


def order(**fields: Any) -> dict[str, Any]:
    return {"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2} | fields


def check_error(reply: Reply, status: int, code: str) -> Any:
    assert (reply.status, reply.json["error"]) == (status, code), reply
    assert reply.headers["Content-Type"].startswith("application/json")
    assert set(reply.json) <= {"message", "error", "details"}
    assert reply.json["message"]
    return reply.json.get("details", {})


def check_conserved(state: Any) -> None:
    """Without fees: what is free, held and realized is what there was."""
    held = sum(position["margin"] for position in state["positions"])
    assert state["balances"]["USD"] >= 0
    assert state["balances"]["USD"] + held == 10_000 + state["account"]["realizedPnL"] == state["account"]["balance"]


def test_the_originals_three_calls_work_unchanged(own: Callable[..., PlatformThread]) -> None:
    platform = own()
    json_type = {"Content-Type": "application/json"}
    before = platform.send("GET", STATE)
    assert before.status == 200
    assert before.json["balances"] == {"USD": 10_000, "SOL": 0}
    content = b'{"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2, "currentPrice": 150}'
    opened = platform.send("POST", OPEN, content, json_type)
    assert opened.status == 201
    position_id = opened.json["positionId"]
    content = b'{"positionId": "%s", "currentPrice": 155}' % position_id.encode()
    closed = platform.send("POST", CLOSE, content, json_type)
    assert closed.status == 200
    # 2000 / 150.10 is 13.3244: 13.32 SOL bought there, sold at 150.00
    assert closed.json["realizedPnL"] == Decimal("-1.332")
    assert platform.send("GET", STATE).json["balances"] == {"USD": Decimal("9998.668"), "SOL": 0}


def test_a_long_opens_at_the_ask_and_closes_at_the_bid(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, order(currentPrice=100), account)
    assert opened.status == 201
    assert {name: opened.json[name] for name in ("entryPrice", "quantity", "margin", "leverage", "type", "fee")} == {
        "entryPrice": Decimal("150.1"),
        "quantity": Decimal("13.32"),
        "margin": 1000,
        "leverage": 2,
        "type": "long",
        "fee": 0,
    }
    assert opened.json["liquidationPrice"] == Decimal("75.05")
    assert opened.json["markPrice"] == 150
    assert opened.json["unrealizedPnL"] == Decimal("-1.332")
    assert platform.state(account)["positions"] == [opened.json]
    platform.set_price("SOL_USDC", "160.00", "160.20")
    closed = platform.post(CLOSE, {"positionId": opened.json["positionId"], "currentPrice": 1}, account)
    assert closed.status == 200
    assert closed.json["closePrice"] == 160
    assert closed.json["realizedPnL"] == Decimal("131.868")
    assert closed.json["position"] is None
    check_conserved(platform.state(account))


def test_a_short_opens_at_the_bid_and_closes_at_the_ask(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, order(type="short"), account).json
    assert opened["entryPrice"] == 150
    assert opened["quantity"] == Decimal("13.33")
    platform.set_price("SOL_USDC", "140.00", "140.20")
    closed = platform.post(CLOSE, {"positionId": opened["positionId"]}, account).json
    assert closed["closePrice"] == Decimal("140.2")
    assert closed["realizedPnL"] == Decimal("130.634")
    check_conserved(platform.state(account))


def test_every_field_of_the_contract_is_there(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, order(), account).json
    state = platform.state(account)
    assert set(opened) == ALWAYS_TOLD
    assert set(state) == {"balances", "positions", "orders", "account", "sequence"}
    assert set(state["account"]) == set(AccountMessage.__struct_encode_fields__)
    figures = state["account"]
    assert figures["usedMargin"] == 1000
    assert figures["equity"] == 10_000 + figures["unrealizedPnL"]
    assert figures["freeMargin"] == figures["equity"] - 1000
    assert round(figures["marginLevel"], 4) == round(figures["equity"] / 10, 4)
    assert state["sequence"] == 1


def test_numbers_may_be_strings_and_the_asset_a_symbol(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, order(margin="1000.5", leverage="2", asset="SOL_USDC", currentPrice="150"), account)
    assert opened.status == 201
    assert opened.json["margin"] == Decimal("1000.5")


def test_leverage_is_1_when_it_is_left_out(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, {"margin": 10, "asset": "SOL", "type": "long"}, account)
    assert opened.status == 201
    assert opened.json["leverage"] == 1
    assert opened.json["liquidationPrice"] == 0


SLIPPAGE = [
    ("long", "150.10", "0", 201),
    ("long", "150.09", "0", 400),
    ("long", "149", "1", 201),
    ("long", "148", "1", 400),
    ("long", "200", "0", 201),
    ("short", "150.00", "0", 201),
    ("short", "150.01", "0", 400),
    ("short", "151", "1", 201),
    ("short", "152", "1", 400),
    ("short", "100", "0", 201),
]


@pytest.mark.parametrize(("side", "reference", "slippage", "status"), SLIPPAGE)
def test_a_fill_worse_than_the_tolerance_is_refused(
    platform: PlatformThread, account: str, side: str, reference: str, slippage: str, status: int
) -> None:
    opened = platform.post(OPEN, order(type=side, currentPrice=reference, slippage=slippage), account)
    assert opened.status == status
    if status == 400:
        details = check_error(opened, 400, "SLIPPAGE_EXCEEDED")
        assert Decimal(details["referencePrice"]) == Decimal(reference)
        assert platform.state(account)["sequence"] == 0


def test_a_tolerance_without_a_price_is_from_the_market(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, order(slippage=0), account)
    assert opened.status == 201
    closed = platform.post(CLOSE, {"positionId": opened.json["positionId"], "slippage": 0}, account)
    assert closed.status == 200


def test_a_close_worse_than_the_tolerance_is_refused_and_the_position_stays(
    platform: PlatformThread, account: str
) -> None:
    position_id = platform.post(OPEN, order(), account).json["positionId"]
    refused = platform.post(CLOSE, {"positionId": position_id, "currentPrice": "150.01", "slippage": 0}, account)
    check_error(refused, 400, "SLIPPAGE_EXCEEDED")
    assert len(platform.state(account)["positions"]) == 1
    closed = platform.post(CLOSE, {"positionId": position_id, "currentPrice": "150", "slippage": 0}, account)
    assert closed.status == 200


REFUSED = [
    (order(asset="DOGE"), 400, "UNKNOWN_ASSET"),
    (order(asset="sol"), 400, "UNKNOWN_ASSET"),
    (order(margin="10000.00000001"), 400, "INSUFFICIENT_MARGIN"),
    (order(margin="0.99"), 400, "INVALID_MARGIN"),
    (order(margin=0), 400, "INVALID_MARGIN"),
    (order(margin=-5), 400, "INVALID_MARGIN"),
    (order(margin="1000000000001"), 400, "INVALID_MARGIN"),
    (order(leverage="0.99"), 400, "INVALID_LEVERAGE"),
    (order(leverage="100.01"), 400, "INVALID_LEVERAGE"),
    (order(leverage=-1), 400, "INVALID_LEVERAGE"),
    (order(leverage=0, margin=0), 400, "INVALID_LEVERAGE"),
    (order(asset="DOGE", leverage=0, margin=0), 400, "UNKNOWN_ASSET"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
def test_orders_that_the_rules_forbid(
    platform: PlatformThread, account: str, body: dict[str, Any], status: int, code: str
) -> None:
    check_error(platform.post(OPEN, body, account), status, code)
    state = platform.state(account)
    assert (state["sequence"], state["balances"]["USD"]) == (0, 10_000)


def test_all_the_money_may_be_used_and_no_more(platform: PlatformThread, account: str) -> None:
    assert platform.post(OPEN, order(margin=10_000, leverage=1), account).status == 201
    assert platform.state(account)["balances"]["USD"] == 0
    details = check_error(platform.post(OPEN, order(margin=1), account), 400, "INSUFFICIENT_MARGIN")
    assert details == {"required": "1", "available": "0"}


def test_a_position_closes_once(platform: PlatformThread, account: str) -> None:
    check_error(platform.post(CLOSE, {"positionId": "pos_nowhere"}, account), 404, "POSITION_NOT_FOUND")
    position_id = platform.post(OPEN, order(), account).json["positionId"]
    assert platform.post(CLOSE, {"positionId": position_id}, account).status == 200
    details = check_error(platform.post(CLOSE, {"positionId": position_id}, account), 404, "POSITION_NOT_FOUND")
    assert details == {"positionId": position_id}


def test_accounts_know_nothing_of_each_other(platform: PlatformThread, account: str) -> None:
    position_id = platform.post(OPEN, order(), account).json["positionId"]
    other = platform.state(account + "-other")
    assert (other["positions"], other["balances"]["USD"], other["sequence"]) == ([], 10_000, 0)
    assert other["account"]["accountId"] == account + "-other"
    refused = platform.post(CLOSE, {"positionId": position_id}, account + "-other")
    check_error(refused, 404, "POSITION_NOT_FOUND")
    assert len(platform.state(account)["positions"]) == 1


def test_a_repeat_under_the_same_key_gives_the_first_answer(platform: PlatformThread, account: str) -> None:
    first = platform.post(OPEN, order(), account, key="k")
    platform.set_price("SOL_USDC", "151.00", "151.10")
    content = b'{"leverage":2,  "type":"long", "asset":"SOL","margin":1000}'
    headers = {"X-Account": account, "Content-Type": "application/json; charset=utf-8", "Idempotency-Key": "k"}
    second = platform.send("POST", OPEN, content, headers)
    assert (first.status, second.status) == (201, 201)
    assert second.body == first.body
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(platform.state(account)["positions"]) == 1
    body = {"positionId": first.json["positionId"]}
    closes = [platform.post(CLOSE, body, account, key="c") for _ in range(3)]
    assert [close.status for close in closes] == [200] * 3
    assert {close.body for close in closes} == {closes[0].body}
    assert platform.state(account)["sequence"] == 2


def test_a_refusal_is_repeated_too(platform: PlatformThread, account: str) -> None:
    body = order(margin=20_000)
    first, second = (platform.post(OPEN, body, account, key="k") for _ in range(2))
    check_error(first, 400, "INSUFFICIENT_MARGIN")
    assert second.body == first.body
    assert second.headers["Idempotent-Replayed"] == "true"
    assert platform.state(account)["sequence"] == 0


def test_a_key_names_one_request_of_one_account(platform: PlatformThread, account: str) -> None:
    assert platform.post(OPEN, order(), account, key="k").status == 201
    check_error(platform.post(OPEN, order(margin=999), account, key="k"), 409, "IDEMPOTENCY_CONFLICT")
    check_error(platform.post(CLOSE, {"positionId": "x"}, account, key="k"), 409, "IDEMPOTENCY_CONFLICT")
    assert platform.state(account)["sequence"] == 1
    assert platform.post(OPEN, order(margin=999), account + "-other", key="k").status == 201


def test_a_close_of_nothing_keeps_its_answer_under_its_key(platform: PlatformThread, account: str) -> None:
    """Position ids can be guessed: a repeat must not close what was opened since."""
    body = {"positionId": "pos_0_1"}
    first = platform.post(CLOSE, body, account, key="k")
    check_error(first, 404, "POSITION_NOT_FOUND")
    second = platform.post(CLOSE, body, account, key="k")
    assert (second.status, second.body, second.headers["Idempotent-Replayed"]) == (404, first.body, "true")
    check_error(platform.post(CLOSE, {"positionId": "other"}, account, key="k"), 409, "IDEMPOTENCY_CONFLICT")
    assert platform.state(account)["sequence"] == 0


def test_a_key_is_free_again_when_there_was_no_price(platform: PlatformThread, account: str) -> None:
    platform.set_price("SOL_USDC", "150.00", None)
    refused = platform.post(OPEN, order(), account, key="k")
    check_error(refused, 503, "PRICE_UNAVAILABLE")
    assert refused.headers["Retry-After"]
    platform.set_price("SOL_USDC", "150.00", "150.10")
    opened = platform.post(OPEN, order(), account, key="k")
    assert opened.status == 201
    assert "Idempotent-Replayed" not in opened.headers


def test_one_empty_side_leaves_the_other_tradable(platform: PlatformThread, account: str) -> None:
    platform.set_price("SOL_USDC", "150.00", None)
    assert platform.post(OPEN, order(type="short"), account).status == 201
    market = next(m for m in platform.get("/api/v1/markets").json["markets"] if m["symbol"] == "SOL_USDC")
    assert not market["tradable"]


def test_a_gap_liquidates_and_never_takes_more_than_the_margin(platform: PlatformThread, account: str) -> None:
    for side in ("long", "short"):
        assert platform.post(OPEN, order(type=side, leverage=50, margin=5000), account).status == 201
    before = platform.state(account)
    assert before["balances"]["USD"] == 0
    platform.call(platform.simulator.jump, "SOL_USDC", Decimal("0.5"))
    state = until(lambda: (s := platform.state(account))["sequence"] == 3 and s)
    assert [position["type"] for position in state["positions"]] == ["short"]
    assert state["account"]["realizedPnL"] == -5000
    check_conserved(state)
    platform.call(platform.simulator.jump, "SOL_USDC", Decimal(4))
    state = until(lambda: (s := platform.state(account))["sequence"] == 4 and s)
    assert state["positions"] == []
    assert state["account"]["realizedPnL"] == -10_000
    assert state["balances"]["USD"] == state["account"]["equity"] == 0
    check_conserved(state)


def test_old_quotes_fill_nothing_while_the_state_still_answers(own: Callable[..., PlatformThread]) -> None:
    platform = own(max_quote_age_ms=2_000)
    position_id = platform.post(OPEN, order()).json["positionId"]
    platform.run(platform.simulator.stop())

    def refused() -> Reply | None:
        reply = platform.post(OPEN, order(margin=1))
        return reply if reply.status != 201 else None

    reply = until(refused)
    check_error(reply, 503, "PRICE_UNAVAILABLE")
    assert reply.headers["Retry-After"] == "1"
    check_error(platform.post(CLOSE, {"positionId": position_id}), 503, "PRICE_UNAVAILABLE")
    assert platform.get(STATE).status == 200
    assert platform.state()["positions"][0]["markPrice"] == 150
    until(lambda: not any(market["tradable"] for market in platform.get("/api/v1/markets").json["markets"]))
    ready = platform.get("/readyz")
    assert (ready.status, ready.json["status"]) == (200, "degraded")
    assert "SOL_USDC, BTC_USDC, ETH_USDC: the newest quote is older than" in ready.json["reasons"][-1]
    check_conserved(platform.state())


def test_a_restart_keeps_all(own: Callable[..., PlatformThread]) -> None:
    first = own(fee_rate="0.001")
    opened = first.post(OPEN, order(), "ann", key="k")
    first.post(OPEN, order(type="short", asset="BTC"), "bob")
    closed = first.post(OPEN, order(asset="ETH"), "bob").json
    assert first.post(CLOSE, {"positionId": closed["positionId"]}, "bob").status == 200
    before = [first.state(account) for account in ("ann", "bob", "demo")]
    first.stop()
    second = own(fee_rate="0.001")
    assert [second.state(account) for account in ("ann", "bob", "demo")] == before
    assert second.post(OPEN, order(), "ann", key="k").body == opened.body
    assert second.post(CLOSE, {"positionId": opened.json["positionId"]}, "ann").status == 200


def test_fees_are_taken_at_both_ends(own: Callable[..., PlatformThread]) -> None:
    platform = own(fee_rate="0.001")
    opened = platform.post(OPEN, order()).json
    assert opened["fee"] == Decimal("1.999332")
    assert platform.state()["balances"]["USD"] == 9000 - opened["fee"]
    closed = platform.post(CLOSE, {"positionId": opened["positionId"]}).json
    assert closed["fee"] == Decimal("1.998")
    assert platform.state()["balances"]["USD"] == 10_000 - opened["fee"] + closed["realizedPnL"] - closed["fee"]


def test_the_public_routes(platform: PlatformThread, account: str) -> None:
    banner = platform.get("/").json
    assert banner["name"] == "Exness Streams"
    assert "GET /api/v1/state" in banner["endpoints"].values()
    assert platform.get("/livez").json == {"status": "ok"}
    ready = platform.get("/readyz")
    assert (ready.status, ready.json["status"], ready.json["feed"]["status"]) == (200, "ok", "connected")
    markets = platform.get("/api/v1/markets").json["markets"]
    assert [market["symbol"] for market in markets] == ["SOL_USDC", "BTC_USDC", "ETH_USDC"]
    assert [market["asset"] for market in markets] == ["SOL", "BTC", "ETH"]
    sol = markets[0]
    assert (sol["bid"], sol["ask"], sol["price"], sol["tradable"]) == (150, Decimal("150.1"), 150, True)
    assert (sol["maxLeverage"], sol["minMargin"], sol["feeRate"]) == (100, 1, 0)


WRONG_WAYS = [
    ("GET", "/nowhere", {}, b"", 404, "NOT_FOUND"),
    ("GET", "/api/v1/positions", {}, b"", 404, "NOT_FOUND"),
    ("GET", "/api/v1/state/", {}, b"", 404, "NOT_FOUND"),
    ("GET", "/%ff", {}, b"", 404, "NOT_FOUND"),
    ("POST", STATE, {}, b"", 405, "METHOD_NOT_ALLOWED"),
    ("GET", OPEN, {}, b"", 405, "METHOD_NOT_ALLOWED"),
    ("DELETE", CLOSE, {}, b"", 405, "METHOD_NOT_ALLOWED"),
    (
        "POST",
        OPEN,
        {"Content-Type": "application/json"},
        b'{"asset":"' + b"a" * 16_384 + b'"}',
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    ("POST", OPEN, {"Content-Type": "text/plain"}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("POST", OPEN, {}, b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("POST", CLOSE, {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("GET", STATE, {"Expect": "the-unexpected"}, b"", 417, "EXPECTATION_FAILED"),
]


@pytest.mark.parametrize(("method", "path", "headers", "content", "status", "code"), WRONG_WAYS)
def test_every_refusal_has_the_one_shape(
    platform: PlatformThread, method: str, path: str, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    reply = platform.send(method, path, content, headers)
    check_error(reply, status, code)
    assert ("Allow" in reply.headers) == (status == 405)


def test_a_client_that_waits_for_leave_to_send_gets_it(platform: PlatformThread, account: str) -> None:
    headers = {"Content-Type": "application/json", "X-Account": account, "Expect": "100-continue"}
    content = b'{"margin": 2, "asset": "SOL", "type": "long"}'
    assert platform.send("POST", OPEN, content, headers).status == 201
