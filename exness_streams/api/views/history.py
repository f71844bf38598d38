"""What an account has done: its closed trades, page by page or all as CSV, and the course of its balance.

Histories show at once what this process has told. What a former owner of the account has told comes from
`trading-events` a moment after the state: a page waits for what its account has already done, or its cursor tells of.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NamedTuple, get_args

from aiohttp import web

from exness_streams.api.access.caller import account_of
from exness_streams.api.access.rate_limits import Bill, bill_of
from exness_streams.api.accounts import Accounts
from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.chunked_answer import BrokenOff, send_pieces
from exness_streams.api.errors import ApiError, invalid_request
from exness_streams.api.number_form import PARAMETER
from exness_streams.api.ports import Histories, Stopping
from exness_streams.api.requests import limit_of, only_known
from exness_streams.api.views import csv_trades
from exness_streams.domain.account_history import HistoryHead, Numbers, Trade
from exness_streams.domain.events import CloseReason
from exness_streams.domain.instruments import base_of
from exness_streams.engine.history import READ_MAX, NotOwned, NotWhole
from exness_streams.messages import EquityMessage, EquityPoint, TradeMessage, TradesMessage

LIMIT_MAX = 500
TRADES_DEFAULT = 50
POINTS_DEFAULT = 500

COST_OF_PIECE = 2
"""So many requests is looking through READ_MAX trades for those that a filter asks for."""

CATCH_UP_S = 1.0
"""How long a page waits for events that are still on their way. After that it shows what is there."""

REASONS: tuple[str, ...] = get_args(CloseReason)

_SYMBOL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CURSOR = re.compile(rb"before:([0-9]{1,12})")


class Query(NamedTuple):
    """What is asked for. before: the number that a cursor stands for. symbol, reason: only those trades."""

    limit: int
    before: int | None = None
    symbol: str | None = None
    reason: str | None = None

    def includes(self, trade: Trade) -> bool:
        """Whether a trade is asked for."""
        return self.symbol in (None, trade.symbol) and self.reason in (None, trade.reason)


class _History(NamedTuple):
    """An account's history as it stands at the request."""

    host: Histories
    partition: int
    account_id: str
    head: HistoryHead

    def trades(self, first: int, end: int) -> list[tuple[int, Trade]]:
        """As the port's."""
        return self.host.trades(self.partition, self.account_id, first, end)

    @property
    def began_anew(self) -> bool:
        """Whether the account was reset since the request."""
        return self.host.head(self.partition, self.account_id).trades.since != self.head.trades.since


class TradesView(ApiView):
    """GET /api/v1/trades"""

    query = None

    def __init__(self, app: Any, web_server: Any, accounts: Accounts, histories: Histories, worker: Stopping) -> None:
        super().__init__(app, web_server)
        self._accounts, self._histories, self._worker = accounts, histories, worker

    async def get(self, request: web.Request) -> web.StreamResponse:
        account_id = account_of(request)
        if csv_trades.is_wanted(",".join(request.headers.getall("Accept", []))):
            return await self._trades_as_csv(request, account_id)
        query = read_query(request, TRADES_DEFAULT, "limit", "cursor", "symbol", "reason")
        try:
            history = await _history_of(self._accounts, self._histories, account_id, query, _trades)
            page, cursor = await _page(history, query, bill_of(request))
            self._accounts.cell_of(account_id)  # still: there was a wait, and this worker may have stood still in it
        except NotOwned as error:
            raise _not_now(error) from None
        message = TradesMessage(
            trades=[trade_message(trade) for trade in page], next_cursor=cursor, sequence=history.head.sequence
        )
        return json_response(message, headers={"Vary": "Accept"})

    async def _trades_as_csv(self, request: web.Request, account_id: str) -> web.StreamResponse:
        query = read_query(request, LIMIT_MAX, "symbol", "reason")
        headers = {
            "Content-Type": f"{csv_trades.MEDIA_TYPE}; charset=utf-8; header=present",
            "Content-Disposition": f'attachment; filename="trades-{account_id}.csv"',
            "Vary": "Accept",
        }
        try:
            history = await _history_of(self._accounts, self._histories, account_id, query, _trades)
        except NotOwned as error:
            raise _not_now(error) from None
        if request.method == "HEAD":
            return web.Response(headers=headers)
        return await send_pieces(request, self._csv(history, query), headers)

    async def _csv(self, history: _History, query: Query) -> AsyncIterator[bytes]:
        """Every trade there is at the request, newest first."""
        yield csv_trades.header_line()
        first, end = history.head.trades_from, history.head.trades.end
        while end > first:
            begin = max(first, end - READ_MAX)
            try:
                found = history.trades(begin, end)
                if history.began_anew or self._worker.should_stop:
                    raise BrokenOff("the account was reset, or the worker stops")
            except NotOwned as moved:
                raise BrokenOff("the account is moving to another worker") from moved
            if lines := csv_trades.trade_lines(trade_message(trade) for _, trade in found if query.includes(trade)):
                yield lines
            end = begin
            await asyncio.sleep(0)  # the client may be faster than we are: others want the event loop, too


