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
            account_id, owners = account_of(request), self._owners()
            if not owners:
                return await view(request)  # nobody shares with this worker, or it does not know yet
            partition = self._engine.partition_of(account_id)
            if self._engine.cells.cell(partition) is not None:
                return await view(request)
            owner = owners.get(partition)
            if owner is None or FORWARDED in request.headers:
                return await view(request)  # which says that the account is moving, or the platform starting
            return await self._forward(request, owner)

        return answer

    def _owners(self) -> dict[int, str]:
        """The URLs of the other workers, by the cells that they own; empty before the first assignment."""
        app = self._engine.app
        own_url = str(app.conf.canonical_url).rstrip("/")
        workers = {str(url).rstrip("/"): topics for url, topics in app.router.external_topics_metadata().items()}
        return {
            partition: url
            for url, topics in workers.items()
            if url != own_url
            for partition in topics.get(JOURNAL_TOPIC, ())
        }

    async def _forward(self, request: web.Request, owner: str) -> web.Response:
        body = await request.read()
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        headers[FORWARDED] = "1"
        url = owner + request.rel_url.raw_path_qs
        if self._engine.app.should_stop:  # its client is closed before its server
            raise ApiError(503, "NOT_READY", "this worker is stopping: ask another")
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
