"""Any worker answers: a request for an account is passed on to the worker that owns the account's cell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from exness_streams.api.errors import ApiError, Handler
from exness_streams.api.requests import account_of
from exness_streams.messages import JOURNAL_TOPIC

if TYPE_CHECKING:
    from exness_streams.engine.app import Engine

FORWARDED = "X-Exness-Forwarded"
"""Marks a request that was passed on once. It is not passed on again, so that no request circles."""

FORWARD_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=2)

_REQUEST_HEADERS = ("Accept", "Authorization", "Content-Type", "Cookie", "Idempotency-Key", "X-Account")
_ANSWER_HEADERS = ("Content-Type", "Idempotent-Replayed", "Retry-After")


class Forwarding:
    """Decides who answers a request for an account."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def to_owner(self, view: Handler) -> Handler:
        """A view that answers for the accounts owned here, and passes the others on."""

        async def answer(request: web.Request) -> web.StreamResponse:
            partition = self._engine.partition_of(account_of(request))
            if self._engine.cells.cell(partition) is not None:
                return await view(request)
            owner = self._owner_of(partition)
            if owner is None or FORWARDED in request.headers:
                return await view(request)  # which says that the account is moving, or the platform starting
            return await self._forward(request, owner)

        return answer

    def _owner_of(self, partition: int) -> str | None:
        """The URL of a cell's owner, None when it is not known, or this worker."""
        app = self._engine.app
        for url, topics in app.router.external_topics_metadata().items():
            if partition in topics.get(JOURNAL_TOPIC, ()):
                owner = str(url).rstrip("/")
                return None if owner == str(app.conf.canonical_url).rstrip("/") else owner
        return None

    async def _forward(self, request: web.Request, owner: str) -> web.Response:
        body = await request.read()
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        headers[FORWARDED] = "1"
        url = owner + request.rel_url.raw_path_qs
        try:
            async with self._engine.app.http_client.request(
                request.method, url, data=body, headers=headers, timeout=FORWARD_TIMEOUT
            ) as answer:
                content = await answer.read()
                kept = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
                return web.Response(body=content, status=answer.status, headers=kept)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise ApiError(503, "REBALANCING", "the account is moving to another worker") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            if request.method == "GET":
                raise ApiError(503, "REBALANCING", "the account's worker did not answer") from error
            raise ApiError(
                504,
                "OUTCOME_UNKNOWN",
                "the account's worker did not answer: repeat the request with the same Idempotency-Key to learn it",
            ) from error
