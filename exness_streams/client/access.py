"""What the API says of who asks: sign-in, sessions and API keys. Open to fields and words of later versions."""

from __future__ import annotations

import msgspec


class Done(msgspec.Struct, frozen=True):
    """What was done, in words."""

    message: str


class UserSeen(msgspec.Struct, frozen=True):
    """Who a link was mailed to."""

    email: str
    verified: bool = True


class SignedIn(msgspec.Struct, frozen=True, rename="camel"):
    """A session that has begun. expires_at: ms. token: the secret, only for programs; never show it."""

    user: UserSeen
    account: str
    expires_at: int
    token: str | None = None
    message: str = ""

    def __repr__(self) -> str:
        return f"SignedIn(account={self.account!r}, expires_at={self.expires_at})"


class Caller(msgspec.Struct, frozen=True, rename="camel"):
    """Who the platform takes the client for. kind: guest, open, session or key. expires_at: ms."""

    auth: str
    kind: str
    account: str | None = None
    email: str | None = None
    scopes: list[str] = []
    operator: bool = False
    expires_at: int | None = None


class SessionSeen(msgspec.Struct, frozen=True, rename="camel"):
    """A session of the account. created_at, expires_at: ms. agent: of what signed in. current: the one that asks."""

    id: str
    created_at: int
    expires_at: int
    agent: str = ""
    current: bool = False


class SessionsSeen(msgspec.Struct, frozen=True):
    """All sessions of the account that have not ended."""

    sessions: list[SessionSeen]


class KeySeen(msgspec.Struct, frozen=True, rename="camel"):
    """An API key without its secret. scopes: read, trade. created_at, expires_at: ms; None: it does not expire."""

    id: str
    name: str
    scopes: list[str]
    created_at: int
    expires_at: int | None = None


class NewKey(KeySeen, frozen=True, kw_only=True, rename="camel"):
    """An API key that was just made. key: the secret, told this once."""

    key: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, name={self.name!r})"


class KeysSeen(msgspec.Struct, frozen=True):
    """The account's API keys that were not revoked."""

    keys: list[KeySeen]
