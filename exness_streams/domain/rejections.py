"""Why a command is refused. A rejection is a value, not an exception.

The members of RejectionCode stand in order of precedence: of all that is wrong with a command, the first
one listed is what the client hears (tests/unit/test_rejections.py). The exceptions are what can't be known before
something else is: a leverage that only the spread forbids and a margin that only the price makes too small stand
behind PRICE_UNAVAILABLE. An INVALID_REQUEST is told first when the request's form is wrong. When only the clock can
tell (`expiresAt` is over by now) it stands behind UNKNOWN_ASSET, and when only the position can (its quantity is less
than what is to be closed) behind PRICE_UNAVAILABLE.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from exness_streams.domain.refusal_words import words_of


class RejectionCode(str, Enum):
    """Codes of the public API. UNKNOWN_ASSET and INVALID_REQUEST of a wrong form are the edge's alone, the rest the
    fold's.

    IDEMPOTENCY_CONFLICT stands before all that looks at what the request asks for: a repeat is answered as the
    first time, even when terms and instruments have changed since. So the edge looks for a remembered outcome
    before it checks anything but the request's form.
    """

    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    INVALID_REQUEST = "INVALID_REQUEST"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    UNKNOWN_ASSET = "UNKNOWN_ASSET"
    INVALID_LEVERAGE = "INVALID_LEVERAGE"
    INVALID_MARGIN = "INVALID_MARGIN"
    LINK_USED = "LINK_USED"
    LINK_EXPIRED = "LINK_EXPIRED"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    POSITION_NOT_FOUND = "POSITION_NOT_FOUND"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE"
    INVALID_TRIGGER = "INVALID_TRIGGER"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    SLIPPAGE_EXCEEDED = "SLIPPAGE_EXCEEDED"
    LIMIT_REACHED = "LIMIT_REACHED"


OF_ACCESS = frozenset(
    {
        RejectionCode.UNAUTHORIZED,
        RejectionCode.FORBIDDEN,
        RejectionCode.LINK_USED,
        RejectionCode.LINK_EXPIRED,
        RejectionCode.SESSION_NOT_FOUND,
        RejectionCode.KEY_NOT_FOUND,
    }
)
"""About who asks, and not about what is asked for (identity.py)."""


class Rejection(msgspec.Struct, frozen=True, omit_defaults=True, tag="CommandRejected"):
    """The outcome of a command that changed nothing.

    details: values a program can use, JSON types only. message: the words, of one that was kept under the first rules;
    "" where they follow from code and details.
    """

    code: RejectionCode
    message: str = ""
    details: dict[str, str | int | list[str]] = {}

    @property
    def words(self) -> str:
        """One sentence for a person."""
        return self.message or words_of(self.code.value, self.details)


FIRST_WITHOUT: dict[RejectionCode, frozenset[str]] = {
    RejectionCode.INVALID_LEVERAGE: frozenset({"symbol", "leverage"}),
    RejectionCode.INVALID_MARGIN: frozenset({"price"}),
    RejectionCode.PRICE_UNAVAILABLE: frozenset({"reason", "ageMs", "ageMsMax", "aheadMs"}),
    RejectionCode.INVALID_TRIGGER: frozenset({"order"}),
    RejectionCode.LIMIT_REACHED: frozenset({"symbol"}),
}
"""Details that were not told under the first rules, where the words alone said it."""


def by_first_rules(rejection: Rejection) -> Rejection:
    """As it is kept and told under the first rules: with its words, and without what was told by these alone."""
    without = FIRST_WITHOUT.get(rejection.code, frozenset())
    details = {name: said for name, said in rejection.details.items() if name not in without}
    return Rejection(rejection.code, rejection.words, details)
