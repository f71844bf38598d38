"""One grammar of numbers, in and out, over HTTP: strings on demand, no exponent, nothing rounded or overlooked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from platform_harness import CLOSE, OPEN, STATE, PlatformThread, Reply, until

from exness_streams.api import requests

DEPOSIT, PLACE, MODIFY = "/api/v1/account/deposit", "/api/v1/orders/place", "/api/v1/positions/modify"
ORDER = {"margin": 1000, "asset": "SOL_USDC", "type": "long", "leverage": 2}
INTEGERS = {
    "timestamp", "time", "sequence", "openedAt", "closedAt", "durationMs", "expiresAt", "since", "skewMs", "partition",
    "from", "to", "fundingInterval", "stateSince",
}  # fmt: skip


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_quote_age_ms=3_600_000)
    try:
        yield thread.start()
    finally:
        thread.stop()


def post(platform: PlatformThread, path: str, body: Any, account: str, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {"X-Account": account, "Content-Type": "application/json"}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return platform.send("POST", path, content, said)


def numbers_in(document: Any, name: str = "") -> Iterator[tuple[str, Decimal]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers_in(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from numbers_in(value, name)
    elif isinstance(document, Decimal):
        yield name, document


def decimals_as_numbers(reply: Reply) -> set[str]:
    return {name for name, _ in numbers_in(reply.json)} - INTEGERS


READS = (
    "/api/v1/state",
    "/api/v1/markets",
    "/api/v1/candles?symbol=SOL",
    "/api/v1/trades",
    "/api/v1/equity",
    "/readyz",
)


def test_every_get_gives_decimals_as_strings_on_demand(platform: PlatformThread) -> None:
    opened = platform.post(OPEN, ORDER, "reads").json
    platform.post(CLOSE, {"positionId": opened["positionId"], "percentage": 50}, "reads")
    until(lambda: platform.get("/api/v1/trades", "reads").json["trades"])
    for path in READS:
        sign = "&" if "?" in path else "?"
        plain, text = platform.get(path, "reads"), platform.get(f"{path}{sign}numbers=string", "reads")
        assert text.status == 200, text
        assert decimals_as_numbers(text) == set(), path
        assert path == "/readyz" or decimals_as_numbers(plain), path
        assert "Prefer" in plain.headers["Vary"]
        preferred = platform.send("GET", path, headers={"X-Account": "reads", "Prefer": "wait=1, numbers=string"})
        assert preferred.headers["Preference-Applied"] == "numbers=string"
        assert decimals_as_numbers(preferred) == set()
        refused = platform.get(f"{path}{sign}numbers=text", "reads")
        assert (refused.status, refused.json["details"]["field"]) == (400, "numbers")


def test_a_post_answers_as_it_is_preferred_and_so_does_its_repeat(platform: PlatformThread) -> None:
    opened = post(platform, OPEN, ORDER, "prefers", Prefer='numbers="string"', Idempotency_Key="k")
    assert (opened.status, opened.headers["Preference-Applied"]) == (201, "numbers=string")
    assert opened.json["quantity"] == str(Decimal(opened.json["quantity"]))
    again = post(platform, OPEN, ORDER, "prefers", Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Preference-Applied" not in again.headers
    assert again.json["quantity"] == Decimal(opened.json["quantity"])
    unknown = post(platform, DEPOSIT, {"amount": 1}, "prefers", Prefer="numbers=roman, respond-async")
    assert (unknown.status, "Preference-Applied" in unknown.headers) == (200, False)
    closed = post(platform, CLOSE, {"positionId": opened.json["positionId"]}, "prefers", Prefer="numbers=string")
    assert decimals_as_numbers(closed) == set()


@pytest.mark.parametrize("amount", [b"1e-8", b"1E-8", b"0.00000001", b'"0.00000001"'])
def test_a_tiny_amount_has_no_exponent_and_comes_back_in(platform: PlatformThread, amount: bytes) -> None:
    account = f"tiny{amount.hex()}"
    sent = post(platform, DEPOSIT, b'{"amount":%s}' % amount, account)
    assert (sent.status, sent.json["message"]) == (200, "0.00000001 USD deposited")
    for path in (f"{STATE}?numbers=string", STATE):
        read = platform.get(path, account)
        assert re.search(rb"[0-9]E", read.body) is None
        assert Decimal(read.json["account"]["deposited"]) == Decimal("1e-8")
    deposited = platform.get(f"{STATE}?numbers=string", account).json["account"]["deposited"]
    assert post(platform, DEPOSIT, {"amount": deposited}, account).status == 200


def test_a_refusal_tells_tiny_numbers_so_that_they_can_be_sent(platform: PlatformThread) -> None:
    opened = platform.post(OPEN, ORDER, "refused").json
    sent = post(platform, MODIFY, {"positionId": opened["positionId"], "takeProfit": 149}, "refused")
    assert (sent.status, sent.json["error"]) == (400, "INVALID_TRIGGER")
    sent = post(platform, MODIFY, {"positionId": opened["positionId"], "takeProfit": 9.8e-7}, "refused")
    assert (sent.status, sent.json["error"], sent.json["details"]["nearest"]) == (400, "INVALID_PRICE", ["0.01"])
    beyond = {"currentPrice": "0.00000098", "slippage": "0.0000001"}
    for body in (ORDER | beyond, ORDER | beyond | {"currentPrice": 9.8e-7, "slippage": 1e-7}):
        sent = post(platform, OPEN, body, "refused")
        assert sent.json["error"] == "SLIPPAGE_EXCEEDED"
        assert "0.00000098" in sent.json["message"]
        assert sent.json["details"]["referencePrice"] == "0.00000098"
        assert sent.json["details"]["slippage"] == "0.0000001"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (OPEN, ORDER | {"margin": "1000.123456789"}, "margin"),
        (PLACE, ORDER | {"margin": 1000.123456789, "kind": "limit", "price": 1}, "margin"),
        (DEPOSIT, {"amount": 1.123456789}, "amount"),
        (CLOSE, {"positionId": "p", "quantity": "1.123456789"}, "quantity"),
    ],
)
def test_an_amount_of_too_many_places_is_refused_in_one_way(
    platform: PlatformThread, path: str, body: dict[str, Any], field: str
) -> None:
    refused = post(platform, path, body, "places")
    assert (refused.status, refused.json["error"]) == (400, "INVALID_REQUEST")
    assert refused.json["message"] == f'"{field}" has too many decimal places; send at most 8'
    assert refused.json["details"] == {"field": field}
    assert platform.state("places")["sequence"] == 0


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"amount":1,"amount":2}', "amount"),
        (b'{"amount":1,"amoun\\u0074":1}', "amount"),
        (b'{"amount":[{"deep":{"a":1,"a":1}}]}', "a"),
        (b'{"confirm":"RESET","confirm":"RESET"}', "confirm"),
    ],
)
def test_a_name_that_is_there_twice_is_refused(platform: PlatformThread, body: bytes, name: str) -> None:
    path = "/api/v1/account/reset" if b"confirm" in body else DEPOSIT
    refused = post(platform, path, body, "twice")
    assert (refused.status, refused.json["details"]) == (400, {"field": name})
    assert refused.json["message"] == f'"{name}" is given more than once; send each field once'
    assert platform.state("twice")["sequence"] == 0


def test_a_true_repeat_of_what_an_earlier_release_took_is_answered(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"amount":1,"amount":2}'
    monkeypatch.setattr(requests, "repeated_name", lambda text: None)
    first = post(platform, DEPOSIT, body, "upgraded", Idempotency_Key="k")
    assert first.json["message"] == "2 USD deposited"
    monkeypatch.undo()
    again = post(platform, DEPOSIT, body, "upgraded", Idempotency_Key="k")
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, first.json, "true")
    assert post(platform, DEPOSIT, body, "upgraded", Idempotency_Key="other").status == 400
    assert post(platform, DEPOSIT, b'{"amount":1,"amount":3}', "upgraded", Idempotency_Key="k").status == 400
    assert platform.state("upgraded")["sequence"] == 1


def test_asset_is_the_base_asset_whatever_was_typed(platform: PlatformThread) -> None:
    typed = ORDER | {"asset": "SOL_USDC"}
    opened = platform.post(OPEN, typed, "named").json
    placed = platform.post(PLACE, typed | {"margin": 10, "kind": "limit", "price": 1}, "named").json
    state = platform.state("named")
    platform.post(CLOSE, {"positionId": opened["positionId"]}, "named")
    trades = until(lambda: platform.get("/api/v1/trades", "named").json["trades"])
    for shown in (opened, placed, *state["positions"], *state["orders"], *trades):
        assert shown["asset"] == "SOL"
        assert shown.get("symbol", shown.get("market")) == "SOL_USDC"


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/api/v1/state?number=string", 'unknown query parameter "number"; this route accepts: numbers'),
        ("GET", "/api/v1/trades?limits=1", 'Did you mean "limit"?'),
        ("GET", "/api/v1/candles?symbol=SOL&intervall=1m", 'Did you mean "interval"?'),
        ("GET", "/api/v1/markets?symbol=SOL", 'unknown query parameter "symbol"'),
        ("GET", "/api/v1/openapi.json?x=", 'unknown query parameter "x"'),
        ("GET", "/livez?verbose", 'unknown query parameter "verbose"'),
        ("GET", "/api/v1/state?numbers=string&numbers=string", '"numbers" is given more than once'),
        ("POST", "/api/v1/account/deposit?amount=1", 'unknown query parameter "amount"'),
        ("GET", "/api/v1/keys?x=1", 'unknown query parameter "x"'),
    ],
)
def test_a_query_parameter_that_is_none_is_refused(
    platform: PlatformThread, method: str, path: str, words: str
) -> None:
    headers = {"X-Account": "asks", "Content-Type": "application/json"}
    refused = platform.send(method, path, b'{"amount":1}' if method == "POST" else b"", headers)
    assert (refused.status, refused.json["error"]) == (400, "INVALID_REQUEST"), refused
    assert words in refused.json["message"]
    assert platform.state("asks")["sequence"] == 0


def test_an_exponent_in_a_string_is_refused_with_words(platform: PlatformThread) -> None:
    for number in ("9.8E-7", "1e3", "-1e+3"):
        refused = post(platform, DEPOSIT, {"amount": number}, "exponent")
        assert refused.status == 400
        assert "an exponent is not read in a string, write the digits out" in refused.json["message"]


def test_a_decimal_comma_is_refused_with_words(platform: PlatformThread) -> None:
    for content in (b'{"amount":"1,5"}', b'{"amount":1,5}', b'{"amount":"1.234,5"}'):
        refused = post(platform, DEPOSIT, content, "comma")
        assert refused.status == 400
        assert "a decimal comma is not read" in refused.json["message"]
    assert platform.state("comma")["sequence"] == 0
