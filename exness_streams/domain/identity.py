"""Who may act for an account: its sessions and API keys, and how a sign-in link becomes a session. Pure.

They are commands of the account's own cell, so they hold on every worker and over restarts. No secret is in here, only
digests (SHA-256, hex) of what its holder shows.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exness_streams.domain.rejections import Rejection, RejectionCode

SESSIONS_MAX = 32
"""Of an account at a time: the oldest ends when another begins."""

KEYS_MAX = 20
"""Of an account at a time, expired ones that were not revoked included."""

Scope = Literal["read", "trade"]


class AccessCommandBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each of these commands carries, as trading commands do. credential: who asks, where it is the account."""

    command_id: str
    account_id: str
    time_ms: int
    credential: str | None = None


class RedeemLink(AccessCommandBase, frozen=True, kw_only=True, tag="RedeemLink"):
    """Begin a session by a link, which does so once; with the same nonce again it gives the same session.

    link, nonce: digests; nonce "" is like no other. session_id: of the session, if one begins. agent: what the client
    says that it is.
    """

    link: str
    nonce: str
    link_expires_ms: int
    session_id: str
    session_expires_ms: int
    agent: str = ""


class EndSessions(AccessCommandBase, frozen=True, kw_only=True, tag="EndSessions"):
    """Sign out: one session, or with None all of them."""

    session_id: str | None = None


class CreateKey(AccessCommandBase, frozen=True, kw_only=True, tag="CreateKey"):
    """Make an API key; the same command again gives the same key. secret: digest of what the client will show."""

    key_id: str
    name: str
    scopes: list[Scope]
    secret: str
    expires_ms: int | None = None


class RevokeKey(AccessCommandBase, frozen=True, kw_only=True, tag="RevokeKey"):
    """End an API key."""

    key_id: str


AccessCommand = RedeemLink | EndSessions | CreateKey | RevokeKey


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that has not ended. created_ms, expires_ms: since the epoch."""

    session_id: str
    created_ms: int
    expires_ms: int
    agent: str = ""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A program's way in. secret: digest. expires_ms: None for never."""

    key_id: str
    name: str
    scopes: list[Scope]
    secret: str
    created_ms: int
    expires_ms: int | None = None


class RedeemedLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that has been used, kept until it would be over anyway."""

    nonce: str
    session_id: str
    expires_ms: int


class AccessRow(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about who may act for one account. applied_offset: the journal record that made this row."""

    account_id: str
    applied_offset: int = -1
    sessions: dict[str, Session] = {}
    keys: dict[str, ApiKey] = {}
    links: dict[str, RedeemedLink] = {}

    def session(self, session_id: str, time_ms: int) -> Session | None:
        """A session that is alive at that time."""
        found = self.sessions.get(session_id)
        return found if found is not None and time_ms < found.expires_ms else None

    def key(self, key_id: str, time_ms: int) -> ApiKey | None:
        """A key that is valid at that time."""
        found = self.keys.get(key_id)
        return found if found is not None and (found.expires_ms is None or time_ms < found.expires_ms) else None


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True, tag="SessionStarted"):
    """A link was redeemed. ended: older sessions that made room."""

    session: Session
    ended: list[str] = []


class SessionsEnded(msgspec.Struct, frozen=True, kw_only=True, tag="SessionsEnded"):
    """These sessions are over."""

    ended: list[str]


class KeyCreated(msgspec.Struct, frozen=True, kw_only=True, tag="KeyCreated"):
    """There is a new API key."""

    key: ApiKey


class KeyRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="KeyRevoked"):
    """An API key is over."""

    key_id: str


AccessOutcome = SessionStarted | SessionsEnded | KeyCreated | KeyRevoked


class Ended(msgspec.Struct, frozen=True):
    """Credentials of an account that ended by a record: what they opened is closed."""

    account_id: str
    credentials: list[str]


def of_session(session_id: str) -> str:
    """A session as the credential of a command."""
    return f"session/{session_id}"


def of_key(key_id: str) -> str:
    """An API key as the credential of a command."""
    return f"key/{key_id}"


def not_signed_in() -> Rejection:
    """The credential is none, or over."""
    return Rejection(RejectionCode.UNAUTHORIZED)


def refused(row: AccessRow | None, credential: str, time_ms: int, *, trading: bool) -> Rejection | None:
    """Why a command with this credential is not carried out; None when it is. trading: it changes more than access."""
    kind, _, name = credential.partition("/")
    if row is None:
        return not_signed_in()
    if kind == "session":
        return None if row.session(name, time_ms) is not None else not_signed_in()
    key = row.key(name, time_ms)
    if key is None:
        return not_signed_in()
    if not trading:
        return Rejection(RejectionCode.FORBIDDEN)
    if "trade" not in key.scopes:
        return Rejection(RejectionCode.FORBIDDEN, details={"scope": "trade"})
    return None


