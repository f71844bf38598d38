"""No input, however odd, gives a 500 or changes an account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from platform_harness import CLOSE, OPEN, PlatformThread, Reply

ACCOUNT = "victim"
JSON_TYPE = {"Content-Type": "application/json", "X-Account": ACCOUNT}
GOOD = {"margin": "1", "asset": '"SOL"', "type": '"long"', "leverage": "1"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"))
    try:
        thread.start()
        assert thread.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"}, ACCOUNT).status == 201
        yield thread
    finally:
        thread.stop()


def body(**fields: str | None) -> bytes:
    """An order with some of its fields, given as JSON text, replaced or (None) left out."""
    texts = {name: text for name, text in (GOOD | fields).items() if text is not None}
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}").encode()


def what_matters(platform: PlatformThread) -> Any:
    state = platform.state(ACCOUNT)
    return state["sequence"], state["balances"], [position["positionId"] for position in state["positions"]]


def check_refused(platform: PlatformThread, path: str, content: bytes, headers: dict[str, str]) -> Reply:
    before = what_matters(platform)
    reply = platform.send("POST", path, content, headers)
    assert 400 <= reply.status < 500, reply
    assert reply.headers["Content-Type"].startswith("application/json")
    assert set(reply.json) <= {"message", "error", "details"}
    assert what_matters(platform) == before
    return reply


NO_NUMBERS = [
    '"NaN"', '"Infinity"', '"-Infinity"', '"sNaN"', '"nan"', "true", "false", "[]",
    "[1]", "{}", '{"a":1}', '""', '" 1"', '"1 "', '"1e3"', '"+1"', '"0x10"', '"1,5"', '"1_000"', '"١"', '"１"',
    '"1\\u0000"', "1e400", "-1e400", "1e-400", '"1e400"', "1e99999999999", "1" * 400, "0." + "1" * 31,
    "0.0000000000000000001", '"one"',
]  # fmt: skip
ODD_MARGINS = ["-0", "0", "-0.0", '"-0"', "-1", "1e99", "-1e99", "0.99", "9" * 30, '"' + "9" * 30 + '"', "1e-8"]
NO_TEXTS = ["1", "null", "true", "[]", "{}", '""', '"' + "a" * 200 + '"', '["SOL"]']


@pytest.mark.parametrize("text", [*NO_NUMBERS, "null"])
def test_a_margin_that_is_no_number(platform: PlatformThread, text: str) -> None:
    check_names(check_refused(platform, OPEN, body(margin=text), JSON_TYPE), "margin")


@pytest.mark.parametrize("name", ["leverage", "currentPrice", "slippage"])
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_other_fields_that_are_no_number(platform: PlatformThread, name: str, text: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: text}), JSON_TYPE), name)


@pytest.mark.parametrize("text", ODD_MARGINS)
def test_margins_beyond_their_limits(platform: PlatformThread, text: str) -> None:
    reply = check_refused(platform, OPEN, body(margin=text), JSON_TYPE)
    assert (reply.json["error"], reply.json["details"]["field"]) == ("INVALID_MARGIN", "margin")


@pytest.mark.parametrize("text", ["-0", "0", "-1", "1e99", "101", "0.5", '"0"'])
def test_leverages_beyond_their_limits(platform: PlatformThread, text: str) -> None:
    reply = check_refused(platform, OPEN, body(leverage=text), JSON_TYPE)
    assert (reply.json["error"], reply.json["details"]["field"]) == ("INVALID_LEVERAGE", "leverage")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("currentPrice", text) for text in ("0", "-0", "-1", "1e13")),
        *(("slippage", text) for text in ("-1", '"-0.1"', "100.1", "1e99")),
    ],
)
def test_price_guards_beyond_their_limits(platform: PlatformThread, name: str, text: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: text}), JSON_TYPE), name)


@pytest.mark.parametrize("text", NO_TEXTS)
@pytest.mark.parametrize("name", ["asset", "type"])
def test_texts_that_are_none(platform: PlatformThread, name: str, text: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: text}), JSON_TYPE), name)


@pytest.mark.parametrize("text", NO_TEXTS)
def test_a_position_id_that_is_none(platform: PlatformThread, text: str) -> None:
    check_names(check_refused(platform, CLOSE, b'{"positionId":' + text.encode() + b"}", JSON_TYPE), "positionId")


@pytest.mark.parametrize("name", ["margin", "asset", "type"])
def test_fields_that_are_left_out(platform: PlatformThread, name: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: None}), JSON_TYPE), name)


@pytest.mark.parametrize("text", ['"LONG"', '"buy"', '"long "', '"l\\u006fng"x'])
def test_directions_that_are_none(platform: PlatformThread, text: str) -> None:
    check_refused(platform, OPEN, body(type=text), JSON_TYPE)


@pytest.mark.parametrize("name", ["Margin", "stoploss", "", "a" * 300, "\u0000", "__proto__", "é", "positionId"])
def test_fields_that_nobody_knows(platform: PlatformThread, name: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: "1"}), JSON_TYPE), name[:64])


BODIES = [
    b"", b" ", b"null", b"1", b'"x"', b"[]", b"[{}]", b"{", b"{}x", b"{'margin':1}", b'{"margin":1,}', b"\xff\xfe",
    b"\xef\xbb\xbf{}", b'{"asset":"\xff"}', b'{"\xff":1}', b'{"asset":"\xed\xa0\x80"}', b'{"a":1', b"\x00" * 100,
    b"[" * 10_000, b'{"a":' * 3_000, b'{"margin":' + b"[" * 10_000 + b"]" * 5_000 + b"}", b'{"\\ud800":1}',
    b'{1:2}', b"{}" * 100, b'{"margin":01}', b'{"margin":.5}', b'{"margin":1.}', b'{"margin":+1}', b"// {}",
    '{"margin":1}'.encode("utf-16"), '{"margin":1}'.encode("utf-32"),
]  # fmt: skip


@pytest.mark.parametrize("content", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", [OPEN, CLOSE])
def test_bodies_that_are_no_object(platform: PlatformThread, path: str, content: bytes) -> None:
    reply = check_refused(platform, path, content, JSON_TYPE)
    assert reply.json["error"] == "INVALID_REQUEST"
    assert reply.json["details"]["field"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"\\ud800"', "01", ".5", "+1", "1.", "0x1", "'1'"])
@pytest.mark.parametrize("name", [*GOOD, "currentPrice", "slippage"])
def test_what_json_does_not_know_makes_the_body_none(platform: PlatformThread, name: str, text: str) -> None:
    check_names(check_refused(platform, OPEN, body(**{name: text}), JSON_TYPE), "body")


def test_of_a_field_given_twice_the_last_counts(platform: PlatformThread) -> None:
    check_refused(platform, OPEN, body()[:-1] + b',"margin":0}', JSON_TYPE)
    check_refused(platform, OPEN, body()[:-1] + b',"type":1}', JSON_TYPE)


def test_deep_nesting_in_every_place(platform: PlatformThread) -> None:
    deep = "[" * 7_000 + "]" * 7_000
    for name in (*GOOD, "currentPrice", "slippage", "unknown"):
        check_refused(platform, OPEN, body(**{name: deep}), JSON_TYPE)


ACCOUNTS = ["", " ", "a b", "a/b", "é", "a" * 65, "../etc", "a\tb", "demo;drop", "%00", "a,b", "*"]
KEYS = ["", " ", "a b", "é", "a" * 129, "a\tb", "ÿ"]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_accounts_that_are_none(platform: PlatformThread, account: str) -> None:
    check_names(check_refused(platform, OPEN, body(), JSON_TYPE | {"X-Account": account}), "X-Account")
    check_names(platform.get("/api/v1/state", account), "X-Account")


@pytest.mark.parametrize("key", KEYS)
def test_keys_that_are_none(platform: PlatformThread, key: str) -> None:
    reply = check_refused(platform, OPEN, body(), JSON_TYPE | {"Idempotency-Key": key})
    check_names(reply, "Idempotency-Key")


@pytest.mark.parametrize(
    "content_type", ["", "json", "text/json", "application/jsonp", "application/json2; a=b", ";", "é", "application/"]
)
def test_content_types_that_are_not_json(platform: PlatformThread, content_type: str) -> None:
    reply = check_refused(platform, OPEN, body(), JSON_TYPE | {"Content-Type": content_type})
    assert (reply.status, reply.json["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_odd_but_legal_keys_name_requests(platform: PlatformThread) -> None:
    for key in ("/", "a/b", "account/victim", "%2F", '"', "\\", "~" * 128):
        first, second = (platform.post(OPEN, {"margin": 2, "asset": "SOL", "type": "long"}, "odd", key) for _ in "12")
        assert (first.status, first.body) == (201, second.body)


def check_names(reply: Reply, field: str) -> None:
    assert (reply.status, reply.json["error"]) == (400, "INVALID_REQUEST"), reply
    assert reply.json["details"]["field"] == field


_texts = st.text(max_size=40)
_numbers = st.integers() | st.floats() | st.decimals().map(str) | st.sampled_from([10**400, "1e400", -0.0])
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_names = st.sampled_from(["margin", "asset", "type", "leverage", "currentPrice", "slippage", "positionId"]) | _texts
_objects = st.dictionaries(_names, _values, max_size=7)
_nearly_orders = st.fixed_dictionaries(
    {"asset": st.just("SOL") | _values, "type": st.just("long") | _values, "margin": st.just(1) | _values},
    optional={"leverage": _values, "currentPrice": _values, "slippage": _values},
)
_as_json = (_objects | _nearly_orders | _values).map(lambda value: json.dumps(value).encode("utf-8", "replace"))
_header = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=140)
_headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.just("application/json") | _header,
        "Idempotency-Key": _header,
        "X-Account": st.sampled_from(["fuzz", "demo"]) | _header,
    },
)


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([OPEN, CLOSE]), _as_json | st.binary(max_size=200), _headers)
@example(OPEN, b"[" * 16_000, {})
@example(OPEN, b"{}", {"X-Account": "victim"})
def test_whatever_is_sent(platform: PlatformThread, path: str, content: bytes, headers: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json", "X-Account": "fuzz"} | headers
    account = headers["X-Account"]
    before = what_matters(platform)
    reply = platform.send("POST", path, content, headers)
    assert reply.status in (200, 201, 400, 404, 409, 415), (reply, account)
    if reply.status >= 400:
        assert set(reply.json) <= {"message", "error", "details"}
        assert reply.json["message"]
    if reply.status < 400 and account == ACCOUNT:
        assert what_matters(platform) != before
    else:
        assert what_matters(platform) == before
