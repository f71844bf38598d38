"""Bodies of the sign-in routes, in the original's shapes, and of what operators ask."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from aiohttp import web

from exness_streams.api.errors import ApiError, Handler
from exness_streams.messages import MarketStateWord, StateReasonWord, json_encoder, one_of


class AccessMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of them all."""


class LinkSent(AccessMessage, frozen=True, kw_only=True):
    """The same whether anybody has signed in with the address before."""

    message: str
    email: str


class VerifiedUser(AccessMessage, frozen=True, kw_only=True):
    """Whose address it is."""

    email: str
    verified: bool


class Verified(AccessMessage, frozen=True, kw_only=True):
    """A session has begun. token: for programs alone, a page has its cookie. expires_at: ms since the epoch."""

    success: bool
    message: str
    user: VerifiedUser
    account: str
    expires_at: int
    token: str | None = None


class NotVerified(AccessMessage, frozen=True, kw_only=True):
    """Why a link began no session. error: the same in words, as the original's page shows it; code: for programs."""

    success: bool
    message: str
    error: str
    code: str


class Me(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who asks, and what that may."""

    auth: Annotated[str, one_of(("open", "required"))]
    kind: Annotated[str, one_of(("guest", "open", "session", "key"))]
    account: str | None
    email: str | None
    scopes: list[str]
    operator: bool
    expires_at: int | None


class SessionShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A session of the account. current: the one that asks."""

    id: str
    created_at: int
    expires_at: int
    agent: str
    current: bool


class Sessions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All that are alive, the oldest first."""

    sessions: list[SessionShown]


class KeyShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An API key without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: int
    expires_at: int | None


class NewKey(KeyShown, frozen=True, kw_only=True):
    """An API key with its secret, which is shown this once."""

    key: str


class Keys(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All API keys of the account, the oldest first."""

    keys: list[KeyShown]


class AccountFound(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The account of an e-mail address."""

    account: str


class Done(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """It is done."""

    message: str


class MarketDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has decided of a market. since: ms since the epoch. price: of a settlement, null else."""

    state: MarketStateWord
    since: int
    price: Decimal | None


class MarketStateMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a market is, the severest of what is said of it, and what operators have decided of it (null: nothing).

    state_reason, state_since: who says so, and since when (ms since the epoch); null where it is open. settlement_price:
    at which its positions were closed, null unless it is settled.
    """

    symbol: str
    state: MarketStateWord
    state_reason: StateReasonWord | None
    state_since: int | None
    settlement_price: Decimal | None
    decided: MarketDecision | None


class MarketStatesMessage(msgspec.Struct, frozen=True):
    """`GET /api/v1/operator/markets`: those on offer, then others that something is known of."""

    markets: list[MarketStateMessage]


def in_the_original_s_shape(view: Handler) -> Handler:
    """Refusals of a link as the original tells them: success false, and words in `error`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await view(request)
        except ApiError as refused:
            if refused.status != 400:
                raise
            told = NotVerified(success=False, message=refused.message, error=refused.message, code=refused.error)
            return web.Response(body=json_encoder.encode(told), status=400, content_type="application/json")

    return answer
