"""The one door for commands: its steps in their order, whatever the route, with hand-made parts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from trading_samples import StoredCell, terms

from exness_streams.api.accounts import Accounts
from exness_streams.api.api_view import here
from exness_streams.api.commands import CommandDesk
from exness_streams.api.errors import ApiError, error_middleware
from exness_streams.api.routes import add_command_views
from exness_streams.domain.cell import Cell, Reply
from exness_streams.domain.commands import Command
from exness_streams.domain.instruments import Catalogue, Limits
from exness_streams.domain.quotes import Quote
from exness_streams.engine.engine import EngineApp
from exness_streams.engine.gateway import NotWritten, OutcomeUnknown, Overloaded

OPEN, CLOSE, CLOSE_ALL, MODIFY = (f"/api/v1/positions/{name}" for name in ("open", "close", "close-all", "modify"))
PLACE, CANCEL = "/api/v1/orders/place", "/api/v1/orders/cancel"
DEPOSIT, RESET = "/api/v1/account/deposit", "/api/v1/account/reset"

BUY = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
LIMIT = {"margin": 100, "asset": "SOL", "type": "long", "kind": "limit", "price": 120}
BODIES: dict[str, dict[str, Any]] = {
    OPEN: BUY,
    CLOSE: {"positionId": "pos_0_0"},
    CLOSE_ALL: {},
    MODIFY: {"positionId": "pos_0_0", "stopLoss": 100},
    PLACE: LIMIT,
    CANCEL: {"orderId": "ord_0_0"},
    DEPOSIT: {"amount": 5},
    RESET: {"confirm": "RESET"},
}
"""On a fresh account: what each route takes. Nothing of these ids is there yet."""

UNKNOWN_IDS = {CLOSE: "POSITION_NOT_FOUND", MODIFY: "POSITION_NOT_FOUND", CANCEL: "ORDER_NOT_FOUND"}


Client = TestClient[web.Request, web.Application]


class Worker:
    """A worker with one cell, and a journal that folds at once."""

    starting_balance = Decimal(10_000)
    max_quote_age_ms = 60_000

    def __init__(self, *quotes: Quote) -> None:
        self.stored = StoredCell(*quotes)
        self.catalogue = Catalogue([terms()])
        self.submitted: list[Command] = []
        self.unready = ""
        self.is_owner = True
        self.begun: list[str] = []
        self.is_full = False
        self.failure: Exception | None = None
        self.behind: Exception | None = None
        self.frame_age_s: float | None = 0.0
        self.refused: Counter[str] = Counter()

    def unready_of(self, partition: int) -> str:
        return self.unready

    def age_s(self, partition: int) -> float | None:
        return self.frame_age_s

    def check_room(self, partition: int) -> None:
        if self.behind is not None:
            raise self.behind

    def limits(self) -> Limits:
        return Limits()

    def partition_of(self, account_id: str) -> int:
        return 0

    def cell(self, partition: int) -> Cell | None:
        return self.stored.cell if self.is_owner else None

    async def begin_account(self, request: web.Request, account_id: str) -> None:
        self.begun.append(account_id)
        if self.is_full:
            raise ApiError(429, "RATE_LIMITED", "too many accounts")

    async def submit(self, partition: int, command: Command) -> Reply:
        if self.failure is not None:
            raise self.failure
        self.submitted.append(command)
        reply = self.stored.fold(command).reply
        assert reply is not None
        return reply


def quote(age_ms: int = 0) -> Quote:
    return Quote(1, int(time.time() * 1000) - age_ms, Decimal(150), Decimal("149.9"), Decimal("150.1"))


@pytest.fixture
def worker() -> Worker:
    return Worker(quote())


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    app = EngineApp("door", broker="memory://")
    app.web.web_app.middlewares.append(error_middleware)
    accounts = Accounts(worker, worker, worker.starting_balance)
    add_command_views(
        app, CommandDesk(accounts, worker, worker, worker.catalogue, worker, worker, worker.refused), here
    )
    async with TestClient(TestServer(app.web.web_app)) as client:
        yield client


async def post(
    client: Client, path: str, body: Any, key: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Status, and the error's code: empty for a success; "repeated" for the answer of before."""
    keyed = {} if key is None else {"Idempotency-Key": key}
    sent = {"Content-Type": "application/json", **keyed, **(headers or {})}
    async with client.post(path, data=json.dumps(body), headers=sent) as response:
        code = (await response.json()).get("error", "")
        return response.status, code or ("repeated" if "Idempotent-Replayed" in response.headers else "")


