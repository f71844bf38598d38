"""Health: 503 exactly while nothing can be served, and what is refused for lack of a price is said, and named."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from exness_streams.api.views.health import ReadyView, reasons_not_to_trade
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.domain.quotes import Quote
from exness_streams.engine.cell_conditions import NOT_READY, CellCondition, CellState
from exness_streams.transport.faults import LogFault

NOW_MS = 1_790_000_000_000
PRICE = Decimal(150)
GOOD = Quote(1, NOW_MS - 5_000, PRICE, PRICE, PRICE)
OLD = Quote(1, NOW_MS - 5_001, PRICE, PRICE, PRICE)
AHEAD = Quote(1, NOW_MS + 2_001, PRICE, PRICE, PRICE)
NO_BID = Quote(1, NOW_MS, PRICE, None, PRICE)
NO_ASK = Quote(1, NOW_MS, PRICE, PRICE, None)


@pytest.mark.parametrize(
    ("quotes", "reasons"),
    [
        ({}, ["SOL_USDC, BTC_USDC: no quote has arrived yet"]),
        ({"SOL_USDC": GOOD, "BTC_USDC": GOOD}, []),
        ({"SOL_USDC": GOOD}, ["BTC_USDC: no quote has arrived yet"]),
        ({"SOL_USDC": GOOD, "BTC_USDC": OLD}, ["BTC_USDC: the newest quote is older than 5000 ms"]),
        ({"SOL_USDC": GOOD, "BTC_USDC": AHEAD}, ["BTC_USDC: the newest quote is ahead of this machine's clock"]),
        ({"SOL_USDC": NO_BID, "BTC_USDC": NO_ASK}, ["SOL_USDC, BTC_USDC: a side of the book is empty"]),
        (
            {"SOL_USDC": OLD, "BTC_USDC": NO_ASK},
            ["SOL_USDC: the newest quote is older than 5000 ms", "BTC_USDC: a side of the book is empty"],
        ),
        ({"SOL_USDC": GOOD, "BTC_USDC": GOOD, "AAPL_USDC": OLD}, []),
    ],
)
def test_an_instrument_without_a_usable_quote_is_named(quotes: dict[str, Quote], reasons: list[str]) -> None:
    assert reasons_not_to_trade(("SOL_USDC", "BTC_USDC"), quotes, NOW_MS, 5_000) == reasons


UNCONFIRMED = "the brokers have not confirmed for a session timeout that this worker is in its group"


@dataclass
class Worker:
    """A worker's condition, as the view asks for it: well, unless told otherwise."""

    fault: LogFault | None = None
    is_recovered: bool = True
    is_ready: bool = True
    lag: int = 0
    feed: dict[str, str] = field(default_factory=lambda: {"status": "connected"})
    upkeep: str = ""
    differ: str = ""
    has_quotes: bool = True
    cut_off: str = ""
    cells: tuple[CellCondition, ...] = ()
    partitions: tuple[int, ...] = (0,)
    market_ms: int = 0
    ahead_ms: int | None = 0
    clock: str = ""
    is_clock_right: bool = False
    markets: dict[str, MarketTold] = field(default_factory=dict)
    stands_in: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ("SOL_USDC",)

    def standing(self) -> tuple[str, ...]:
        return self.stands_in

    def feed_status(self) -> dict[str, str]:
        return self.feed

    def settings_fault(self) -> str:
        return self.differ

    def clock_ahead_ms(self, now_ms: int) -> int | None:
        return self.ahead_ms

    def clock_fault(self) -> str:
        return self.clock

    def upkeep_fault(self) -> str:
        return self.upkeep

    @property
    def quotes(self) -> dict[str, Quote]:
        now_ms = int(time.time() * 1000)
        return {symbol: Quote(1, now_ms, PRICE, PRICE, PRICE) for symbol in self.quoted if self.has_quotes}

    async def asked(self) -> tuple[int, str | None, dict[str, Any]]:
        """Status, Retry-After and body of GET /readyz."""
        worker: Any = self
        conditions = SimpleNamespace(look=lambda: self.cells)
        view = ReadyView(None, None, worker, worker, lambda: self.is_recovered, conditions, ("SOL_USDC",), 3_600_000)
        answer = await view.get(make_mocked_request("GET", "/readyz"))
        assert isinstance(answer.body, bytes)
        return answer.status, answer.headers.get("Retry-After"), json.loads(answer.body)


