"""`Retry-After`, as an exchange answers with 429 or 503: heeded, but not for ever."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

RETRY_AFTER_S_MAX = 600.0
"""Nobody is silent for longer because an exchange, or whoever answers for it, wants it."""


def retry_after_s(status: int, header: str, now_s: float | None = None) -> float | None:
    """Seconds for which no request may be sent; None when the answer does not say so.

    header: whole seconds or an HTTP date. now_s: since the epoch, our clock unless given.
    """
    if status not in (429, 503) or not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_S_MAX) if len(text) < 10 else RETRY_AFTER_S_MAX
    try:
        due_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(0.0, due_s - (time.time() if now_s is None else now_s)), RETRY_AFTER_S_MAX)
