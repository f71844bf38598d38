"""The guard: tells who asks from a token, a key, a cookie or a worker's signature, and whether that still holds."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import hdrs, web

from exness_streams.api.access.address import address_of, remember_address
from exness_streams.api.access.caller import (
    CALLER,
    COOKIE,
    PASSED_ON,
    REFUSED,
    Caller,
    acting_for,
    caller_of,
    named_account,
    not_signed_in,
)
from exness_streams.api.errors import ApiError, Handler
from exness_streams.domain import identity
from exness_streams.domain.cell import Cell
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.rejections import Rejection
from exness_streams.identity.api_keys import PREFIX, read_key
from exness_streams.identity.secret_keys import SecretKeys
from exness_streams.identity.tokens import NotOurs, Tokens

log = logging.getLogger(__name__)

FORWARDED = "X-Exness-Forwarded"
"""Marks a request that a worker passed on, by its signature. It is not passed on again, so that no request circles."""

AGENT_MAX = 120
_READING = ("GET", "HEAD")


class Guard:
    """Knows the platform's keys. required: whether nobody acts without a credential."""

    def __init__(self, keys: SecretKeys, operators: Iterable[str], *, required: bool, shared: bool) -> None:
        """operators: normalized e-mail addresses. shared: whether there may be other workers."""
        self.keys, self.tokens, self.required = keys, Tokens(keys), required
        self._operators = frozenset(keys.account_id(email) for email in operators)
        self._shared = shared
        self._mark = keys.pepper_mark

    def is_operator(self, account_id: str) -> bool:
        """Whether it is the account of an operator."""
        return account_id in self._operators

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Goes inside of the door. Who asks is refused where it is looked at: what is public needs nobody."""
        if self._shared and FORWARDED in request.headers:
            request[PASSED_ON] = await self._passed_on(request)
        try:
            request[CALLER] = self._caller(request)
        except ApiError as refused:
            request[REFUSED] = refused
        return await handler(request)

    def _caller(self, request: web.Request) -> Caller:
        shown = request.headers.get(hdrs.AUTHORIZATION)
        if shown is not None:
            kind, _, token = shown.partition(" ")
            if kind.lower() != "bearer" or not token.strip():
                raise not_signed_in("send Authorization: Bearer, and a session's token or an API key")
            return acting_for(self._bearer(token.strip()), request)
        cookie = request.cookies.get(COOKIE) if hdrs.COOKIE in request.headers else None  # programs have none
        if cookie:
            try:
                return acting_for(self._session(cookie), request)
            except NotOurs:
                pass  # an old one, of no account any more: as if there were none
        return Caller("guest", None) if self.required else Caller("open", named_account(request))

    def _bearer(self, token: str) -> Caller:
        if token.startswith(PREFIX):
            key = read_key(token)
            if key is None:
                raise not_signed_in("this is not an API key of this platform")
            return Caller("key", key.account_id, key.account_id, key.key_id, shown_key=key)
        try:
            return self._session(token)
        except NotOurs as why:
            raise not_signed_in(f"the token is refused: {why}") from None

    def _session(self, token: str) -> Caller:
        found = self.tokens.read_session(token)
        return Caller(
            "session",
            found.account_id,
            found.account_id,
            found.session_id,
            found.email,
            found.expires_ms,
            self.is_operator(found.account_id),
        )

    # At the owner of the account

    def check_alive(self, request: web.Request, cell: Cell) -> None:
        """401 or 403 unless the caller may still do this. cell: of the caller's account, or of the one it reads."""
        caller = caller_of(request)
        if caller.reads_another and was_vouched_for(request):
            return
        if (refused := self.refusal(caller, cell, reading=request.method in _READING)) is not None:
            raise ApiError.of(refused)

    def refusal(self, caller: Caller, cell: Cell, *, reading: bool) -> Rejection | None:
        """Why a caller may not read, or change, its account now. cell: of the caller's own account."""
        if caller.credential is None or caller.own_account_id is None:
            return None
        row, now_ms = cell.access(caller.own_account_id), int(time.time() * 1000)
        if caller.shown_key is not None:
            key = None if row is None else row.key(caller.credential_id, now_ms)
            if key is None or not caller.shown_key.matches(key.secret):
                return identity.not_signed_in()
            if reading:
                return None
        elif reading:
            return None if row is not None and row.session(caller.credential_id, now_ms) else identity.not_signed_in()
        return identity.refused(row, caller.credential, now_ms, trading=True)

    def still_holds(self, account_id: str, credential: str | None, cell: Cell) -> bool:
        """Whether a credential that was looked at a moment ago still does."""
        if credential is None:
            return True
        row, now_ms = cell.access(account_id), int(time.time() * 1000)
        name = credential.partition("/")[2]
        return row is not None and (row.session(name, now_ms) or row.key(name, now_ms)) is not None

    # Between workers

    def passing(self, request: web.Request, method: str, path_qs: str, body: bytes = b"") -> str:
        """What a worker signs when it passes a request on, as this other one."""
        claims = {
            "m": method,
            "p": path_qs,
            "b": hashlib.sha256(body).hexdigest(),
            "address": address_of(request),
            "origin": origin_of(request),
            "agent": agent_of(request),
            "mark": self._mark,
            "vouched": was_vouched_for(request),
        }
        return self.tokens.passing(claims, int(time.time()))

    async def _passed_on(self, request: web.Request) -> Mapping[str, Any]:
        """The claims of the worker that passed it on. 403 for anybody else."""
        try:
            claims = self.tokens.read_passing(request.headers[FORWARDED])
        except NotOurs as why:
            if not self.required:
                # On loopback workers may have secrets of their own each; all this spares is another way round.
                return {}
            raise ApiError(403, "FORBIDDEN", f"{FORWARDED} is for this platform's workers alone: {why}") from None
        if claims.get("mark") != self._mark:
            raise ApiError(503, "NOT_READY", "the workers have different peppers: set one EXNESS_PEPPER for all")
        body = await request.read() if request.can_read_body else b""
        said = (claims.get("m"), claims.get("p"), claims.get("b"))
        if said != (request.method, request.rel_url.raw_path_qs, hashlib.sha256(body).hexdigest()):
            raise ApiError(403, "FORBIDDEN", f"{FORWARDED} was signed for another request")
        remember_address(request, str(claims.get("address", "")))
        return claims


_VOUCHED = web.RequestKey("vouched", bool)


def vouch(request: web.Request) -> None:
    """The operator's own cell has said that the session is alive."""
    request[_VOUCHED] = True


def origin_of(request: web.Request) -> str:
    """The origin of the page that asks, at whatever worker it did; empty for a program."""
    passed = request.get(PASSED_ON)
    return str(passed.get("origin", "")) if passed else request.headers.get(hdrs.ORIGIN, "")


def agent_of(request: web.Request) -> str:
    """What the client says that it is, at whatever worker it did."""
    passed = request.get(PASSED_ON)
    said = str(passed.get("agent", "")) if passed else request.headers.get(hdrs.USER_AGENT, "")
    return in_one_line(said, AGENT_MAX)


def was_vouched_for(request: web.Request) -> bool:
    """Whether an operator's session was found alive, here or at the worker that passed the request on."""
    return bool(request.get(_VOUCHED) or (request.get(PASSED_ON) or {}).get("vouched"))