async def test_a_worker_that_serves_all_is_ready() -> None:
    body = {"status": "ok", "reasons": [], "notes": [], "feed": {"status": "connected"}, "cells": []}
    assert await Worker().asked() == (200, None, body)


@pytest.mark.parametrize(
    ("ahead_ms", "words"),
    [
        (None, ""),
        (5_000, ""),
        (-2_000, ""),
        (-60_000, "60.0 s behind that of the worker"),
        (60_000, "60.0 s ahead of that of the worker"),
    ],
)
async def test_a_worker_whose_clock_is_off_is_unready_for_its_orders_fill_nothing(
    ahead_ms: int | None, words: str
) -> None:
    status, _, body = await Worker(ahead_ms=ahead_ms).asked()
    assert status == (503 if words else 200)
    assert not words or body["reasons"] == [
        f"this machine's clock is {words} that makes the price frames: set both by a time service"
    ]


@pytest.mark.parametrize(
    ("symbol", "state", "reason", "stands_in", "degrades", "words"),
    [
        ("SOL_USDC", "suspended", "price_guard", (), True, "suspended: prices jumped by more than the band"),
        ("SOL_USDC", "halted", "exchange", (), True, "halted: so the exchange says"),
        ("SOL_USDC", "close_only", "exchange", (), True, "close-only: so the exchange says"),
        ("SOL_USDC", "halted", "operator", (), True, "halted: an operator has decided so"),
        ("SOL_USDC", "close_only", "operator", (), True, "close-only: an operator has decided so"),
        ("SOL_USDC", "settled", "operator", (), False, "settled at 1.5: an operator has decided so"),
        ("OLD_USDC", "close_only", "not_offered", ("OLD_USDC",), False, "close-only: it is not offered any more"),
        ("OLD_USDC", "halted", "exchange", ("OLD_USDC",), True, "halted: so the exchange says"),
        ("OLD_USDC", "close_only", "not_offered", (), False, ""),
        ("OLD_USDC", "settled", "operator", (), False, ""),
        ("OLD_USDC", "halted", "exchange", (), False, ""),
    ],
)
async def test_a_market_that_is_not_open_is_named_and_degrades_unless_it_is_for_good(
    symbol: str, state: str, reason: str, stands_in: tuple[str, ...], degrades: bool, words: str
) -> None:
    price = Decimal("1.5") if state == "settled" else None
    told = MarketTold(symbol, MarketState(state), StateReason(reason), 5, price)
    worker = Worker(markets={symbol: told}, stands_in=stands_in, quoted=("SOL_USDC", "OLD_USDC"))
    status, _, body = await worker.asked()
    assert (status, body["status"]) == (200, "degraded" if degrades else "ok")
    said = [f"{symbol} is {words}"] if words else []
    assert (body["reasons"], body["notes"]) == ((said, []) if degrades else ([], said))


async def test_a_market_that_is_not_offered_any_more_needs_prices_while_something_stands_in_it() -> None:
    told = MarketTold("OLD_USDC", MarketState.CLOSE_ONLY, StateReason.NOT_OFFERED, 5)
    for stands_in in ((), ("OLD_USDC",)):
        _, _, body = await Worker(markets={"OLD_USDC": told}, stands_in=stands_in).asked()
        assert body["reasons"] == [f"{symbol}: no quote has arrived yet" for symbol in stands_in]


async def test_of_a_market_that_is_not_traded_its_lack_of_a_price_is_no_further_reason() -> None:
    told = {state: MarketTold("SOL_USDC", state, StateReason.OPERATOR, 5) for state in MarketState}
    for state, is_named in ((MarketState.HALTED, False), (MarketState.CLOSE_ONLY, True)):
        _, _, body = await Worker(has_quotes=False, markets={"SOL_USDC": told[state]}).asked()
        assert ("SOL_USDC: no quote has arrived yet" in body["reasons"]) == is_named


