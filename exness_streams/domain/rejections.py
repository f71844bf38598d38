"""Why a command is refused. A rejection is a value, not an exception.

The members of RejectionCode stand in order of precedence: of all that is wrong with a command, the first
one listed is what the client hears (tests/unit/test_rejections.py). One exception: a leverage that only the
spread forbids and a margin that only the price makes too small can't be known before there is a price, so
these two stand behind PRICE_UNAVAILABLE.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class RejectionCode(str, Enum):
    """Codes of the public API. INVALID_REQUEST and UNKNOWN_ASSET are the edge's alone, the rest the fold's.

    IDEMPOTENCY_CONFLICT stands before all that looks at what the request asks for: a repeat is answered as the
    first time, even when terms and instruments have changed since. So the edge looks for a remembered outcome
    before it checks anything but the request's form.
    """

    INVALID_REQUEST = "INVALID_REQUEST"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    UNKNOWN_ASSET = "UNKNOWN_ASSET"
    INVALID_LEVERAGE = "INVALID_LEVERAGE"
    INVALID_MARGIN = "INVALID_MARGIN"
    POSITION_NOT_FOUND = "POSITION_NOT_FOUND"
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE"
    INVALID_TRIGGER = "INVALID_TRIGGER"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    SLIPPAGE_EXCEEDED = "SLIPPAGE_EXCEEDED"
    LIMIT_REACHED = "LIMIT_REACHED"


class Rejection(msgspec.Struct, frozen=True, tag="CommandRejected"):
    """The outcome of a command that changed nothing.

    message: one sentence for a person. details: values a program can use, JSON types only.
    """

    code: RejectionCode
    message: str
    details: dict[str, str | int | list[str]] = {}
