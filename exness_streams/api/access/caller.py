"""Who asks: found once for a request, where it is taken; whether that still holds, the account's cell knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from aiohttp import web

from exness_streams.api.errors import SIGN_IN, ApiError, invalid_request
from exness_streams.domain.identity import of_key, of_session
from exness_streams.identity.api_keys import ShownKey

DEFAULT_ACCOUNT = "demo"
COOKIE = "exness_session"
_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")

Kind = Literal["guest", "open", "session", "key"]


class Caller(NamedTuple):
    """Whom a request comes from, and whose account it is about.

    account_id: None for a guest, who has none. own_account_id: of the credential; it differs for an operator who reads
    another's account. credential_id: of the session or key. shown_key: an API key as it was shown.
    """

    kind: Kind
    account_id: str | None
    own_account_id: str | None = None
    credential_id: str = ""
    email: str = ""
    expires_ms: int | None = None
    is_operator: bool = False
    shown_key: ShownKey | None = None

    @property
    def credential(self) -> str | None:
        """As commands carry it."""
        if self.kind == "session":
            return of_session(self.credential_id)
        return of_key(self.credential_id) if self.kind == "key" else None

    @property
    def reads_another(self) -> bool:
        """Whether an operator looks at an account of somebody else."""
        return self.own_account_id is not None and self.own_account_id != self.account_id


NOBODY = Caller("guest", None)

CALLER = web.RequestKey("caller", Caller)
REFUSED = web.RequestKey("refused", ApiError)
PASSED_ON = web.RequestKey[Mapping[str, Any]]("passed_on", Mapping)
"""What a worker signed when it passed the request on."""


def caller_of(request: web.Request) -> Caller:
    """Who asks. 401 or 409 when that can't be said, or is contradictory."""
    found: Caller | None = request.get(CALLER)  # or there is REFUSED
    if found is not None:
        return found
    if REFUSED in request:
        raise request[REFUSED]
    return Caller("open", named_account(request))


def account_of(request: web.Request) -> str:
    """The account that a request is about. 401 for a guest."""
    account_id = caller_of(request).account_id
    if account_id is None:
        raise not_signed_in("sign in, or send an API key")
    return account_id


def named_account(request: web.Request) -> str:
    """The account that a request names itself: in X-Account, a stream also in ?account=, else `demo`."""
    return _named(request) or DEFAULT_ACCOUNT


def _named(request: web.Request) -> str | None:
    for name, text in (("account", request.query.get("account") if is_stream(request) else None),
                       ("X-Account", request.headers.get("X-Account"))):  # fmt: skip
        if text is not None and not _ACCOUNT.fullmatch(text):
            allowed = "use 1 to 64 letters, digits, underscores or hyphens"
            raise invalid_request("X-Account", f"{name} does not name an account; {allowed}")
        if text is not None:
            return text
    return None


def is_stream(request: web.Request) -> bool:
    """Whether it asks for a live stream, which a browser can give no header."""
    return request.path in ("/ws", "/") and request.headers.get("Upgrade", "").lower() == "websocket"


def acting_for(caller: Caller, request: web.Request) -> Caller:
    """A session or key, and the account that the request names: its own, or for an operator any that is only read.

    A stream is of one's own account: what another's cell knows of an operator's session is a moment old.
    """
    named = _named(request)
    if named is None or named == caller.account_id:
        return caller
    if caller.is_operator and request.method in ("GET", "HEAD") and not is_stream(request):
        return caller._replace(account_id=named)
    raise ApiError(
        409,
        "ACCOUNT_CHANGED",
        "the request names another account than the one that is signed in: load the account anew",
        {"field": "X-Account"},
    )


def not_signed_in(words: str) -> ApiError:
    """401: what to do, as a sentence."""
    return ApiError(401, "UNAUTHORIZED", words, None, SIGN_IN)
