"""How an operation of the OpenAPI document is written down, and the words that many have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exness_streams.api import bodies

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteText:
    """One operation of the document.

    answers: by status, the type of a JSON answer, or types by media type (str: any text).
    refusals: codes that it may answer; their statuses follow from errors.py.
    body_rule: JSON Schema of what the fields' types can't say. examples: bodies that work on a fresh start.
    query: JSON Schema and description of each query parameter. required: those that must be given.
    links: operations that take the answer's id on, by operation: (field of its body, field of this answer).
    frames: what a WebSocket sends. keyed: whether a body's request may have an Idempotency-Key. for_keys:
    whether an API key may ask.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Any]
    refusals: tuple[str, ...] = ()
    body: type[bodies.Request] | None = None
    body_rule: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    frames: tuple[type, ...] = ()
    for_account: bool = True
    keyed: bool = True
    for_keys: bool = True

    @property
    def is_public(self) -> bool:
        """Whether everybody may ask, signed in or not."""
        return not self.for_account and not self.path.startswith("/api/v1/operator/")


OF_AN_ACCOUNT = ("INVALID_REQUEST", "UNAUTHORIZED", "FORBIDDEN", "ACCOUNT_CHANGED", "NOT_READY", "REBALANCING")
OF_A_COMMAND = (
    *OF_AN_ACCOUNT,
    "UNSUPPORTED_MEDIA_TYPE",
    "PAYLOAD_TOO_LARGE",
    "IDEMPOTENCY_CONFLICT",
    "OVERLOADED",
    "OUTCOME_UNKNOWN",
)

TAGS = {
    "account": "What an account has",
    "positions": "Trading at the market",
    "orders": "Orders that wait for a price",
    "access": "Who may do what: sign-in, sessions, API keys",
    "markets": "Instruments and prices",
    "service": "For supervisors and programs",
}

MEANINGS = {
    "INVALID_REQUEST": "a field or header is missing, malformed or unknown (`details.field`)",
    "MISDIRECTED_REQUEST": "the request names a host that is not this platform",
    "REQUEST_TIMEOUT": "the body did not come in time",
    "UNSUPPORTED_MEDIA_TYPE": "the body is not sent as `application/json`",
    "PAYLOAD_TOO_LARGE": "the body is over 16 KB",
    "NOT_READY": "the worker is starting or stopping",
    "REBALANCING": "the account is moving to another worker, or may be",
    "OVERLOADED": "the account's cell is behind with what it has taken; nothing was done",
    "IDEMPOTENCY_CONFLICT": "the key was used for another request",
    "UNKNOWN_ASSET": "there is no such instrument (`details.allowed`)",
    "INVALID_LEVERAGE": "the leverage is out of the instrument's range",
    "INVALID_MARGIN": "the margin is out of range, or buys nothing",
    "POSITION_NOT_FOUND": "no such position is open",
    "ORDER_NOT_FOUND": "no such order is pending",
    "PRICE_UNAVAILABLE": "there is no quote, an old one, or an empty side of the book, or none come; nothing was done",
    "INVALID_PRICE": "a price is no multiple of the instrument's tick size (`details.nearest`)",
    "INVALID_TRIGGER": "a stop loss, take profit or the price of a stop order is on the wrong side of the market",
    "INSUFFICIENT_MARGIN": "margin and fee are more than the free cash",
    "SLIPPAGE_EXCEEDED": "the market is further away than `slippage` allows",
    "LIMIT_REACHED": "a limit on positions and orders, exposure or balance would be exceeded",
    "UPGRADE_REQUIRED": "it is a WebSocket",
    "FORBIDDEN": "pages of that Origin, or this credential, may not do that",
    "UNAUTHORIZED": "there is no session and no API key, or it is over",
    "ACCOUNT_CHANGED": "the request names another account than the one that is signed in",
    "MARKET_SETTLED": "the market was settled, for good",
    "LINK_USED": "the sign-in link was used before",
    "LINK_EXPIRED": "the sign-in link is too old",
    "SESSION_NOT_FOUND": "there is no such session",
    "KEY_NOT_FOUND": "there is no such API key",
    "MAIL_UNAVAILABLE": "no mail can be sent now",
    "RATE_LIMITED": "the account, the API key or the address asks too often, or begins too many accounts "
    "(`details.scope`, `details.limit`, `details.retryAfter`)",
    "OUTCOME_UNKNOWN": "it may have taken effect: repeat it with the same `Idempotency-Key` to learn the outcome",
}
"""What each code of a refusal means, in a few words."""
