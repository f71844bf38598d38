"""What the views of histories do between a history's pieces: others get their turn, and no part looks whole."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from account_events import closed, reset
from history_log import Log, batch, take, worker

from exness_streams.api.access.rate_limits import Bill
from exness_streams.api.chunked_answer import BrokenOff
from exness_streams.api.views.history import COST_OF_PIECE, Query, TradesView, _History, _page
from exness_streams.engine.history import READ_MAX, HistoryHost, NotOwned

TRADES = 5 * READ_MAX // 2
ALL = Query(500)
UNPAID = Bill([], Counter())


class CountingBill(Bill):
    def __init__(self) -> None:
        super().__init__([], Counter())
        self.paid = 0

    def pay_more(self, cost: int) -> None:
        self.paid += cost


async def filled(trades: int = TRADES) -> HistoryHost:
    host = worker(Log())
    await take(host, batch(*(closed(n) for n in range(1, trades + 1))))
    return host


def history_of(host: HistoryHost) -> _History:
    return _History(host, 0, "demo", host.head(0, "demo"))


def views_of(*, should_stop: bool = False) -> TradesView:
    unused: Any = None
    return TradesView(None, None, unused, unused, SimpleNamespace(should_stop=should_stop))


async def test_others_get_their_turn_between_the_pieces() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    pieces = [piece async for piece in views_of()._csv(history_of(await filled()), ALL)]
    beside.cancel()
    assert [piece.count(b"\r\n") for piece in pieces] == [1, READ_MAX, READ_MAX, READ_MAX // 2]
    assert turns >= 3
    lines = b"".join(pieces).split(b"\r\n")
    assert [line.split(b",")[0] for line in lines[1:-1]] == [b"0-%d-0" % n for n in range(TRADES, 0, -1)]


async def test_trades_that_arrive_meanwhile_are_not_in_it() -> None:
    host = await filled()
    pieces = views_of()._csv(history_of(host), ALL)
    await anext(pieces)
    await host.fold(0, batch(closed(TRADES + 1), offset=TRADES))
    rest = b"".join([piece async for piece in pieces])
    assert rest.count(b"\r\n") == TRADES
    assert rest.startswith(b"0-%d-0," % TRADES)


async def test_a_reset_breaks_it_off() -> None:
    host = await filled()
    pieces = views_of()._csv(history_of(host), ALL)
    await anext(pieces)
    await anext(pieces)
    await host.fold(0, batch(reset(TRADES + 1), offset=TRADES))
    with pytest.raises(BrokenOff):
        await anext(pieces)


async def test_a_partition_given_up_breaks_it_off() -> None:
    host = await filled()
    pieces = views_of()._csv(history_of(host), ALL)
    await anext(pieces)
    host.drop([0])
    with pytest.raises(BrokenOff):
        await anext(pieces)
    with pytest.raises(NotOwned):
        history_of(host)


async def test_a_worker_that_stops_breaks_it_off() -> None:
    pieces = views_of(should_stop=True)._csv(history_of(await filled()), ALL)
    await anext(pieces)
    with pytest.raises(BrokenOff):
        await anext(pieces)


@pytest.mark.parametrize("limit", [1, 199, 200, 201, 499, 500])
async def test_a_page_is_as_long_as_it_is_asked_to_be(limit: int) -> None:
    history = history_of(await filled())
    page, cursor = await _page(history, Query(limit), UNPAID)
    assert [trade.trade_id for trade in page] == [f"0-{n}-0" for n in range(TRADES, TRADES - limit, -1)]
    assert (cursor is None) is (limit == TRADES)


async def test_filters_look_through_all() -> None:
    host = worker(Log())
    events = [closed(n, symbol="BTC_USDC" if n in (3, 450) else "SOL_USDC") for n in range(1, 501)]
    await host.fold(0, batch(*events))
    page, cursor = await _page(history_of(host), Query(50, symbol="BTC_USDC"), UNPAID)
    assert ([trade.trade_id for trade in page], cursor) == (["0-450-0", "0-3-0"], None)
    (one,), cursor = await _page(history_of(host), Query(1, symbol="BTC_USDC"), UNPAID)
    assert cursor is not None
    assert one.trade_id == "0-450-0"
    (one,), cursor = await _page(history_of(host), Query(1, before=449, symbol="BTC_USDC"), UNPAID)
    assert (one.trade_id, cursor) == ("0-3-0", None)


async def test_looking_through_many_trades_for_few_costs_as_much_as_it_looks_through() -> None:
    history, filtered, plain = history_of(await filled()), CountingBill(), CountingBill()
    assert await _page(history, Query(50, symbol="BTC_USDC"), filtered) == ([], None)
    await _page(history, ALL, plain)
    assert (filtered.paid, plain.paid) == (COST_OF_PIECE * 3, 0)