@pytest.mark.parametrize("ahead_ms", [-7_200_000, 60_000])
async def test_one_whose_clock_is_the_brokers_is_not_blamed_for_another_that_is_off(ahead_ms: int) -> None:
    status, _, body = await Worker(ahead_ms=ahead_ms, is_clock_right=True).asked()
    assert (status, body["status"], len(body["reasons"])) == (200, "degraded", 1)


async def test_a_clock_that_is_not_the_brokers_degrades_it() -> None:
    said = "this machine's clock is 7200.0 s ahead of the brokers'"
    status, _, body = await Worker(clock=said).asked()
    assert (status, body["status"], body["reasons"]) == (200, "degraded", [said])


async def test_a_worker_that_rightly_has_no_cells_is_ready_and_misses_no_prices() -> None:
    status, _, body = await Worker(partitions=(), has_quotes=False, feed={"status": "unknown"}).asked()
    assert (status, body["status"], body["reasons"]) == (200, "ok", [])


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (Worker(fault=LogFault("the disk is full")), "the disk is full"),
        (Worker(is_recovered=False), "tables are being recovered"),
        (Worker(is_ready=False, lag=7), "7 journal records are still to be folded"),
        (Worker(cut_off=UNCONFIRMED), UNCONFIRMED),
    ],
)
@pytest.mark.parametrize("is_degraded", [False, True])
async def test_a_worker_that_cannot_serve_is_unready_whatever_else_ails_it(
    worker: Worker, reason: str, is_degraded: bool
) -> None:
    worker = replace(worker)
    if is_degraded:
        worker.feed, worker.upkeep, worker.has_quotes = {"status": "stale"}, "no room", False
    status, retry_after, body = await worker.asked()
    assert (status, retry_after, body["status"]) == (503, "1", "unready")
    assert body["reasons"][0] == reason
    assert len(body["reasons"]) == (4 if is_degraded else 1)


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (Worker(feed={"status": "disconnected"}), "the feed of prices is disconnected"),
        (Worker(feed={"status": "stale", "reason": "nothing for 5 s"}), "the feed of prices is stale: nothing for 5 s"),
        (Worker(has_quotes=False), "SOL_USDC: no quote has arrived yet"),
        (Worker(upkeep="no room"), "the daily checkpoint is refused: no room"),
        (Worker(differ="not those of the others"), "not those of the others"),
    ],
)
async def test_a_worker_that_serves_with_less_is_degraded_and_stays_in_use(worker: Worker, reason: str) -> None:
    status, retry_after, body = await worker.asked()
    assert (status, retry_after, body["status"], body["reasons"]) == (200, None, "degraded", [reason])


@pytest.mark.parametrize("state", CellState)
async def test_a_cell_that_does_not_serve_or_is_deaf_makes_it_unready_and_is_named(state: CellState) -> None:
    well = CellCondition(0, CellState.SERVING, "", 5)
    worker = Worker(cells=(well, CellCondition(3, state, "" if state is CellState.SERVING else "so it is", NOW_MS)))
    status, _, body = await worker.asked()
    assert status == (503 if state in NOT_READY else 200)
    assert body["status"] == ("unready" if state in NOT_READY else "ok" if state is CellState.SERVING else "degraded")
    assert body["reasons"] == ([] if state is CellState.SERVING else [f"cell 3 is {state.value}: so it is"])
    assert body["cells"] == [
        {"partition": 0, "state": "serving", "reason": "", "since": 5},
        {"partition": 3, "state": state.value, "reason": worker.cells[1].reason, "since": NOW_MS},
    ]


async def test_what_keeps_all_cells_from_serving_is_said_first() -> None:
    _, _, body = await Worker(cut_off=UNCONFIRMED, cells=(CellCondition(3, CellState.DEAF, "so", 5),)).asked()
    assert body["reasons"] == [UNCONFIRMED]