@pytest.mark.parametrize("path", BODIES)
async def test_each_step_comes_before_the_next(client: Client, worker: Worker, path: str) -> None:
    worker.unready, worker.is_owner = "the platform is starting", False
    text = {"Content-Type": "text/plain"}
    unknown = {**BODIES[path], "unknown": 1}
    assert await post(client, path, unknown, "a b", text | {"X-Account": "?"}) == (400, "INVALID_REQUEST")
    assert await post(client, path, unknown, "a b", text) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert await post(client, path, unknown, "a b") == (400, "INVALID_REQUEST")
    assert await post(client, path, BODIES[path], "a b") == (400, "INVALID_REQUEST")
    assert await post(client, path, BODIES[path], "a") == (503, "NOT_READY")
    worker.unready = ""
    assert await post(client, path, BODIES[path], "a") == (503, "REBALANCING")
    assert worker.submitted == []


@pytest.mark.parametrize("path", BODIES)
async def test_a_repeat_is_answered_before_the_market_is_asked(client: Client, worker: Worker, path: str) -> None:
    first = await post(client, path, BODIES[path], "k")
    worker.stored.cell.quotes.clear()
    again = await post(client, path, BODIES[path], "k")
    assert again == (first[0], first[1] or "repeated")
    assert len(worker.submitted) == 1
    assert await post(client, path, {**BODIES[path], **OTHER.get(path, {})}, "k") == (
        (409, "IDEMPOTENCY_CONFLICT") if path in OTHER else again
    )


OTHER: dict[str, dict[str, Any]] = {
    OPEN: {"margin": 101}, CLOSE: {"percentage": 1}, MODIFY: {"stopLoss": 101}, PLACE: {"price": 121},
    CANCEL: {"orderId": "ord_0_9"}, DEPOSIT: {"amount": 6},
}  # fmt: skip


@pytest.mark.parametrize("path", UNKNOWN_IDS)
async def test_what_is_not_there_costs_a_record_only_with_a_key(client: Client, worker: Worker, path: str) -> None:
    refused = (404, UNKNOWN_IDS[path])
    assert await post(client, path, BODIES[path]) == refused
    assert worker.submitted == []
    assert await post(client, path, BODIES[path], "k") == refused
    assert len(worker.submitted) == 1


async def test_what_the_fold_would_refuse_is_refused_at_once(client: Client, worker: Worker) -> None:
    assert await post(client, OPEN, BUY | {"asset": "NONE"}) == (400, "UNKNOWN_ASSET")
    assert await post(client, OPEN, BUY | {"leverage": 1000}) == (400, "INVALID_LEVERAGE")
    assert await post(client, PLACE, LIMIT | {"margin": 0.5}) == (400, "INVALID_MARGIN")
    worker.stored.cell.quotes["SOL_USDC"] = quote(age_ms=61_000)
    assert await post(client, OPEN, BUY) == (503, "PRICE_UNAVAILABLE")
    assert await post(client, PLACE, LIMIT) == (503, "PRICE_UNAVAILABLE")
    assert worker.submitted == []


async def test_only_a_change_that_sets_a_price_needs_the_market(client: Client, worker: Worker) -> None:
    assert await post(client, OPEN, BUY) == (201, "")
    (position_id,) = worker.stored.row().positions
    worker.stored.cell.quotes["SOL_USDC"] = quote(age_ms=61_000)
    assert await post(client, MODIFY, {"positionId": position_id, "stopLoss": 100}) == (503, "PRICE_UNAVAILABLE")
    assert await post(client, MODIFY, {"positionId": position_id, "stopLoss": None}) == (200, "")
    assert await post(client, CLOSE, {"positionId": position_id}) == (503, "PRICE_UNAVAILABLE")