def change_access(row: AccessRow, command: AccessCommand) -> tuple[AccessRow, AccessOutcome] | Rejection:
    """What a command does to an account's sessions and keys. Those that are over by then are forgotten."""
    row = _without_the_past(row, command.time_ms)
    match command:
        case RedeemLink():
            return _redeem(row, command)
        case EndSessions():
            return _end_sessions(row, command)
        case CreateKey():
            return _create_key(row, command)
        case RevokeKey():
            if command.key_id not in row.keys:
                return Rejection(RejectionCode.KEY_NOT_FOUND, details={"id": command.key_id})
            kept = {name: key for name, key in row.keys.items() if name != command.key_id}
            return msgspec.structs.replace(row, keys=kept), KeyRevoked(key_id=command.key_id)


def ended_by(outcome: object, account_id: str) -> Ended | None:
    """The credentials that are over since then, None for none."""
    match outcome:
        case SessionStarted(ended=ended) | SessionsEnded(ended=ended) if ended:
            return Ended(account_id, [of_session(name) for name in ended])
        case KeyRevoked():
            return Ended(account_id, [of_key(outcome.key_id)])
    return None


def _without_the_past(row: AccessRow, time_ms: int) -> AccessRow:
    sessions = {name: session for name, session in row.sessions.items() if time_ms < session.expires_ms}
    links = {name: link for name, link in row.links.items() if time_ms < link.expires_ms}
    return msgspec.structs.replace(row, sessions=sessions, links=links)


def _redeem(row: AccessRow, command: RedeemLink) -> tuple[AccessRow, AccessOutcome] | Rejection:
    used = row.links.get(command.link)
    if used is not None:
        session = row.sessions.get(used.session_id)
        if session is not None and command.nonce and used.nonce == command.nonce:
            return row, SessionStarted(session=session)
        return Rejection(RejectionCode.LINK_USED)
    if command.link_expires_ms <= command.time_ms:
        return Rejection(RejectionCode.LINK_EXPIRED)
    session = Session(
        session_id=command.session_id,
        created_ms=command.time_ms,
        expires_ms=command.session_expires_ms,
        agent=command.agent,
    )
    ended = list(row.sessions)[: max(0, len(row.sessions) + 1 - SESSIONS_MAX)]  # in the order in which they began
    kept = {name: other for name, other in row.sessions.items() if name not in ended}
    redeemed = RedeemedLink(nonce=command.nonce, session_id=command.session_id, expires_ms=command.link_expires_ms)
    changed = msgspec.structs.replace(
        row, sessions={**kept, session.session_id: session}, links={**row.links, command.link: redeemed}
    )
    return changed, SessionStarted(session=session, ended=ended)


def _end_sessions(row: AccessRow, command: EndSessions) -> tuple[AccessRow, AccessOutcome] | Rejection:
    if command.session_id is None:
        return msgspec.structs.replace(row, sessions={}), SessionsEnded(ended=list(row.sessions))
    if command.session_id not in row.sessions:
        return Rejection(RejectionCode.SESSION_NOT_FOUND, details={"id": command.session_id})
    kept = {name: session for name, session in row.sessions.items() if name != command.session_id}
    return msgspec.structs.replace(row, sessions=kept), SessionsEnded(ended=[command.session_id])


def _create_key(row: AccessRow, command: CreateKey) -> tuple[AccessRow, AccessOutcome] | Rejection:
    known = row.keys.get(command.key_id)
    if known is not None:
        asked = (command.name, command.scopes, command.secret, command.expires_ms)
        if (known.name, known.scopes, known.secret, known.expires_ms) == asked:
            return row, KeyCreated(key=known)
        return Rejection(
            RejectionCode.IDEMPOTENCY_CONFLICT,
            details={"field": "Idempotency-Key", "usedFor": "key"},
        )
    if len(row.keys) >= KEYS_MAX:
        return Rejection(
            RejectionCode.LIMIT_REACHED,
            details={"limit": "keys", "max": KEYS_MAX},
        )
    key = ApiKey(
        key_id=command.key_id,
        name=command.name,
        scopes=command.scopes,
        secret=command.secret,
        created_ms=command.time_ms,
        expires_ms=command.expires_ms,
    )
    return msgspec.structs.replace(row, keys={**row.keys, key.key_id: key}), KeyCreated(key=key)
