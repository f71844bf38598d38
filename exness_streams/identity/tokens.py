"""Signed tokens (JWT, HS256): mailed links, sessions, and what workers pass on to each other."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import jwt

from exness_streams.identity.secret_keys import SecretKeys

ALGORITHM = "HS256"
LINK_LIFE_MS = 15 * 60 * 1000
SESSION_LIFE_MS = 30 * 24 * 3600 * 1000
PASSING_LIFE_S = 60
"""How long what was passed on may be under way, differences between the machines' clocks included."""

TOKEN_MAX = 2_048
"""Characters. A token of ours is shorter."""

_LINK, _SESSION, _PASSING = "link", "session", "passing"


class NotOurs(Exception):
    """A token that none of our keys has signed, of another kind, out of shape, or over. str(): why, for a person."""


class Link(NamedTuple):
    """A mailed link. digest: what names it in commands."""

    account_id: str
    email: str
    digest: str
    expires_ms: int


class SessionToken(NamedTuple):
    """A session as its holder shows it."""

    account_id: str
    session_id: str
    email: str
    expires_ms: int


class Tokens:
    """Signs with the first key, verifies with all."""

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys

    def link(self, account_id: str, email: str, name: str, now_ms: int) -> str:
        """A token for a mail. name: random, of this link alone."""
        claims = {"acc": account_id, "email": email, "jti": name, "exp": (now_ms + LINK_LIFE_MS) // 1000}
        return self._signed(_LINK, claims)

    def read_link(self, token: str) -> Link:
        """A link whose signature and shape are right; the account's cell knows whether it is over. NotOurs."""
        found = self._read(_LINK, token, ("acc", "email", "jti"), verify_exp=False)
        digest = hashlib.sha256(found["jti"].encode()).hexdigest()
        return Link(found["acc"], found["email"], digest, found["exp"] * 1000)

    def session(self, account_id: str, session_id: str, email: str, expires_ms: int) -> str:
        """A token for a session that has begun."""
        return self._signed(_SESSION, {"acc": account_id, "sid": session_id, "email": email, "exp": expires_ms // 1000})

    def read_session(self, token: str) -> SessionToken:
        """A session whose token is in order; its account's cell knows whether it is alive. NotOurs."""
        found = self._read(_SESSION, token, ("acc", "sid", "email"))
        return SessionToken(found["acc"], found["sid"], found["email"], found["exp"] * 1000)

    def passing(self, claims: dict[str, Any], now_s: int) -> str:
        """A token for a request that is passed on to another worker."""
        return self._signed(_PASSING, {**claims, "exp": now_s + PASSING_LIFE_S})

    def read_passing(self, token: str) -> dict[str, Any]:
        """The claims of a worker's. NotOurs."""
        return self._read(_PASSING, token, ())

    def _signed(self, kind: str, claims: dict[str, Any]) -> str:
        return jwt.encode({**claims, "aud": kind}, self._keys.signing[0], ALGORITHM)

    def _read(self, kind: str, token: str, texts: tuple[str, ...], *, verify_exp: bool = True) -> dict[str, Any]:
        if len(token) > TOKEN_MAX:
            raise NotOurs("it is too long")
        why = "it is not one of this platform's"
        for key in self._keys.signing:
            try:
                found: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    [ALGORITHM],
                    audience=kind,
                    options={"require": ["exp", "aud"], "verify_exp": verify_exp},
                )
            except jwt.ExpiredSignatureError:
                raise NotOurs("it is over") from None
            except (jwt.PyJWTError, ValueError):
                continue
            if isinstance(found["exp"], int) and all(isinstance(found.get(name), str) for name in texts):
                return found
        raise NotOurs(why)
