"""Any worker answers: a request for an account is passed on to the worker that owns the account's cell."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from exness_streams.api.access.caller import PASSED_ON, Caller, account_of, caller_of
from exness_streams.api.access.guard import FORWARDED, Guard, vouch, was_vouched_for
from exness_streams.api.api_view import Way
from exness_streams.api.chunked_answer import send_pieces
from exness_streams.api.errors import ApiError, Handler
from exness_streams.api.request_ids import REQUEST_ID, request_id_of
from exness_streams.api.requests import refuse_long

if TYPE_CHECKING:
    from exness_streams.engine.engine import Engine

log = logging.getLogger(__name__)

FORWARD_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=2)

READ_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=2, sock_read=15)
"""What is read may be long; only its silence ends it."""

PIECE_BYTES = 64 * 1024

OWNER_LOOK_S = 0.25
"""How often a request under way looks whether the cell has moved."""

PATIENCE_S = 0.25
"""How long a request that can't be served waits before it is tried once more, and refused then."""

SESSIONS_PATH = "/api/auth/sessions"

PASSING = frozenset({"NOT_READY", "REBALANCING", "OVERLOADED"})
"""Refusals of requests that did nothing, and may be served in a moment."""

_READING = ("GET", "HEAD")
_REQUEST_HEADERS = ("Accept", "Authorization", "Content-Type", "Cookie", "Idempotency-Key", "Prefer", "X-Account")
_ANSWER_HEADERS = (
    "Content-Disposition",
    "Content-Type",
    "Idempotent-Replayed",
    "Preference-Applied",
    "Retry-After",
    "Set-Cookie",
    "Vary",
    "WWW-Authenticate",
)