BEHIND = Overloaded("the account's cell is behind")


@pytest.mark.parametrize("path", BODIES)
async def test_a_cell_that_is_behind_takes_nothing_more(client: Client, worker: Worker, path: str) -> None:
    first = await post(client, path, BODIES[path], "k")
    settled, worker.behind = list(worker.submitted), BEHIND
    again = await post(client, path, BODIES[path], "k")
    assert again == (first[0], first[1] or "repeated"), "what is settled needs no record"
    if path in UNKNOWN_IDS:
        assert await post(client, path, BODIES[path]) == (404, UNKNOWN_IDS[path]), "nor what is certain"
    keyed = {"Content-Type": "application/json", "Idempotency-Key": "new", "X-Account": "newcomer"}
    async with client.post(path, data=json.dumps(BODIES[path]), headers=keyed) as response:
        assert (response.status, (await response.json())["error"]) == (503, "OVERLOADED")
        assert response.headers["Retry-After"] == "1"
    assert worker.submitted == settled
    assert "newcomer" not in worker.begun, "it does not count as a new account"
    assert worker.refused == {"overload": 1}
    worker.behind = None
    assert (await post(client, path, BODIES[path], "new"))[1] != "OVERLOADED"


async def test_a_cell_that_falls_behind_after_the_look_is_told_alike(client: Client, worker: Worker) -> None:
    worker.failure = BEHIND
    assert await post(client, DEPOSIT, {"amount": 5}) == (503, "OVERLOADED")


@pytest.mark.parametrize(("age_s", "is_taken"), [(None, True), (0.0, True), (60.0, True), (60.001, False)])
async def test_without_frames_nothing_is_appended_that_needs_a_price(
    client: Client, worker: Worker, age_s: float | None, is_taken: bool
) -> None:
    """Although the quotes look new, as on a clock that was set back."""
    assert await post(client, OPEN, BUY) == (201, "")
    assert await post(client, OPEN, BUY) == (201, "")
    to_close, to_modify = worker.stored.row().positions
    assert await post(client, PLACE, LIMIT) == (201, "")
    (order_id,) = worker.stored.row().orders
    worker.frame_age_s, before = age_s, len(worker.submitted)
    no_price = (503, "PRICE_UNAVAILABLE")
    assert await post(client, OPEN, BUY) == ((201, "") if is_taken else no_price)
    assert await post(client, PLACE, LIMIT) == ((201, "") if is_taken else no_price)
    assert await post(client, MODIFY, {"positionId": to_modify, "stopLoss": 100}) == (
        (200, "") if is_taken else no_price
    )
    assert await post(client, CLOSE, {"positionId": to_close}) == ((200, "") if is_taken else no_price)
    assert await post(client, CLOSE_ALL, {}) == ((200, "") if is_taken else no_price)
    assert (len(worker.submitted) > before) == is_taken
    assert worker.refused == ({} if is_taken else {"no_prices": 5})
    # What needs no price is done all the same.
    assert await post(client, CANCEL, {"orderId": order_id}) == (200, "")
    assert (await post(client, DEPOSIT, {"amount": 5}))[0] in (200, 201)
    assert await post(client, CLOSE, {"positionId": "pos_0_99999"}) == (404, "POSITION_NOT_FOUND")
    if not is_taken:
        assert await post(client, MODIFY, {"positionId": to_modify, "stopLoss": None}) == (200, "")
    assert (await post(client, RESET, {"confirm": "RESET"}))[0] == 200
    assert await post(client, CLOSE_ALL, {}) == (200, ""), "there is nothing to close"


async def test_before_the_first_frame_the_quotes_alone_tell(client: Client, worker: Worker) -> None:
    worker.frame_age_s = None
    worker.stored.cell.quotes.clear()
    async with client.post(OPEN, data=json.dumps(BUY), headers={"Content-Type": "application/json"}) as response:
        said = await response.json()
    assert (response.status, said["error"]) == (503, "PRICE_UNAVAILABLE")
    assert "no quote has arrived yet" in said["message"]


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        (NotWritten("the worker is stopping"), (503, "NOT_READY")),
        (OutcomeUnknown("no outcome"), (504, "OUTCOME_UNKNOWN")),
        (ZeroDivisionError("a bug"), (500, "INTERNAL")),
    ],
)
async def test_a_failing_journal_is_told(
    client: Client, worker: Worker, failure: Exception, answer: tuple[int, str]
) -> None:
    worker.failure = failure
    assert await post(client, DEPOSIT, {"amount": 5}) == answer


