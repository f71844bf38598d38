"""Times as the exchange, and others, write them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_INTEGER = re.compile(r"[0-9]{9,17}")


def utc_ms(value: object) -> int | None:
    """A time as ms since the epoch: ISO text without a zone, which Backpack means as UTC, or a whole number.

    A number is of seconds, ms or µs, which its size tells: of the years 1973 to 5138. None for all else.
    """
    if type(value) is str and _INTEGER.fullmatch(value) is not None:
        value = int(value)
    if type(value) is int:
        return _number_ms(value)
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value.removesuffix("Z"))
        return int(moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _number_ms(number: int) -> int | None:
    if 10**8 <= number < 10**11:
        return number * 1000
    if 10**11 <= number < 10**14:
        return number
    return number // 1000 if 10**14 <= number < 10**17 else None