class Forwarding:
    """Decides who answers a request for an account."""

    def __init__(self, engine: Engine, guard: Guard, tls: ssl.SSLContext | None = None) -> None:
        """tls: what the certificates of other workers are checked with; None: by the system's authorities."""
        self._engine = engine
        self.guard = guard
        self.tls = tls
        self._distrusted: set[str] = set()
        self._dealt_out: object = None
        self._owners: dict[str, dict[int, str]] = {}

    def to_owner(self, view: Handler) -> Handler:
        """A view that answers for the accounts owned here, and passes the others on. Who asks is alive, and may."""

        async def checked(request: web.Request) -> web.StreamResponse:
            self.check_alive(request)
            return await view(request)

        async def whose(request: web.Request) -> str:
            await self.vouch(request)
            return account_of(request)

        return self.to_owner_of(whose)(checked)

    def to_owner_of(self, whose: Callable[[web.Request], Awaitable[str]]) -> Way:
        """As to_owner, for an account that the request tells in another way, and without a look at who asks."""
        return lambda view: self._patient(view, whose)

    def _patient(self, view: Handler, whose: Callable[[web.Request], Awaitable[str]]) -> Handler:
        async def once(request: web.Request) -> web.StreamResponse:
            owner = self.owner_elsewhere(request, await whose(request))
            if owner is None:
                return await view(request)  # if only to say that the account is moving, or the platform starting
            return await self._forward(request, *owner)

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await once(request)
            except ApiError as refusal:
                if refusal.error not in PASSING or self._engine.app.should_stop:
                    raise
            # Most moves are over in a moment. And clients that repeat at once would take the time that they need.
            await asyncio.sleep(PATIENCE_S)
            return await once(request)

        return answer

    def to_any_cell(self, view: Handler) -> Handler:
        """A view of what every cell knows. A worker without cells passes on."""

        async def answer(request: web.Request) -> web.StreamResponse:
            elsewhere = self.any_cell_elsewhere(request)
            if elsewhere is None:
                return await view(request)
            return await self._forward(request, *elsewhere)

        return answer

    def to_market_owner(self, view: Handler) -> Handler:
        """A view that answers where the candles are kept, with the ticks' only partition; elsewhere it passes on."""

        async def answer(request: web.Request) -> web.StreamResponse:
            owner = self.owners(self._engine.topics.market_updates).get(0)
            if owner is None or self.was_passed_on(request) or self._engine.candles.is_owned:
                return await view(request)
            return await self._forward(request, 0, owner, self._engine.topics.market_updates)

        return answer

    def was_passed_on(self, request: web.Request) -> bool:
        """Whether another worker sent it. It spares the request another way round, and nothing else: no check."""
        return PASSED_ON in request

    def check_alive(self, request: web.Request) -> None:
        """401 or 403 when the caller may not do this here and now. The account's cell is here, or moving."""
        caller = caller_of(request)
        if caller.credential is None or caller.account_id is None:
            return
        partition = self._engine.partition_of(caller.account_id)
        cell = self._engine.fresh_cells.cell(partition)
        if cell is not None and not self._engine.unready_of(partition):
            self.guard.check_alive(request, cell)

    async def vouch(self, request: web.Request) -> None:
        """Before an operator reads another's account: whether the session is alive, by the operator's own cell."""
        if caller_of(request).reads_another:
            await self.check_own_session(request)

    async def check_own_session(self, request: web.Request) -> None:
        """401 unless the caller's session is alive, wherever its account is."""
        if not was_vouched_for(request):
            await self._ask_own_cell(request, caller_of(request))
            vouch(request)

    async def _ask_own_cell(self, request: web.Request, caller: Caller) -> None:
        own_id = str(caller.own_account_id)
        owner = self.owner_elsewhere(request, own_id)
        if owner is None:
            partition = self._engine.partition_of(own_id)
            cell = self._engine.fresh_cells.cell(partition)
            if cell is None or self._engine.unready_of(partition):
                raise ApiError(503, "REBALANCING", "the operator's account is moving to another worker")
            self.guard.check_alive(request, cell)
            return
        headers = self._headers(request, "GET", SESSIONS_PATH)
        headers.pop("X-Account", None)  # it is about the operator's own
        async with self._engine.app.http_client.get(
            owner[1] + SESSIONS_PATH, headers=headers, timeout=FORWARD_TIMEOUT
        ) as answer:
            if answer.status != 200:
                raise ApiError(401, "UNAUTHORIZED", "this session is over, or its account is moving: sign in again")

    def owner_elsewhere(self, request: web.Request, account_id: str) -> tuple[int, str] | None:
        """The cell and the URL of the worker that a request is passed on to; None when it is answered here."""
        owners = self.owners()
        if not owners or self.was_passed_on(request):
            return None  # nobody shares with this worker, or it does not know yet; or it was passed on before
        partition = self._engine.partition_of(account_id)
        if self._engine.cells.cell(partition) is not None or partition not in owners:
            return None
        return partition, owners[partition]

    def any_cell_elsewhere(self, request: web.Request) -> tuple[int, str] | None:
        """As owner_elsewhere, of some cell, for a worker that has none itself."""
        owners = self.owners()
        if not owners or self._engine.cells.partitions or self.was_passed_on(request):
            return None
        return min(owners.items())

    def owners(self, topic: str | None = None) -> dict[int, str]:
        """The URLs of the other workers, by the partitions that they own; empty before the first assignment."""
        app, owned = self._engine.app, topic or self._engine.topics.journal
        dealt_out = app.router.external_topics_metadata()
        if dealt_out is not self._dealt_out:  # each rebalance makes another
            self._dealt_out, self._owners = dealt_out, {}
        owners = self._owners.get(owned)
        if owners is None:
            own_url = str(app.conf.canonical_url).rstrip("/")
            workers = {str(url).rstrip("/"): topics for url, topics in dealt_out.items()}
            owners = self._owners[owned] = {
                partition: url
                for url, topics in workers.items()
                if url != own_url
                for partition in topics.get(owned, ())
            }
        return owners

    async def _forward(
        self, request: web.Request, partition: int, owner: str, topic: str | None = None
    ) -> web.StreamResponse:
        topics = self._engine.topics
        owned = topic or topics.journal
        moving = "the candles are" if owned == topics.market_updates else "the account is"
        refuse_long(request)
        body = await request.read()
        if self._engine.app.should_stop:  # its client is closed before its server
            raise ApiError(503, "NOT_READY", "this worker is stopping: use another one")
        try:
            return await self._while_owned(owned, partition, owner, self._ask(request, body, owner))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self.note(owner, error)
            raise ApiError(503, "REBALANCING", f"{moving} moving to another worker") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            if request.method in _READING:
                raise ApiError(503, "REBALANCING", f"{moving} at a worker that did not answer") from error
            raise ApiError(
                504,
                "OUTCOME_UNKNOWN",
                "the account's worker did not answer: repeat the request with the same Idempotency-Key to learn the "
                "outcome",
            ) from error

    def note(self, owner: str, error: Exception) -> None:
        """Say once of each worker that nothing can be passed on to it because of its certificate."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError) and owner not in self._distrusted:
            self._distrusted.add(owner)
            log.error(
                "the certificate of the worker at %s is not trusted (%s): nothing is passed on to it. Set "
                "EXNESS_TLS_CA_FILE to the certificates of its authority",
                owner,
                error.certificate_error,
            )

    async def _ask(self, request: web.Request, body: bytes, owner: str) -> web.StreamResponse:
        headers = self._headers(request, request.method, request.rel_url.raw_path_qs, body)
        url = owner + request.rel_url.raw_path_qs
        async with self._engine.app.http_client.request(
            request.method, url, data=body, headers=headers, timeout=_timeout_of(request)
        ) as answer:
            kept = {name: answer.headers[name] for name in _ANSWER_HEADERS if name in answer.headers}
            if answer.content_length is None and request.method == "GET":  # as long as it likes
                return await send_pieces(request, answer.content.iter_chunked(PIECE_BYTES), kept, answer.status)
            content = await answer.read()
            return web.Response(body=content, status=answer.status, headers=kept)

    def _headers(self, request: web.Request, method: str, path_qs: str, body: bytes = b"") -> dict[str, str]:
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        passing = self.guard.passing(request, method, path_qs, body)
        return headers | {FORWARDED: passing, REQUEST_ID: request_id_of(request)}

    async def _while_owned(
        self, topic: str, partition: int, owner: str, answer: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """The owner's answer; TimeoutError as soon as the cell is another worker's, for this one may be paused."""
        answering = asyncio.ensure_future(answer)
        try:
            while not answering.done():
                await asyncio.wait({answering}, timeout=OWNER_LOOK_S)
                if not answering.done() and self.owners(topic).get(partition) != owner:
                    raise asyncio.TimeoutError
            return answering.result()
        finally:
            answering.cancel()
            await asyncio.wait({answering})  # an answer that was under way is cut before another is given


def _timeout_of(request: web.Request) -> aiohttp.ClientTimeout:
    return READ_TIMEOUT if request.method in _READING else FORWARD_TIMEOUT