async def test_every_command_has_a_stamp_of_its_own(client: Client, worker: Worker) -> None:
    before_ms = int(time.time() * 1000)
    for _ in range(3):
        await post(client, DEPOSIT, {"amount": 5}, headers={"X-Account": "alice"})
    assert len({command.command_id for command in worker.submitted}) == 3
    assert all(command.account_id == "alice" for command in worker.submitted)
    assert all(before_ms <= command.time_ms <= time.time() * 1000 for command in worker.submitted)


@pytest.mark.parametrize("path", [OPEN, CLOSE_ALL, PLACE, DEPOSIT, RESET])
async def test_who_may_begin_no_account_is_refused_before_the_journal(
    client: Client, worker: Worker, path: str
) -> None:
    worker.is_full = True
    assert await post(client, path, BODIES[path]) == (429, "RATE_LIMITED")
    assert not worker.submitted
    worker.is_full = False
    assert (await post(client, path, BODIES[path]))[0] in (200, 201)


async def test_an_account_that_is_there_is_not_begun_again(client: Client, worker: Worker) -> None:
    await post(client, DEPOSIT, BODIES[DEPOSIT])
    worker.is_full = True
    assert await post(client, DEPOSIT, BODIES[DEPOSIT]) == (200, "")
    assert worker.begun == ["demo"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (OPEN, "stopLoss"), (OPEN, "takeProfit"), (PLACE, "price"), (PLACE, "stopLoss"), (PLACE, "takeProfit"),
        (MODIFY, "stopLoss"), (MODIFY, "takeProfit"),
    ],
)  # fmt: skip
async def test_prices_are_on_the_grid_once_the_exchange_has_told_it(
    client: Client, worker: Worker, path: str, field: str
) -> None:
    """A repeat of what was taken before that is answered; nothing that is off the grid costs a record."""
    opened = await client.post(OPEN, json=BUY)
    position = {"positionId": (await opened.json())["positionId"]} if path == MODIFY else {}
    price = {"stopLoss": 101, "takeProfit": 170, "price": 120}[field]
    off, on = ({**BODIES[path], **position, field: each} for each in (f"{price}.07", f"{price}.05"))
    assert (await post(client, path, off, "k"))[1] == ""
    taken = len(worker.submitted)
    worker.catalogue.replace(msgspec.structs.replace(terms(), tick_size=Decimal("0.050")))
    assert (await post(client, path, off, "k"))[1] == "repeated"
    for key in (None, "l"):
        async with client.post(path, json=off, headers={} if key is None else {"Idempotency-Key": key}) as refused:
            told = await refused.json()
        assert (refused.status, told["error"]) == (400, "INVALID_PRICE")
        assert told["details"] == {
            "field": field, "symbol": "SOL_USDC", "tickSize": "0.05", "nearest": [f"{price}.05", f"{price}.1"],
        }  # fmt: skip
        assert told["message"] == (
            f"{field} must be a multiple of 0.05, the tick size of SOL_USDC: the nearest are {price}.05 and {price}.1"
        )
    assert len(worker.submitted) == taken
    assert (await post(client, path, on, "l"))[1] == ""


async def test_what_sets_no_price_has_no_grid(client: Client, worker: Worker) -> None:
    worker.catalogue.replace(msgspec.structs.replace(terms(), tick_size=Decimal(7)))
    opened = await client.post(OPEN, json={**BUY, "currentPrice": "150.003", "slippage": 5})
    assert opened.status == 201
    name = (await opened.json())["positionId"]
    assert await post(client, MODIFY, {"positionId": name, "stopLoss": None, "takeProfit": None}) == (200, "")
    assert await post(client, CLOSE, {"positionId": name, "currentPrice": "150.003", "slippage": 5}) == (200, "")
