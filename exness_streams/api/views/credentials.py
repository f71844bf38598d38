"""An account's sessions and API keys: seen, made and ended by who is signed in."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any, TypeVar

from aiohttp import web

from exness_streams.api.access.caller import Caller, account_of, caller_of, not_signed_in
from exness_streams.api.access.guard import Guard
from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import KeyRequest
from exness_streams.api.commands import CommandDesk
from exness_streams.api.errors import ApiError, invalid_request
from exness_streams.api.requests import idempotency_of, read_body
from exness_streams.api.views.access_answers import Done, Keys, KeyShown, NewKey, Sessions, SessionShown
from exness_streams.domain.cell import Cell
from exness_streams.domain.identity import (
    AccessCommand,
    AccessRow,
    ApiKey,
    CreateKey,
    EndSessions,
    KeyCreated,
    KeyRevoked,
    RevokeKey,
    SessionsEnded,
)
from exness_streams.domain.rejections import Rejection
from exness_streams.identity.api_keys import ShownKey, new_key

Told = TypeVar("Told")


class CredentialsView(ApiView):
    """A route about the caller's own sessions and keys; it runs at the owner of the account."""

    def __init__(self, app: object, web_server: object, desk: CommandDesk, guard: Guard) -> None:
        super().__init__(app, web_server)
        self.desk, self.guard = desk, guard

    def signed_in(self, request: web.Request) -> tuple[Caller, Cell]:
        """The caller, who has a session, and its cell. 401 without a credential, 403 with an API key."""
        caller = caller_of(request)
        if caller.kind == "key":
            raise ApiError(403, "FORBIDDEN", "an API key makes and ends no keys and sessions: sign in")
        if caller.kind != "session" or caller.reads_another:
            raise not_signed_in("sign in first: POST /api/auth/login")
        return caller, self.desk.accounts.cell_of(account_of(request))

    def row(self, cell: Cell, caller: Caller) -> AccessRow:
        """The account's sessions and keys as they are now."""
        account_id = str(caller.own_account_id)
        return cell.access(account_id) or AccessRow(account_id=account_id)

    async def change(self, cell: Cell, command: AccessCommand, kind: type[Told]) -> Told:
        """Carry a command out. ApiError when it is refused."""
        outcome = (await self.desk.settle(cell, command)).outcome
        if isinstance(outcome, Rejection):
            raise ApiError.of(outcome)
        if not isinstance(outcome, kind):
            raise TypeError(f"a change of access told of something else: {outcome!r}")
        return outcome

    def stamp(self, caller: Caller) -> dict[str, Any]:
        """What each command carries."""
        return self.desk.stamp(str(caller.own_account_id), caller.credential)


class SessionsView(CredentialsView):
    """GET and DELETE /api/auth/sessions"""

    async def get(self, request: web.Request) -> web.Response:
        """All that are alive."""
        caller, cell = self.signed_in(request)
        now_ms = int(time.time() * 1000)
        shown = [
            SessionShown(
                id=session.session_id,
                created_at=session.created_ms,
                expires_at=session.expires_ms,
                agent=session.agent,
                current=session.session_id == caller.credential_id,
            )
            for session in self.row(cell, caller).sessions.values()
            if now_ms < session.expires_ms
        ]
        return json_response(Sessions(sessions=shown))

    async def delete(self, request: web.Request) -> web.Response:
        """End all, the one that asks included."""
        caller, cell = self.signed_in(request)
        told = await self.change(cell, EndSessions(**self.stamp(caller)), SessionsEnded)
        return json_response(Done(message=f"{len(told.ended)} sessions ended."))


class SessionView(CredentialsView):
    """DELETE /api/auth/sessions/{id}"""

    async def delete(self, request: web.Request) -> web.Response:
        """End one."""
        caller, cell = self.signed_in(request)
        await self.change(
            cell, EndSessions(**self.stamp(caller), session_id=request.match_info["id"][:64]), SessionsEnded
        )
        return json_response(Done(message="The session has ended."))


class KeysView(CredentialsView):
    """GET and POST /api/v1/keys"""

    async def get(self, request: web.Request) -> web.Response:
        """All keys, without their secrets."""
        caller, cell = self.signed_in(request)
        return json_response(Keys(keys=[KeyShown(**_fields_of(key)) for key in self.row(cell, caller).keys.values()]))

    async def post(self, request: web.Request) -> web.Response:
        """Make one, whose secret the answer shows. Repeated with its Idempotency-Key it is the same."""
        caller, cell = self.signed_in(request)
        body = await read_body(request)
        asked, stamp = KeyRequest.read(body), self.stamp(caller)
        expires_ms = None if asked.expires_at is None else int(asked.expires_at)
        if expires_ms is not None and expires_ms <= stamp["time_ms"]:
            raise invalid_request("expiresAt", '"expiresAt" is over; send a time in the future, in ms since the epoch')
        keyed = idempotency_of(request, body)
        shown = new_key(stamp["account_id"]) if keyed is None else self._named_key(stamp["account_id"], keyed.key)
        command = CreateKey(
            **stamp,
            key_id=shown.key_id,
            name=asked.name.strip(),
            scopes=asked.scopes,
            secret=shown.digest,
            expires_ms=expires_ms,
        )
        told = await self.change(cell, command, KeyCreated)
        return json_response(NewKey(**_fields_of(told.key), key=str(shown)), 201)

    def _named_key(self, account_id: str, idempotency_key: str) -> ShownKey:
        """The key that this Idempotency-Key stands for: nobody without the platform's secret can know it."""
        seed = hmac.new(self.guard.keys.signing[-1], f"{account_id}\0{idempotency_key}".encode(), hashlib.sha512)
        digest = seed.hexdigest()
        return ShownKey(account_id, digest[:16], digest[16:80])


class KeyView(CredentialsView):
    """DELETE /api/v1/keys/{id}"""

    async def delete(self, request: web.Request) -> web.Response:
        """Revoke one."""
        caller, cell = self.signed_in(request)
        await self.change(cell, RevokeKey(**self.stamp(caller), key_id=request.match_info["id"][:64]), KeyRevoked)
        return json_response(Done(message="The API key is revoked."))


def _fields_of(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_ms,
        "expires_at": key.expires_ms,
    }