class EquityView(ApiView):
    """GET /api/v1/equity"""

    query = None

    def __init__(self, app: Any, web_server: Any, accounts: Accounts, histories: Histories) -> None:
        super().__init__(app, web_server)
        self._accounts, self._histories = accounts, histories

    async def get(self, request: web.Request) -> web.Response:
        query = read_query(request, POINTS_DEFAULT, "limit", "cursor")
        try:
            history = await _history_of(self._accounts, self._histories, account_of(request), query, _points)
            end = _end(history.head.points.end, query)
            first = max(history.head.points_from, end - query.limit)
            found = history.host.points(history.partition, history.account_id, first, end)
        except NotOwned as error:
            raise _not_now(error) from None
        message = EquityMessage(
            points=[EquityPoint(point.time_ms, point.balance) for point in found],
            next_cursor=_cursor_of(first) if first > history.head.points_from else None,
            sequence=history.head.sequence,
        )
        return json_response(message)


async def _history_of(
    accounts: Accounts, histories: Histories, account_id: str, query: Query, numbers: Callable[[HistoryHead], Numbers]
) -> _History:
    """The account's history. With all that the account's row has seen, for a first page, and for one of whose entries
    (numbers) some are not here yet: another worker has shown them. 503, or NotOwned."""
    cell = accounts.cell_of(account_id)
    if query.before is None or query.before > numbers(histories.head(cell.partition, account_id)).end:
        row = cell.account(account_id)
        await histories.wait_for(cell.partition, account_id, 0 if row is None else row.sequence, CATCH_UP_S)
        accounts.cell_of(account_id)
    return _History(histories, cell.partition, account_id, histories.head(cell.partition, account_id))


def _trades(head: HistoryHead) -> Numbers:
    return head.trades


def _points(head: HistoryHead) -> Numbers:
    return head.points


async def _page(history: _History, query: Query, bill: Bill) -> tuple[list[Trade], str | None]:
    """The newest trades that are asked for, and the cursor of those before them. NotOwned."""
    first, end = history.head.trades_from, _end(history.head.trades.end, query)
    found: list[tuple[int, Trade]] = []
    is_filtered = query.symbol is not None or query.reason is not None
    while end > first and len(found) <= query.limit:  # one more than asked for tells whether there are older ones
        wanted = READ_MAX if is_filtered else min(READ_MAX, query.limit + 1 - len(found))
        begin = max(first, end - wanted)
        found += [(number, trade) for number, trade in history.trades(begin, end) if query.includes(trade)]
        end = begin
        if is_filtered:  # a filter may have to look through all that there is, for a small answer
            bill.pay_more(COST_OF_PIECE)
        await asyncio.sleep(0)
    page = found[: query.limit]
    return [trade for _, trade in page], _cursor_of(page[-1][0]) if len(found) > query.limit else None


def _end(newest: int, query: Query) -> int:
    return newest if query.before is None else min(newest, query.before)


def _not_now(error: NotOwned) -> ApiError:
    if isinstance(error, NotWhole):
        return ApiError(503, "NOT_READY", "the account's history was lost and is being built anew from its events")
    return ApiError(503, "REBALANCING", "the account is moving to another worker")


def trade_message(trade: Trade) -> TradeMessage:
    """A trade as the API shows it."""
    return TradeMessage(
        trade_id=trade.trade_id,
        position_id=trade.position_id,
        asset=base_of(trade.symbol),
        symbol=trade.symbol,
        type=trade.side,
        quantity=trade.quantity,
        leverage=trade.leverage,
        entry_price=trade.entry_price,
        close_price=trade.close_price,
        realized_pnl=trade.realized_pnl,
        fee=trade.fee,
        reason=trade.reason,
        opened_at=trade.opened_ms,
        closed_at=trade.closed_ms,
        duration_ms=max(0, trade.closed_ms - trade.opened_ms),
    )


def read_query(request: web.Request, default_limit: int, *names: str) -> Query:
    """The query's fields, of those named. 400 for another, a repeated or a malformed one."""
    only_known(request, *names)
    given: dict[str, Any] = {
        _FIELD_OF.get(name, name): _READERS[name](text) for name, text in request.query.items() if name != PARAMETER
    }
    return Query(**{"limit": default_limit, **given})


def _cursor_of(number: int) -> str:
    return base64.urlsafe_b64encode(b"before:%d" % number).rstrip(b"=").decode()


def _before(text: str) -> int:
    try:
        read = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        read = b""
    found = _CURSOR.fullmatch(read)
    if found is None or _cursor_of(int(found[1])) != text:
        raise invalid_request("cursor", '"cursor" is unknown; give the nextCursor of an earlier answer')
    return int(found[1])


def _symbol(text: str) -> str:
    if not _SYMBOL.fullmatch(text):
        raise invalid_request("symbol", '"symbol" is not an instrument; give one such as SOL_USDC')
    return text


def _reason(text: str) -> str:
    if text not in REASONS:
        raise invalid_request("reason", f"unknown reason; this route accepts: {', '.join(REASONS)}")
    return text


_FIELD_OF = {"cursor": "before"}
_READERS: dict[str, Callable[[str], Any]] = {
    "limit": partial(limit_of, most=LIMIT_MAX),
    "cursor": _before,
    "symbol": _symbol,
    "reason": _reason,
}
