"""The intervals of the exchange's klines, and where each of them begins, UTC."""

from __future__ import annotations

from datetime import datetime, timezone

from exness_streams.market_data.rest import INTERVALS_S

MONTH = "1month"
_DAY_S = 86_400
_LENGTHS_S = {**INTERVALS_S, "3d": 3 * _DAY_S, "1w": 7 * _DAY_S}
_FIRST_MONDAY_S = 4 * _DAY_S

KLINE_INTERVALS = (*_LENGTHS_S, MONTH)


def begin_of(interval: str, time_s: int) -> int:
    """The beginning of the interval that a time is in: weeks begin on Mondays, months with their first day."""
    if interval == MONTH:
        moment = datetime.fromtimestamp(time_s, timezone.utc)
        return int(datetime(moment.year, moment.month, 1, tzinfo=timezone.utc).timestamp())
    length_s, first_s = _LENGTHS_S[interval], _FIRST_MONDAY_S if interval == "1w" else 0
    return (time_s - first_s) // length_s * length_s + first_s


def end_of(interval: str, begin_s: int) -> int:
    """Where the interval that begins there ends, and the next one begins."""
    if interval == MONTH:
        return begin_of(MONTH, begin_s + 31 * _DAY_S)
    return begin_s + _LENGTHS_S[interval]
