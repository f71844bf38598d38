"""Bodies as the API reads them: what they come to, the first complaint, and the digest that a key remembers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from exness_streams.api.bodies import (
    CancelRequest,
    CloseAllRequest,
    CloseRequest,
    DepositRequest,
    EmailRequest,
    KeyRequest,
    ModifyRequest,
    OpenRequest,
    PlaceRequest,
    Request,
    ResetRequest,
    VerifyRequest,
)
from exness_streams.api.errors import ApiError
from exness_streams.api.requests import Body
from exness_streams.domain.money import DECIMAL_COMMA

KINDS = Request.__subclasses__()

RIGHT: dict[str, Any] = {
    "margin": 1, "asset": "SOL", "type": "long", "leverage": 1, "currentPrice": 1, "slippage": 1, "stopLoss": 1,
    "takeProfit": 1, "positionId": "p", "quantity": 1, "percentage": 1, "kind": "limit", "price": 1, "expiresAt": 1,
    "orderId": "o", "amount": 1, "confirm": "RESET",
    "email": "anna@example.com",
    "token": "t",
    "nonce": "n" * 16,
    "name": "bot",
    "symbol": "SOL",
    "state": "settled",
    "scopes": ["read"],
}  # fmt: skip


ORDER: dict[str, Any] = {name: RIGHT[name] for name in ("margin", "asset", "type", "kind", "price")}


def body_of(content: bytes) -> Body:
    return Body(msgspec.json.decode(content, type=dict[str, msgspec.Raw]))


# Computed by release 0.1.0: data directories remember them, and a true retry after an upgrade has to be told from
# another use of its key.
FINGERPRINTS = [
    (
        "/api/v1/positions/open",
        b'{"margin":100,"asset":"SOL","type":"long","leverage":2}',
        "61515051ae127f9d2d674abd2dbcaf6d",
    ),
    (
        "/api/v1/positions/open",
        b'{ "type" : "long",\n "asset":"SOL", "leverage":2, "margin":100 }',
        "61515051ae127f9d2d674abd2dbcaf6d",
    ),
    (
        "/api/v1/positions/open",
        b'{"margin":100.0,"asset":"SOL","type":"long","leverage":2}',
        "6bbe8d4ad480cea394cabe73bc8eebd5",
    ),
    (
        "/api/v1/positions/open",
        b'{"margin":"100","asset":"SOL","type":"long","leverage":2}',
        "1be9cc5cb04837d898f144892430e443",
    ),
    (
        "/api/v1/positions/open",
        b'{"margin":1e2,"asset":"SOL","type":"long","leverage":null}',
        "125b012cf1eb65cf28c79768a1fba044",
    ),
    (
        "/api/v1/positions/open",
        b'{"margin":100,"margin":200,"asset":"\\u0053OL","type":"long"}',
        "4daeef9646f784f49933c6785853f0a4",
    ),
    (
        "/api/v1/positions/open",
        b'{"margin":100,"asset":"S\xc3\x96L \xe2\x82\xac","type":"short"'
        b',"slippage":0.1,"currentPrice":150.25,"stopLoss":140,"takeProfit":"160"}',
        "b067fce007715dfd36ba7d527e6837a5",
    ),
    ("/api/v1/positions/close", b'{"positionId":"0-1-0","percentage":50}', "22c8bb0781e43175f9f8d3d639194fce"),
    ("/api/v1/positions/close", b'{"positionId":"0-1-0"}', "38236c16faf8884a6b8563c475b619a1"),
    ("/api/v1/positions/close-all", b"{}", "4eb89539324b30c904b9bbc3ee2553be"),
    (
        "/api/v1/positions/modify",
        b'{"positionId":"0-1-0","stopLoss":null,"takeProfit":170.5}',
        "60fdd95b78c99bd3ff4b7e92c054ab08",
    ),
    (
        "/api/v1/orders/place",
        b'{"margin":50,"asset":"SOL_USDC","type":"long","kind":"limit","price":120,"expiresAt":1893456000000}',
        "6e58f37fd853773c26c247154a0ebd59",
    ),
    ("/api/v1/orders/cancel", b'{"orderId":"0-2-0"}', "dc4507fcfa228735c43a456b497c0c39"),
    ("/api/v1/account/deposit", b'{"amount":1000}', "a61ea1ba75804c248817d0be7f5db8b4"),
    ("/api/v1/account/reset", b'{"confirm":"RESET"}', "33f1e4eb9fbec2008d895f41b44db049"),
]


@pytest.mark.parametrize(("path", "content", "fingerprint"), FINGERPRINTS)
def test_a_fingerprint_is_what_it_always_was(path: str, content: bytes, fingerprint: str) -> None:
    assert body_of(content).fingerprint(path) == fingerprint


READ: list[tuple[type[Request], bytes, Request]] = [
    (
        OpenRequest,
        b'{"margin":"100.5","asset":"SOL","type":"long","leverage":null,"slippage":0,"stopLoss":null}',
        OpenRequest(margin=Decimal("100.5"), asset="SOL", type="long", slippage=Decimal(0)),
    ),
    (
        OpenRequest,
        b'{"margin":0.10000001,"asset":"SOL","type":"short","leverage":7,"takeProfit":"1"}',
        OpenRequest(
            margin=Decimal("0.10000001"),
            asset="SOL",
            type="short",
            leverage=Decimal(7),
            take_profit=Decimal(1),
        ),
    ),
    (CloseRequest, b'{"positionId":"p","quantity":0.5}', CloseRequest(position_id="p", quantity=Decimal("0.5"))),
    (CloseAllRequest, b"{}", CloseAllRequest()),
    (ModifyRequest, b'{"positionId":"p","stopLoss":null}', ModifyRequest(position_id="p", stop_loss=None)),
    (ModifyRequest, b'{"positionId":"p","takeProfit":2}', ModifyRequest(position_id="p", take_profit=Decimal(2))),
    (
        PlaceRequest,
        b'{"kind":"stop","margin":1,"asset":"SOL","type":"long","price":"9","expiresAt":"1000"}',
        PlaceRequest(
            margin=Decimal(1), asset="SOL", type="long", kind="stop", price=Decimal(9), expires_at=Decimal(1000)
        ),
    ),
    (CancelRequest, b'{"orderId":"o"}', CancelRequest(order_id="o")),
    (DepositRequest, b'{"amount":0.00000001}', DepositRequest(amount=Decimal("0.00000001"))),
    (ResetRequest, b'{"confirm":"RESET"}', ResetRequest(confirm="RESET")),
    (EmailRequest, b'{"email":"a@b.c"}', EmailRequest(email="a@b.c")),
    (VerifyRequest, b'{"token":"t","nonce":null}', VerifyRequest(token="t")),
    (KeyRequest, b'{"name":"x","scopes":["trade","read"]}', KeyRequest(name="x", scopes=["read", "trade"])),
]


@pytest.mark.parametrize(("kind", "content", "read"), READ)
def test_a_body_is_read_exactly(kind: type[Request], content: bytes, read: Request) -> None:
    assert kind.read(body_of(content)) == read


def refusal_of(kind: type[Request], content: bytes) -> ApiError:
    with pytest.raises(ApiError) as refused:
        kind.read(body_of(content))
    assert (refused.value.status, refused.value.error) == (400, "INVALID_REQUEST")
    return refused.value


def complaint_about(kind: type[Request], fields: dict[str, Any]) -> str:
    return str(refusal_of(kind, msgspec.json.encode(fields)).details["field"])


@pytest.mark.parametrize("kind", KINDS)
def test_complaints_come_in_the_order_of_the_fields(kind: type[Request]) -> None:
    fields: dict[str, Any] = {name: [] for name in reversed(kind.field_names())}
    for name in kind.field_names():
        assert complaint_about(kind, fields) == name
        fields[name] = RIGHT[name]
    assert complaint_about(kind, {"unknown": 1} | {name: [] for name in kind.field_names()}) == "unknown"


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (CloseRequest, {"positionId": "p", "quantity": 1, "percentage": 1}, "quantity"),
        (ModifyRequest, {"positionId": "p"}, "stopLoss"),
        (
            PlaceRequest,
            {"margin": 1, "asset": "S", "type": "long", "kind": "stop", "price": 1, "expiresAt": 1.5},
            "expiresAt",
        ),
        (DepositRequest, {"amount": 0}, "amount"),
        (DepositRequest, {"amount": "0.000000001"}, "amount"),
        (CloseRequest, {"positionId": "p", "percentage": 101}, "percentage"),
        (OpenRequest, {"margin": 1, "asset": "S", "type": "long", "slippage": -1}, "slippage"),
        (OpenRequest, {"margin": 1, "asset": "S" * 65, "type": "long"}, "asset"),
    ],
)
def test_limits_are_of_the_field(kind: type[Request], fields: dict[str, Any], field: str) -> None:
    assert complaint_about(kind, fields) == field


NUMBER = 'a number, or a string that holds one, such as 100 or "100.50"'
OPEN_ACCEPTS = "accepts: margin, asset, type, leverage, currentPrice, slippage, stopLoss, takeProfit"
ENDING = b',"asset":"SOL","type":"long"}'


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (DepositRequest, b'{"acount":1}', 'unknown field "acount"; this route accepts: amount'),
        (
            OpenRequest,
            b'{"Margin":1}',
            f'unknown field "Margin"; this route {OPEN_ACCEPTS}. Did you mean "margin"?',
        ),
        (
            OpenRequest,
            b'{"stoploss":1}',
            f'unknown field "stoploss"; this route {OPEN_ACCEPTS}. Did you mean "stopLoss"?',
        ),
        (OpenRequest, b'{"zzz":1}', f'unknown field "zzz"; this route {OPEN_ACCEPTS}'),
        (CloseAllRequest, b'{"a":1}', 'unknown field "a"; this route accepts no fields'),
        (CloseAllRequest, b'{"a\\n\\u001bb":1}', 'unknown field "a \\x1bb"; this route accepts no fields'),
        (DepositRequest, b"{}", f'missing field "amount"; send {NUMBER}'),
        (DepositRequest, b'{"amount":null}', f'missing field "amount"; send {NUMBER}'),
        (DepositRequest, b'{"amount":true}', f'"amount" is not a finite number; send {NUMBER}'),
        (DepositRequest, b'{"amount":"1,5"}', f'"amount" is not a finite number; {DECIMAL_COMMA}'),
        (DepositRequest, b'{"amount":0}', '"amount" is out of range; send a number above 0 and at most 1000000000000'),
        (DepositRequest, b'{"amount":0.123456789}', '"amount" has too many decimal places; send at most 8'),
        (OpenRequest, b'{"margin":1e-9' + ENDING, '"margin" has too many decimal places; send at most 8'),
        (
            OpenRequest,
            b'{"margin":1,"slippage":101' + ENDING,
            '"slippage" is out of range; send a number from 0 to 100',
        ),
        (CancelRequest, b"{}", 'missing field "orderId"; send a string of 1 to 128 characters'),
        (CancelRequest, b'{"orderId":7}', '"orderId" is not a string of 1 to 128 characters'),
        (ResetRequest, b"{}", 'missing field "confirm"; send "RESET"'),
        (ResetRequest, b'{"confirm":"yes"}', 'unknown value of "confirm"; send "RESET"'),
        (OpenRequest, b'{"margin":1,"asset":"SOL","type":"up"}', 'unknown value of "type"; send "long" or "short"'),
        (
            CloseRequest,
            b'{"positionId":"p","quantity":1,"percentage":1}',
            '"quantity" and "percentage" are both given; send one of them, or neither to close all of it',
        ),
        (
            ModifyRequest,
            b'{"positionId":"p"}',
            'nothing to change; send "stopLoss", "takeProfit" or both, each a price, or null to clear it',
        ),
    ],
)
def test_complaints_are_plain_english(kind: type[Request], content: bytes, message: str) -> None:
    assert refusal_of(kind, content).message == message
