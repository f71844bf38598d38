"""Why a command is refused. A rejection is a value, not an exception.

The members of RejectionCode stand in order of precedence: of all that is wrong with a command, the first
one listed is what the client hears (tests/unit/test_rejections.py).
"""

from __future__ import annotations

from enum import Enum

import msgspec


class RejectionCode(str, Enum):
    """Codes of the public API. The first three groups are decided before a command reaches the journal."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNKNOWN_ASSET = "UNKNOWN_ASSET"
    INVALID_LEVERAGE = "INVALID_LEVERAGE"
    INVALID_MARGIN = "INVALID_MARGIN"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
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
