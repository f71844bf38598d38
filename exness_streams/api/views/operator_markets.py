"""What operators decide of markets, kept by the worker that has the ticks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web

from exness_streams.api.access.address import address_of
from exness_streams.api.access.caller import caller_of, not_signed_in
from exness_streams.api.access.guard import Guard, was_vouched_for
from exness_streams.api.answers import json_response
from exness_streams.api.bodies import MarketRequest
from exness_streams.api.commands import CommandDesk
from exness_streams.api.errors import ApiError, invalid_request, unknown_market
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.presenter import state_fields
from exness_streams.api.requests import read_body
from exness_streams.api.views.access_answers import MarketDecision, MarketStateMessage, MarketStatesMessage
from exness_streams.api.views.candles import MOVING
from exness_streams.api.views.operator import OperatorView
from exness_streams.domain.hosts import is_loopback
from exness_streams.domain.market_states import MarketState
from exness_streams.engine.history import NotOwned
from exness_streams.engine.kept_markets import KeptMarkets, NoPrice
from exness_streams.engine.market_board import MarketBoard, SettledForGood
from exness_streams.transport.freshness import Freshness

_OF_A_PROXY = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_HOST, "X-Real-IP")


class OperatorMarketsView(OperatorView):
    """GET, POST /api/v1/operator/markets"""

    def __init__(
        self,
        app: Any,
        web_server: Any,
        desk: CommandDesk,
        guard: Guard,
        forwarding: Forwarding,
        markets: KeptMarkets,
        freshness: Freshness,
        is_recovered: Callable[[], bool],
    ):
        super().__init__(app, web_server, desk, guard, forwarding)
        self._markets, self._freshness, self._is_recovered = markets, freshness, is_recovered
        self._read_at_owner = forwarding.to_market_owner(self._read)
        self._decide_at_owner = forwarding.to_market_owner(self._decide)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """How each market is, and what was decided of it."""
        await self._check_caller(request)
        return await self._read_at_owner(request)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Decide what may be done in one market. Answered once it is kept; the cells hear of it within a second."""
        await self._check_caller(request)
        return await self._decide_at_owner(request)

    async def _check_caller(self, request: web.Request) -> None:
        """In open mode nobody signs in: whoever is at this machine is the operator, and nobody else is."""
        if self.forwarding.was_passed_on(request):
            return  # checked where it came in, and again by _check_passed
        if not self._is_of_this_machine(request):
            await self.check_operator(request)

    def _is_of_this_machine(self, request: web.Request) -> bool:
        """In open mode: without a session or key, and not through a proxy, behind which anybody may be."""
        if self.guard.required or caller_of(request).credential is not None:
            return False
        if self.forwarding.was_passed_on(request):
            return True
        if is_loopback(address_of(request)) and not any(name in request.headers for name in _OF_A_PROXY):
            return True
        raise ApiError(403, "FORBIDDEN", "without sign-in (EXNESS_AUTH=open) only this machine itself may do this")

    def _check_passed(self, request: web.Request) -> None:
        if not self._is_of_this_machine(request) and not was_vouched_for(request):
            raise not_signed_in("sign in as an operator")

    def _board(self) -> MarketBoard:
        if not self._is_recovered():
            raise ApiError(503, "NOT_READY", "the platform is starting: it is still reading its tables")
        try:
            return self._markets.owned_board()
        except NotOwned:
            raise ApiError(503, "REBALANCING", MOVING) from None

    async def _read(self, request: web.Request) -> web.Response:
        self._check_passed(request)
        board = self._board()
        if not self._freshness.is_fresh():
            raise ApiError(503, "REBALANCING", MOVING)
        return json_response(MarketStatesMessage([_message(board, symbol) for symbol in self._known(board)]))

    def _known(self, board: MarketBoard) -> list[str]:
        """Those on offer in the order of the configuration, then what else there is."""
        return list(dict.fromkeys([*(terms.symbol for terms in self.desk.catalogue), *board.known()]))

    async def _decide(self, request: web.Request) -> web.Response:
        self._check_passed(request)
        asked = MarketRequest.read(await read_body(request))
        board = self._board()
        symbol = self._symbol(board, asked.symbol)
        try:
            await self._markets.decide(symbol, MarketState(asked.state), asked.price)
        except SettledForGood as settled:
            raise _settled(settled, asked) from None
        except NoPrice:
            words = f'"price" is missing, and no price of {symbol} is known; send the price to settle at'
            raise invalid_request("price", words) from None
        except NotOwned:
            raise ApiError(503, "REBALANCING", MOVING) from None
        return json_response(_message(self._board(), symbol))

    def _symbol(self, board: MarketBoard, text: str) -> str:
        terms = self.desk.catalogue.find(text)
        if terms is not None:
            return terms.symbol
        if text in board.known():
            return text
        raise unknown_market(text, sorted({*self.desk.catalogue.assets, *board.known()}))


def _settled(settled: SettledForGood, asked: MarketRequest) -> ApiError:
    field = "price" if asked.state == "settled" else "state"
    words = f"{settled}: its positions are closed, and it can be neither opened nor settled anew"
    return ApiError(409, "MARKET_SETTLED", words, {"field": field, "allowed": ["settled"]})


def _message(board: MarketBoard, symbol: str) -> MarketStateMessage:
    told, decided = board.of(symbol), board.kept(symbol).decided
    return MarketStateMessage(
        symbol=symbol,
        **state_fields(told),
        settlement_price=None if told is None else told.price,
        decided=None
        if decided is None
        else MarketDecision(state=decided.state.value, since=decided.since_ms, price=decided.price),
    )
