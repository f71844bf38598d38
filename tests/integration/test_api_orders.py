"""Orders, triggers, partial closes, deposits and resets through HTTP, against a whole platform."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from platform_harness import CLOSE, OPEN, PlatformThread, Reply, until

from exness_streams.api.commands import Incoming
from exness_streams.messages import CloseAllMessage, OrderMessage, PositionMessage

MODIFY = "/api/v1/positions/modify"
CLOSE_ALL = "/api/v1/positions/close-all"
PLACE = "/api/v1/orders/place"
CANCEL = "/api/v1/orders/cancel"
DEPOSIT = "/api/v1/account/deposit"
RESET = "/api/v1/account/reset"

OF_FILLED = {"fillPrice", "positionId"}

_numbers = itertools.count()

ALWAYS_TOLD = {field.encode_name for field in msgspec.structs.fields(PositionMessage) if field.required}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_exposure=Decimal(50_000), max_open=4)
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def account(platform: PlatformThread) -> str:
    """An account of this test's own, in a market that stands at 150.00 / 150.10."""
    platform.set_price("SOL_USDC", "150.00", "150.10")
    return f"orders-{next(_numbers)}"


def buy(**fields: Any) -> dict[str, Any]:
    return {"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2} | fields


def limit(**fields: Any) -> dict[str, Any]:
    return buy(kind="limit", price=140) | fields


def check_error(reply: Reply, status: int, code: str) -> Any:
    assert (reply.status, reply.json["error"]) == (status, code), reply
    return reply.json.get("details", {})


def done(reply: Reply, status: int = 200) -> Any:
    assert reply.status == status, reply
    return reply.json


def settled(platform: PlatformThread, account: str, sequence: int) -> Any:
    """The state once the account has had so many events."""
    return until(lambda: (state := platform.state(account))["sequence"] >= sequence and state)


def test_triggers_are_set_changed_and_cleared(platform: PlatformThread, account: str) -> None:
    opened = done(platform.post(OPEN, buy(stopLoss="140.5", takeProfit=170), account), 201)
    assert (opened["stopLoss"], opened["takeProfit"]) == (Decimal("140.5"), 170)
    name = opened["positionId"]
    changed = done(platform.post(MODIFY, {"positionId": name, "stopLoss": 145}, account))
    assert set(changed) == ALWAYS_TOLD
    assert (changed["stopLoss"], changed["takeProfit"]) == (145, 170)
    cleared = done(platform.post(MODIFY, {"positionId": name, "takeProfit": None}, account))
    assert (cleared["stopLoss"], cleared["takeProfit"]) == (145, None)
    assert platform.state(account)["positions"] == [cleared]
    platform.set_price("SOL_USDC", "144.00", "144.10")
    state = settled(platform, account, 4)
    # 13.32 SOL from 150.10 to 144
    assert (state["positions"], state["account"]["realizedPnL"]) == ([], Decimal("-81.252"))


def test_a_trigger_that_is_reached_already_is_refused(platform: PlatformThread, account: str) -> None:
    details = check_error(platform.post(OPEN, buy(stopLoss=150), account), 400, "INVALID_TRIGGER")
    assert details == {"field": "stopLoss", "above": "75.05", "below": "150"}
    name = done(platform.post(OPEN, buy(), account), 201)["positionId"]
    check_error(platform.post(MODIFY, {"positionId": name, "takeProfit": 150}, account), 400, "INVALID_TRIGGER")
    check_error(platform.post(MODIFY, {"positionId": name}, account), 400, "INVALID_REQUEST")
    check_error(platform.post(MODIFY, {"positionId": "pos_0_0", "stopLoss": 1}, account), 404, "POSITION_NOT_FOUND")
    assert platform.state(account)["sequence"] == 1


def test_a_part_is_closed_and_then_the_rest(platform: PlatformThread, account: str) -> None:
    opened = done(platform.post(OPEN, buy(takeProfit=200), account), 201)
    name = opened["positionId"]
    first = done(platform.post(CLOSE, {"positionId": name, "percentage": 25}, account))
    # a quarter of 13.32, from 150.10 to 150
    assert (first["quantity"], first["realizedPnL"]) == (Decimal("3.33"), Decimal("-0.333"))
    left = first["position"]
    assert set(left) == ALWAYS_TOLD
    assert (left["quantity"], left["margin"], left["takeProfit"]) == (Decimal("9.99"), 750, 200)
    assert platform.state(account)["positions"] == [left]
    second = done(platform.post(CLOSE, {"positionId": name, "quantity": "9.909"}, account))
    assert second["position"]["quantity"] == Decimal("0.09")
    over = platform.post(CLOSE, {"positionId": name, "quantity": "0.090001"}, account)
    allowed = {"max": "0.09", "min": "0.01"}
    assert check_error(over, 400, "INVALID_REQUEST") == {"field": "quantity", **allowed}
    under = platform.post(CLOSE, {"positionId": name, "percentage": 11}, account)
    assert check_error(under, 400, "INVALID_REQUEST") == {"field": "percentage", **allowed}
    last = done(platform.post(CLOSE, {"positionId": name}, account))
    assert (last["quantity"], last["position"], platform.state(account)["positions"]) == (Decimal("0.09"), None, [])


def test_a_part_of_a_position_that_came_just_now_is_a_part(
    platform: PlatformThread, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order may be filled between the look at the account and the fold of a keyed close."""
    name = done(platform.post(OPEN, buy(), account), 201)["positionId"]
    monkeypatch.setattr(Incoming, "position", lambda *_: None)
    closed = done(platform.post(CLOSE, {"positionId": name, "quantity": 1}, account, key="k"))
    assert closed["quantity"] == 1
    worse = {"positionId": name, "slippage": 0, "currentPrice": 151, "percentage": 50}
    check_error(platform.post(CLOSE, worse, account, key="l"), 400, "SLIPPAGE_EXCEEDED")


def test_an_order_waits_holds_margin_and_is_filled(platform: PlatformThread, account: str) -> None:
    placed = done(platform.post(PLACE, limit(stopLoss=130, takeProfit=160), account), 201)
    assert set(placed) == set(OrderMessage.__struct_encode_fields__) - OF_FILLED
    shown = {name: placed[name] for name in ("market", "side", "type", "kind", "price", "quantity", "status")}
    assert shown == {
        "market": "SOL_USDC", "side": "buy", "type": "long", "kind": "limit", "price": 140,
        "quantity": Decimal("14.28"), "status": "open",
    }  # fmt: skip
    state = platform.state(account)
    assert state["orders"] == [placed]
    assert (state["balances"]["USD"], state["account"]["usedMargin"], state["account"]["balance"]) == (
        9000,
        1000,
        10_000,
    )
    platform.set_price("SOL_USDC", "138.90", "139.00")
    (position,) = settled(platform, account, 3)["positions"]
    assert position["positionId"] == placed["orderId"].replace("ord_", "pos_")
    # 2000 / 139 is 14.388
    assert (position["entryPrice"], position["quantity"]) == (139, Decimal("14.38"))
    assert (position["stopLoss"], position["takeProfit"]) == (130, 160)
    platform.set_price("SOL_USDC", "160.00", "160.10")
    assert settled(platform, account, 4)["account"]["realizedPnL"] == Decimal("301.98")


@pytest.mark.parametrize(
    ("side", "price", "fill", "quantity"),
    [
        ("long", "150.10", "150.10", "13.32"),
        ("long", 200, "150.10", "13.32"),
        ("short", 1, 150, "13.33"),
    ],
)
def test_a_limit_order_at_the_market_is_answered_as_filled(
    platform: PlatformThread, account: str, side: str, price: Any, fill: Any, quantity: str
) -> None:
    """2000 USD at the ask, or at the bid."""
    body = limit(type=side, price=price, expiresAt=int(time.time() * 1000) + 60_000)
    first = platform.post(PLACE, body, account, key="k")
    filled = done(first, 201)
    assert set(filled) == set(OrderMessage.__struct_encode_fields__)
    assert (filled["status"], filled["price"], filled["fillPrice"]) == ("filled", Decimal(price), Decimal(fill))
    assert filled["quantity"] == Decimal(quantity)
    state = platform.state(account)
    (position,) = state["positions"]
    assert (state["orders"], state["sequence"]) == ([], 3)
    assert (position["positionId"], position["entryPrice"]) == (filled["positionId"], Decimal(fill))
    assert position["quantity"] == Decimal(quantity)
    repeated = platform.post(PLACE, body, account, key="k")
    assert (repeated.body, repeated.headers["Idempotent-Replayed"]) == (first.body, "true")
    done(platform.post(CLOSE, {"positionId": filled["positionId"]}, account))


def test_a_short_stop_order(platform: PlatformThread, account: str) -> None:
    placed = done(platform.post(PLACE, limit(type="short", kind="stop", leverage="2"), account), 201)
    assert (placed["side"], placed["kind"]) == ("sell", "stop")
    platform.set_price("SOL_USDC", "139.00", "139.10")
    assert settled(platform, account, 3)["positions"][0]["entryPrice"] == 139


def test_a_cancelled_order_gives_its_margin_back(platform: PlatformThread, account: str) -> None:
    name = done(platform.post(PLACE, limit(), account), 201)["orderId"]
    check_error(platform.post(CANCEL, {"orderId": name}, account + "-other"), 404, "ORDER_NOT_FOUND")
    cancelled = done(platform.post(CANCEL, {"orderId": name}, account))
    assert (cancelled["orderId"], cancelled["status"]) == (name, "cancelled")
    assert check_error(platform.post(CANCEL, {"orderId": name}, account), 404, "ORDER_NOT_FOUND") == {"orderId": name}
    state = platform.state(account)
    assert (state["orders"], state["balances"]["USD"], state["sequence"]) == ([], 10_000, 2)


def test_an_order_expires(platform: PlatformThread, account: str) -> None:
    soon = int(time.time() * 1000) + 500
    placed = done(platform.post(PLACE, limit(expiresAt=soon), account), 201)
    assert placed["expiresAt"] == soon
    state = settled(platform, account, 2)
    assert (state["orders"], state["balances"]["USD"]) == ([], 10_000)


ORDERS_REFUSED = [
    (limit(price="150.10", kind="stop"), "INVALID_TRIGGER", "price"),
    (limit(price=150, type="short", kind="stop"), "INVALID_TRIGGER", "price"),
    (limit(price=200, stopLoss=150), "INVALID_TRIGGER", "stopLoss"),
    (limit(stopLoss=140), "INVALID_TRIGGER", "stopLoss"),
    (limit(stopLoss=70), "INVALID_TRIGGER", "stopLoss"),
    (limit(takeProfit=140), "INVALID_TRIGGER", "takeProfit"),
    (limit(margin="0.99"), "INVALID_MARGIN", "margin"),
    (limit(leverage=101), "INVALID_LEVERAGE", "leverage"),
    (limit(margin=20_000), "INSUFFICIENT_MARGIN", None),
    (limit(asset="DOGE"), "UNKNOWN_ASSET", None),
    (limit(expiresAt=1), "INVALID_REQUEST", "expiresAt"),
    (limit(margin=5000, leverage="10.1"), "LIMIT_REACHED", None),
    # of two the one that stands first
    (limit(asset="DOGE", expiresAt=1), "UNKNOWN_ASSET", None),
    (limit(leverage=101, expiresAt=1), "INVALID_REQUEST", "expiresAt"),
    (limit(margin=20_000, stopLoss=140), "INVALID_TRIGGER", "stopLoss"),
    (limit(margin=20_000, leverage=100, price=140, kind="stop"), "INVALID_TRIGGER", "price"),
    (limit(margin=20_000, leverage=10), "INSUFFICIENT_MARGIN", None),
]


@pytest.mark.parametrize(("body", "code", "field"), ORDERS_REFUSED)
def test_orders_that_the_rules_forbid(
    platform: PlatformThread, account: str, body: dict[str, Any], code: str, field: str | None
) -> None:
    assert check_error(platform.post(PLACE, body, account), 400, code).get("field") == field
    state = platform.state(account)
    assert (state["sequence"], state["balances"]["USD"]) == (0, 10_000)


def test_positions_and_orders_are_counted_together(platform: PlatformThread, account: str) -> None:
    for body in (limit(margin=1), limit(margin=1, price=141)):
        done(platform.post(PLACE, body, account), 201)
    for _ in range(2):
        done(platform.post(OPEN, buy(margin=1), account), 201)
    for path, body in ((OPEN, buy(margin=1)), (PLACE, limit(margin=1))):
        assert check_error(platform.post(path, body, account), 400, "LIMIT_REACHED") == {"limit": "open", "max": 4}


def test_all_is_closed_but_what_has_no_market(platform: PlatformThread, account: str) -> None:
    sol = done(platform.post(OPEN, buy(), account), 201)["positionId"]
    btc = done(platform.post(OPEN, buy(asset="BTC", type="short"), account), 201)["positionId"]
    done(platform.post(PLACE, limit(), account), 201)
    try:
        platform.set_price("BTC_USDC", "65000.0", None)
        first = platform.post(CLOSE_ALL, {}, account, key="k")
        said = done(first)
        assert set(said) == set(CloseAllMessage.__struct_encode_fields__)
        assert said["message"] == "1 of 2 positions closed"
        assert said["realizedPnL"] == said["results"][0]["realizedPnL"] == Decimal("-1.332")
        assert [(each["positionId"], each["closed"]) for each in said["results"]] == [(sol, True), (btc, False)]
        assert said["results"][1]["error"] == "PRICE_UNAVAILABLE"
        again = platform.post(CLOSE_ALL, {}, account, key="other")
        assert check_error(again, 503, "PRICE_UNAVAILABLE") == {"positions": [btc]}
        assert again.headers["Retry-After"]
    finally:
        platform.set_price("BTC_USDC", "65000.0", "65010.0")
    repeated = platform.post(CLOSE_ALL, {}, account, key="k")
    assert (repeated.body, repeated.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert [each["positionId"] for each in platform.state(account)["positions"]] == [btc]
    assert done(platform.post(CLOSE_ALL, {}, account, key="other"))["message"] == "1 of 1 positions closed"
    assert len(platform.state(account)["orders"]) == 1
    nothing = done(platform.post(CLOSE_ALL, {}, account))
    assert (nothing["results"], nothing["realizedPnL"]) == ([], 0)


def test_a_deposit_and_a_reset(platform: PlatformThread, account: str) -> None:
    paid = done(platform.post(DEPOSIT, {"amount": "250.00000001"}, account))
    assert paid == {"message": "250.00000001 USD deposited", "balance": Decimal("10250.00000001"), "sequence": 1}
    over = platform.post(DEPOSIT, {"amount": 999_999_999_999}, account)
    assert check_error(over, 400, "LIMIT_REACHED") == {"limit": "balance", "max": "1000000000000"}
    done(platform.post(OPEN, buy(), account), 201)
    done(platform.post(PLACE, limit(), account), 201)
    figures = platform.state(account)["account"]
    assert (figures["deposited"], figures["startingBalance"]) == (Decimal("250.00000001"), 10_000)
    assert done(platform.post(RESET, {"confirm": "RESET"}, account)) == {
        "message": "Account reset", "balance": 10_000, "sequence": 4,
    }  # fmt: skip
    state = platform.state(account)
    assert (state["positions"], state["orders"], state["balances"]["USD"]) == ([], [], 10_000)
    assert (state["account"]["deposited"], state["account"]["realizedPnL"]) == (0, 0)


def test_the_margin_call_is_told(platform: PlatformThread, account: str) -> None:
    done(platform.post(OPEN, buy(margin=10_000, leverage=5), account), 201)
    assert platform.state(account)["account"]["marginCall"] is False
    platform.set_price("SOL_USDC", "137.00", "137.10")
    figures = platform.state(account)["account"]
    # 50000 / 150.10 is 333.111; −13.1 × 333.11 leaves 5636.26
    assert (figures["marginCall"], round(figures["marginLevel"], 4)) == (True, Decimal("56.3626"))


def test_a_restart_keeps_orders_triggers_and_expiries(tmp_path: Path) -> None:
    def on_same_data(work: Callable[[PlatformThread], Any]) -> Any:
        thread = PlatformThread(tmp_path / "data", fee_rate="0.001")
        try:
            return work(thread.start())
        finally:
            thread.stop()

    later = int(time.time() * 1000) + 3_600_000

    def place(platform: PlatformThread) -> Any:
        done(platform.post(PLACE, limit(stopLoss=120, expiresAt=later)), 201)
        done(platform.post(OPEN, buy(takeProfit=155)), 201)
        return platform.state()

    def go_on(platform: PlatformThread) -> Any:
        state = platform.state()
        platform.set_price("SOL_USDC", "139.90", "140.00")
        settled(platform, "demo", 4)
        platform.set_price("SOL_USDC", "155.00", "155.10")
        return state, settled(platform, "demo", 5)

    before = on_same_data(place)
    after, end = on_same_data(go_on)
    assert after == before
    assert [position["entryPrice"] for position in end["positions"]] == [140]
    assert end["account"]["realizedPnL"] == Decimal("65.268")
