"""The words of a refusal, made from its code and details: a refusal is kept as these two (decisions/0019).

So a sentence may be put better at any time. A code or the names of its details may not change: they are in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Detail = str | int | list[str]
Details = Mapping[str, Detail]


def words_of(code: str, details: Details) -> str:
    """One sentence for a person; just the code where a later release has kept what is not known here."""
    try:
        return _WORDS[code](details)
    except KeyError:
        return code.replace("_", " ").lower()


def _invalid_request(of: Details) -> str:
    if of["field"] == "expiresAt":
        return f"expiresAt must lie in the future: ms since the epoch, above {int(str(of['min'])) - 1}"
    lowest = f"at least {of['min']}, one step," if "min" in of else "more than 0"
    return f"{of['field']} must come to {lowest} and at most {of['max']}, the position's quantity"


def _idempotency_conflict(of: Details) -> str:
    if of.get("usedFor") == "key":
        return "this Idempotency-Key was used for another API key; use a new one for a new key"
    return "this Idempotency-Key was used for another request; use a new key for a new request"


def _invalid_leverage(of: Details) -> str:
    if "max" in of:
        return f"leverage must be from {of['min']} to {of['max']} for {of['symbol']}"
    return f"at leverage {of['leverage']} the spread alone would liquidate the position at once"


def _invalid_margin(of: Details) -> str:
    if "max" in of:
        return f"margin must be from {of['min']} to {of['max']} USD"
    if "step" in of:
        return f"margin × leverage is too small to buy {of['step']}, one step of the quantity, at {of['price']}"
    return f"margin is too small to buy anything at {of['price']}"


def _invalid_trigger(of: Details) -> str:
    if "above" in of and "below" in of:
        return f"{of['field']} must be between {of['above']} and {of['below']}"
    bound = "above" if "above" in of else "below"
    allowed = f"{of['field']} must be {bound} {of[bound]}"
    return f"{allowed} for a {of['order']}: the market is there already" if "order" in of else allowed


_NO_PRICE: dict[Detail, Callable[[Details], str]] = {
    "no_quote": lambda of: "no quote has arrived yet",
    "ahead": lambda of: f"the last quote is {of['aheadMs']} ms ahead of the clock",
    "old": lambda of: f"the last quote is {of['ageMs']} ms old, at most {of['ageMsMax']} ms is allowed",
    "no_ask": lambda of: "the market has no ask",
    "no_bid": lambda of: "the market has no bid",
    "close_only": lambda of: "positions in it may only be closed",
    "suspended": lambda of: "it is suspended until its newest prices are confirmed",
    "halted": lambda of: "trading in it is halted",
    "settled": lambda of: "it was settled: its positions were closed for good",
}


def _price_unavailable(of: Details) -> str:
    if "positions" in of:
        return "no position has a price at which it can be closed now"
    return f"no price to trade {of['symbol']} on: {_NO_PRICE[of['reason']](of)}"


_LIMITS: dict[Detail, Callable[[Details], str]] = {
    "open": lambda of: f"at most {of['max']} positions and pending orders may be open at a time",
    "exposure": lambda of: (
        f"the exposure in {of['symbol']} would be {of['required']} USD (margin × leverage), at most {of['max']} USD "
        "is allowed"
    ),
    "balance": lambda of: f"the balance would pass {of['max']} USD",
    "keys": lambda of: f"an account has at most {of['max']} API keys: revoke one",
}


def _forbidden(of: Details) -> str:
    if of.get("scope") == "trade":
        return 'this API key has no scope "trade": it may read only'
    return "an API key makes and ends no keys and sessions: sign in"


_WORDS: dict[str, Callable[[Details], str]] = {
    "UNAUTHORIZED": lambda of: "this session or API key is over: sign in again",
    "FORBIDDEN": _forbidden,
    "INVALID_REQUEST": _invalid_request,
    "IDEMPOTENCY_CONFLICT": _idempotency_conflict,
    "INVALID_LEVERAGE": _invalid_leverage,
    "INVALID_MARGIN": _invalid_margin,
    "LINK_USED": lambda of: "this link has been used: ask for a new one",
    "LINK_EXPIRED": lambda of: "this link is too old: ask for a new one",
    "SESSION_NOT_FOUND": lambda of: "there is no such session",
    "KEY_NOT_FOUND": lambda of: "there is no such API key",
    "POSITION_NOT_FOUND": lambda of: f"no open position {of['positionId']}",
    "ORDER_NOT_FOUND": lambda of: f"no pending order {of['orderId']}",
    "PRICE_UNAVAILABLE": _price_unavailable,
    "INVALID_TRIGGER": _invalid_trigger,
    "INSUFFICIENT_MARGIN": lambda of: f"{of['required']} USD needed (margin and fee), {of['available']} USD free",
    "SLIPPAGE_EXCEEDED": lambda of: (
        f"the market is at {of['price']}, more than {of['slippage']} % worse than {of['referencePrice']}"
    ),
    "LIMIT_REACHED": lambda of: _LIMITS[of["limit"]](of),
}
