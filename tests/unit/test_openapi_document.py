"""What generators of clients would trip over in the OpenAPI documents is not in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest

from exness_streams.api.openapi.document import openapi_document
from exness_streams.domain.candles import INTERVALS_S
from exness_streams.domain.events import CloseReason
from exness_streams.domain.plain_numbers import Form
from exness_streams.messages import json_encoder

FORMS: tuple[Form, ...] = ("number", "string")
EITHER = pytest.mark.parametrize("form", FORMS)


@cache
def document(form: Form = "number") -> Any:
    return json.loads(json_encoder.encode(openapi_document(form)))


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from nodes(item)


def operations(form: Form = "number") -> list[dict[str, Any]]:
    return [operation for methods in document(form)["paths"].values() for operation in methods.values()]


def schema(name: str, form: Form = "number") -> Any:
    return document(form)["components"]["schemas"][name]["properties"]


@EITHER
def test_no_default_makes_an_optional_field_a_required_one(form: Form) -> None:
    for kind in document(form)["components"]["schemas"].values():
        assert not [name for name, about in kind.get("properties", {}).items() if "default" in about]
    for node in nodes(document(form)["components"]):
        assert node.get("default", 0) is not None
        if node.get("type") == "number" and "default" in node:
            assert isinstance(node["default"], int | float)


def test_the_default_leverage_is_a_number() -> None:
    for name in ("OpenRequest", "PlaceRequest"):
        numbers = [choice for choice in schema(name)["leverage"]["anyOf"] if choice["type"] == "number"]
        assert [number["default"] for number in numbers] == [1]


def test_words_of_answers_are_listed() -> None:
    listed = {
        ("PositionMessage", "type"): ["long", "short"],
        ("OrderMessage", "kind"): ["limit", "stop"],
        ("OrderMessage", "side"): ["buy", "sell"],
        ("OrderMessage", "status"): ["open", "filled", "cancelled", "expired"],
        ("TradeMessage", "type"): ["long", "short"],
        ("TradeMessage", "reason"): list(get_args(CloseReason)),
        ("CandlesMessage", "interval"): list(INTERVALS_S),
        ("Me", "kind"): ["guest", "open", "session", "key"],
    }
    for (name, field), words in listed.items():
        about = schema(name)[field]
        assert (about["type"], sorted(about["enum"])) == ("string", sorted(words)), (name, field)


def test_what_is_always_sent_is_required() -> None:
    kinds = document()["components"]["schemas"]
    assert set(kinds["PositionMessage"]["required"]) == set(schema("PositionMessage")) - {"stale"}
    assert set(kinds["CloseAllResult"]["required"]) == {"positionId", "closed"}
    assert set(kinds["OpenRequest"]["required"]) == {"margin", "asset", "type"}


def test_answers_are_of_one_form() -> None:
    assert schema("PositionMessage")["quantity"] == {"type": "number"}
    assert schema("PositionMessage", "string")["quantity"]["type"] == "string"
    assert schema("PositionMessage", "string")["timestamp"]["type"] == "integer"
    asks = {
        operation["operationId"]
        for operation in operations("string")
        for parameter in operation.get("parameters", ())
        if parameter.get("name") == "numbers" and parameter["required"]
    }
    assert asks >= {"getState", "getMarkets", "getCandles", "getTrades", "getEquity", "openPosition", "closePosition"}
    assert not asks & {"isAlive", "whoAmI", "listKeys", "stream"}


@EITHER
def test_no_two_operations_share_an_example_of_a_key(form: Form) -> None:
    keys = [
        parameter["example"]
        for operation in operations(form)
        for parameter in operation.get("parameters", ())
        if parameter.get("name") == "Idempotency-Key"
    ]
    assert len(keys) == len(set(keys)) >= 8


@EITHER
def test_the_address_and_who_may_ask_are_said(form: Form) -> None:
    assert all(server["url"].startswith("http://") for server in document(form)["servers"])
    schemes = document(form)["components"]["securitySchemes"]
    assert set(schemes) == {"session", "bearer", "apiKey"}
    for operation in operations(form):
        asked = {name for way in operation["security"] for name in way}
        assert asked <= set(schemes)
        assert ("apiKey" in asked) <= ("session" in asked)


def test_what_may_happen_anywhere_is_listed() -> None:
    for operation in operations():
        statuses = set(operation["responses"])
        assert statuses >= {"400", "421"}, operation["operationId"]
        assert ("408" in statuses) == ("requestBody" in operation), operation["operationId"]
        for response in operation["responses"].values():
            for node in nodes(response):
                assert len(node.get("enum", ())) == len(set(node.get("enum", ())))
