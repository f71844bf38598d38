"""Each field of each POST with values that are none: 400 that names the field, and nothing has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from platform_harness import CLOSE, OPEN, PlatformThread

ACCOUNT = "victim"
HEADERS = {"Content-Type": "application/json", "X-Account": ACCOUNT}
MODIFY = "/api/v1/positions/modify"
CLOSE_ALL = "/api/v1/positions/close-all"
PLACE = "/api/v1/orders/place"
CANCEL = "/api/v1/orders/cancel"
DEPOSIT = "/api/v1/account/deposit"
RESET = "/api/v1/account/reset"

NO_NUMBERS = [
    '"NaN"', '"Infinity"', '"-Infinity"', "true", "false", "[]", "[1]", "{}", '{"a":1}', '""', '" 1"', '"1e3"',
    '"+1"', '"0x10"', '"1,5"', '"1_000"', '"١"', "1e400", "-1e400", "1e-400", '"1e400"', "1" * 400, "0." + "1" * 31,
    "0.0000000000000000001", '"one"', "[" * 50 + "]" * 50,
]  # fmt: skip
NOT_POSITIVE = ["0", "-0", "-0.0", '"-0"', "-1", "-1e99", '"-5000"']
TOO_LARGE = ["1e13", "1e99", "9" * 30, '"1000000000001"']
NO_TEXTS = ["1", "null", "true", "[]", "{}", '""', '"' + "a" * 200 + '"', '["SOL"]', '{"a":"b"}']
NO_TIMES = ["1.5", "-1", "0", "-0", "1e15", '"253402300800000"', "1e99", '"2026-11-24T00:00:00Z"', "1790000000000.5"]
NO_JSON = ["NaN", "Infinity", "-Infinity", "01", ".5", "+1", "1.", "0x1", "'1'", '"\\ud800"', "[" * 5_000 + "]" * 5_000]

PRICE = [*NO_NUMBERS, *NOT_POSITIVE, *TOO_LARGE]
PERCENT = [*NO_NUMBERS, "-1", '"-0.1"', "100.1", "1e99"]
ORDER = {"margin": "1000", "asset": '"SOL"', "type": '"long"', "leverage": "2"}
LIMIT = ORDER | {"kind": '"limit"', "price": "140"}
CLOSING = {"positionId": '"pos_0_1"'}

FIELDS: dict[tuple[str, str], tuple[dict[str, str], list[str]]] = {
    (OPEN, "stopLoss"): (ORDER, PRICE),
    (OPEN, "takeProfit"): (ORDER, PRICE),
    (CLOSE, "positionId"): (CLOSING, NO_TEXTS),
    (CLOSE, "quantity"): (CLOSING, [*NO_NUMBERS, *NOT_POSITIVE, "1e29", "1e99", "9" * 30, "0.000000001"]),
    (CLOSE, "percentage"): (CLOSING, [*PERCENT, *NOT_POSITIVE]),
    (CLOSE, "currentPrice"): (CLOSING, PRICE),
    (CLOSE, "slippage"): (CLOSING, PERCENT),
    (MODIFY, "positionId"): (CLOSING | {"stopLoss": "100"}, NO_TEXTS),
    (MODIFY, "stopLoss"): (CLOSING, PRICE),
    (MODIFY, "takeProfit"): (CLOSING, PRICE),
    (PLACE, "margin"): (LIMIT, [*NO_NUMBERS, "null", *NOT_POSITIVE, *TOO_LARGE, "0.99"]),
    (PLACE, "asset"): (LIMIT, NO_TEXTS),
    (PLACE, "type"): (LIMIT, [*NO_TEXTS, '"LONG"', '"buy"']),
    (PLACE, "leverage"): (LIMIT, [*NO_NUMBERS, *NOT_POSITIVE, *TOO_LARGE, "0.5", "101"]),
    (PLACE, "kind"): (LIMIT, [*NO_TEXTS, '"market"', '"LIMIT"']),
    (PLACE, "price"): (LIMIT, [*PRICE, "null"]),
    (PLACE, "stopLoss"): (LIMIT, PRICE),
    (PLACE, "takeProfit"): (LIMIT, PRICE),
    (PLACE, "expiresAt"): (LIMIT, [*NO_NUMBERS, *NO_TIMES]),
    (CANCEL, "orderId"): ({}, NO_TEXTS),
    (DEPOSIT, "amount"): ({}, [*PRICE, "null", "0.000000001"]),
    (RESET, "confirm"): ({}, [*NO_TEXTS, '"reset"', '"RESET "', "true"]),
}
GOOD = {OPEN: ORDER, CLOSE: CLOSING, MODIFY: CLOSING | {"stopLoss": "100"}, PLACE: LIMIT, CLOSE_ALL: {},
        CANCEL: {"orderId": '"ord_0_2"'}, DEPOSIT: {"amount": "1"}, RESET: {"confirm": '"RESET"'}}  # fmt: skip
REQUIRED = [
    (CLOSE, "positionId"), (MODIFY, "positionId"), (PLACE, "margin"), (PLACE, "asset"), (PLACE, "type"),
    (PLACE, "kind"), (PLACE, "price"), (CANCEL, "orderId"), (DEPOSIT, "amount"), (RESET, "confirm"),
]  # fmt: skip


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"))
    try:
        thread.start()
        assert thread.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"}, ACCOUNT).status == 201
        limit = {"margin": 100, "asset": "SOL", "type": "long", "kind": "limit", "price": 1}
        assert thread.post("/api/v1/orders/place", limit, ACCOUNT).status == 201
        yield thread
    finally:
        thread.stop()


def what_matters(platform: PlatformThread) -> Any:
    state = platform.state(ACCOUNT)
    positions = [(each["positionId"], each["stopLoss"], each["quantity"]) for each in state["positions"]]
    return state["sequence"], state["balances"], positions, state["orders"]


def refused_field(platform: PlatformThread, path: str, texts: dict[str, str]) -> Any:
    """The field that the answer names. texts: JSON text by field."""
    content = "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}"
    reply = platform.send("POST", path, content.encode(), HEADERS)
    assert reply.status == 400, (content[:200], reply)
    assert reply.json["error"] in ("INVALID_REQUEST", "INVALID_MARGIN", "INVALID_LEVERAGE"), (content[:200], reply)
    assert reply.json["message"]
    return reply.json["details"]["field"]


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_values_that_are_none(platform: PlatformThread, path: str, name: str) -> None:
    good, values = FIELDS[path, name]
    before = what_matters(platform)
    named = {text[:80]: refused_field(platform, path, good | {name: text}) for text in values}
    assert {text: field for text, field in named.items() if field != name} == {}
    assert what_matters(platform) == before


NUMBERS = [place for place, (_, values) in FIELDS.items() if '"1,5"' in values]


@pytest.mark.parametrize(("path", "name"), NUMBERS)
def test_a_decimal_comma_is_refused_with_those_words(platform: PlatformThread, path: str, name: str) -> None:
    before = what_matters(platform)
    good = GOOD[path]
    for text in ('"1,5"', '"155,5"', '"1.234,5"', '"1,234.5"', '"0,001"', '"-1,5"', '",5"', "1,5"):
        content = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in (good | {name: text}).items()) + "}"
        reply = platform.send("POST", path, content.encode(), HEADERS)
        assert reply.status == 400, content
        assert "a decimal comma is not read, write a decimal point" in reply.json["message"], content
        assert reply.json["details"]["field"] == (name if text[0] == '"' else "body")
    assert what_matters(platform) == before


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_what_json_does_not_know_makes_the_body_none(platform: PlatformThread, path: str, name: str) -> None:
    good, _ = FIELDS[path, name]
    before = what_matters(platform)
    for text in NO_JSON:
        assert refused_field(platform, path, good | {name: text}) == "body", text
    assert what_matters(platform) == before


@pytest.mark.parametrize(("path", "name"), REQUIRED)
def test_fields_that_are_left_out(platform: PlatformThread, path: str, name: str) -> None:
    before = what_matters(platform)
    texts = {field: text for field, text in GOOD[path].items() if field != name}
    assert refused_field(platform, path, texts) == name
    assert refused_field(platform, path, texts | {name: "null"}) == name
    assert what_matters(platform) == before


@pytest.mark.parametrize("path", GOOD)
def test_fields_that_nobody_knows(platform: PlatformThread, path: str) -> None:
    before = what_matters(platform)
    for name in ("stoploss", "Quantity", "", "a" * 64, "\u0000", "__proto__", "é", "accountId"):
        assert refused_field(platform, path, GOOD[path] | {name: "1"}) == name
    assert what_matters(platform) == before


def test_of_quantity_and_percentage_only_one(platform: PlatformThread) -> None:
    texts = CLOSING | {"quantity": "1", "percentage": "50"}
    assert refused_field(platform, CLOSE, texts) == "quantity"


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"[" * 10_000, b'{"a":' * 3_000, b"\xff\xfe"])
def test_bodies_that_are_no_object(platform: PlatformThread, path: str, content: bytes) -> None:
    before = what_matters(platform)
    reply = platform.send("POST", path, content, HEADERS)
    assert (reply.status, reply.json["error"], reply.json["details"]["field"]) == (400, "INVALID_REQUEST", "body")
    assert what_matters(platform) == before


def test_odd_spellings_of_good_values_are_good(platform: PlatformThread) -> None:
    """Null for what may be left out, strings for numbers, an exponent."""
    body = LIMIT | {"leverage": "null", "stopLoss": "null", "takeProfit": "null", "expiresAt": "null"}
    for changed in ({}, {"price": '"140.50"'}, {"price": "1.4e2"}, {"expiresAt": '"9000000000000"'},
                    {"expiresAt": "9e12"}, {"margin": '"2.000000010"'}):  # fmt: skip
        texts = body | changed
        content = "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"
        reply = platform.send("POST", PLACE, content.encode(), HEADERS | {"X-Account": "odd"})
        assert reply.status == 201, (content, reply)
    orders = platform.state("odd")["orders"]
    assert [order["leverage"] for order in orders] == [1] * 6
    assert [order["expiresAt"] for order in orders[3:5]] == [9_000_000_000_000] * 2
