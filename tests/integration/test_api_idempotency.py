"""Every POST under a key: the first answer again, another body is a conflict; also after a restart, also refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from platform_harness import CLOSE, OPEN, PlatformThread, Reply

MODIFY = "/api/v1/positions/modify"
CLOSE_ALL = "/api/v1/positions/close-all"
PLACE = "/api/v1/orders/place"
CANCEL = "/api/v1/orders/cancel"
DEPOSIT = "/api/v1/account/deposit"
RESET = "/api/v1/account/reset"

ORDER = {"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2}
LIMIT = ORDER | {"kind": "limit", "price": 140}


class Case(NamedTuple):
    """One request; `position` and `order` in it stand for the account's own ids. other: what makes it another one.

    is_readable: whether the other one is a request at all; some routes take one body only.
    """

    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    status: int = 200
    code: str | None = None
    is_readable: bool = True


CASES = {
    "open": Case(OPEN, ORDER, {"margin": 999}, 201),
    "close": Case(CLOSE, {"positionId": "position"}, {"percentage": 50}),
    "close in part": Case(CLOSE, {"positionId": "position", "percentage": 50}, {"percentage": 49}),
    "close all": Case(CLOSE_ALL, {}, {"positionId": "a field it does not take"}, is_readable=False),
    "modify": Case(MODIFY, {"positionId": "position", "stopLoss": 100}, {"stopLoss": None}),
    "place": Case(PLACE, LIMIT, {"expiresAt": 9_000_000_000_000}, 201),
    "cancel": Case(CANCEL, {"orderId": "order"}, {"orderId": "another"}),
    "deposit": Case(DEPOSIT, {"amount": 5}, {"amount": 6}),
    "reset": Case(RESET, {"confirm": "RESET"}, {"confirm": "reset"}, is_readable=False),
    "no funds": Case(OPEN, ORDER | {"margin": 20_000}, {"margin": 1}, 400, "INSUFFICIENT_MARGIN"),
    "slippage": Case(OPEN, ORDER | {"currentPrice": 1, "slippage": 1}, {"slippage": 2}, 400, "SLIPPAGE_EXCEEDED"),
    "wrong stop": Case(OPEN, ORDER | {"stopLoss": 151}, {"stopLoss": 140}, 400, "INVALID_TRIGGER"),
    "no position": Case(CLOSE, {"positionId": "pos_0_9999"}, {"quantity": 1}, 404, "POSITION_NOT_FOUND"),
    "too large a part": Case(
        CLOSE, {"positionId": "position", "quantity": 99}, {"quantity": 1}, 400, "INVALID_REQUEST"
    ),
    "modify nothing": Case(
        MODIFY, {"positionId": "pos_0_9999", "stopLoss": 1}, {"stopLoss": 2}, 404, "POSITION_NOT_FOUND"
    ),
    "modify wrongly": Case(
        MODIFY, {"positionId": "position", "takeProfit": 1}, {"takeProfit": 200}, 400, "INVALID_TRIGGER"
    ),
    "place at the market": Case(PLACE, LIMIT | {"price": 151}, {"price": 140}, 201),
    "place there already": Case(PLACE, LIMIT | {"kind": "stop"}, {"price": 160}, 400, "INVALID_TRIGGER"),
    "place without funds": Case(PLACE, LIMIT | {"margin": 20_000}, {"margin": 1}, 400, "INSUFFICIENT_MARGIN"),
    "cancel nothing": Case(CANCEL, {"orderId": "ord_0_9999"}, {"orderId": "ord_0_9998"}, 404, "ORDER_NOT_FOUND"),
    "too much": Case(DEPOSIT, {"amount": 999_999_999_999}, {"amount": 1}, 400, "LIMIT_REACHED"),
}  # fmt: skip


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"))
    try:
        yield thread.start()
    finally:
        thread.stop()


class Asked(NamedTuple):
    account: str
    case: Case
    body: dict[str, Any]
    first: Reply

    def check_again(self, platform: PlatformThread) -> None:
        """The first answer once more, and nothing has happened; then with another body."""
        before = platform.state(self.account)
        again = platform.post(self.case.path, self.body, self.account, "k")
        assert (again.status, again.body) == (self.first.status, self.first.body)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Content-Type"] == self.first.headers["Content-Type"]
        conflict = platform.post(self.case.path, self.body | self.case.other, self.account, "k")
        assert "Idempotent-Replayed" not in conflict.headers
        expected = (409, "IDEMPOTENCY_CONFLICT") if self.case.is_readable else (400, "INVALID_REQUEST")
        assert (conflict.status, conflict.json["error"]) == expected
        path, body = (RESET, {"confirm": "RESET"}) if self.case.path == DEPOSIT else (DEPOSIT, {"amount": 1})
        elsewhere = platform.post(path, body, self.account, "k")
        assert (elsewhere.status, elsewhere.json["error"]) == (409, "IDEMPOTENCY_CONFLICT")
        assert platform.state(self.account)["sequence"] == before["sequence"]


def ask(platform: PlatformThread, name: str) -> Asked:
    case, account = CASES[name], name.replace(" ", "-")
    platform.set_price("SOL_USDC", "150.00", "150.10")
    ids = {
        "position": platform.post(OPEN, ORDER, account).json["positionId"],
        "order": platform.post(PLACE, LIMIT, account).json["orderId"],
    }
    body = {field: ids.get(value, value) if isinstance(value, str) else value for field, value in case.body.items()}
    first = platform.post(case.path, body, account, "k")
    assert first.status == case.status, first
    assert first.json.get("error") == case.code
    assert "Idempotent-Replayed" not in first.headers
    platform.set_price("SOL_USDC", "152.00", "152.10")
    return Asked(account, case, body, first)


@pytest.mark.parametrize("name", CASES)
def test_the_first_answer_is_given_again(platform: PlatformThread, name: str) -> None:
    asked = ask(platform, name)
    for _ in range(2):
        asked.check_again(platform)


@pytest.mark.long
def test_also_after_a_restart(tmp_path: Path) -> None:
    asked: list[Asked] = []
    for again in (False, True):
        platform = PlatformThread(tmp_path / "data")
        try:
            platform.start()
            asked = asked or [ask(platform, name) for name in CASES]
            if again:
                for each in asked:
                    each.check_again(platform)
        finally:
            platform.stop()


def test_a_key_is_free_again_when_there_was_no_price(platform: PlatformThread) -> None:
    """For each request that needs a market."""
    platform.set_price("SOL_USDC", "150.00", "150.10")
    position = platform.post(OPEN, ORDER, "free").json["positionId"]
    requests: list[tuple[str, dict[str, Any]]] = [
        (MODIFY, {"positionId": position, "stopLoss": 100}),
        (PLACE, LIMIT),
        (CLOSE, {"positionId": position, "percentage": 50}),
        (CLOSE_ALL, {}),
        (OPEN, ORDER),
    ]
    platform.set_price("SOL_USDC", None, None)
    for nth, (path, body) in enumerate(requests):
        refused = platform.post(path, body, "free", f"k{nth}")
        assert (refused.status, refused.json["error"]) == (503, "PRICE_UNAVAILABLE"), refused
    assert platform.state("free")["sequence"] == 1
    platform.set_price("SOL_USDC", "150.00", "150.10")
    for nth, (path, body) in enumerate(requests):
        done = platform.post(path, body, "free", f"k{nth}")
        assert done.status in (200, 201), done
        assert "Idempotent-Replayed" not in done.headers
    assert platform.state("free")["sequence"] == 6
