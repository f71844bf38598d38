"""Trades as CSV (RFC 4180), safe to open in a spreadsheet; and whether a client wants it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from decimal import Decimal

from exness_streams.messages import TradeMessage

MEDIA_TYPE = "text/csv"

COLUMNS = TradeMessage.__struct_encode_fields__
"""The fields of the JSON trades, by their names there."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a text for a formula."""

_QUALITY = re.compile(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def header_line() -> bytes:
    """The names of the columns."""
    return _lines([COLUMNS])


def trade_lines(trades: Iterable[TradeMessage]) -> bytes:
    """One line a trade. Numbers are written out exactly; a text that a spreadsheet would compute gets a ' before it."""
    return _lines([_cell(getattr(trade, name)) for name in TradeMessage.__struct_fields__] for trade in trades)


def _cell(value: str | int | Decimal) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(value)
    return "'" + value if value.startswith(_FORMULA) else value


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def is_wanted(accept: str) -> bool:
    """Whether a header Accept prefers CSV to JSON. Named beside */* it is preferred; on a par with JSON it is not."""
    qualities = dict(_media_ranges(accept))

    def quality_of(media: str) -> float:
        for pattern in (media, media.split("/")[0] + "/*", "*/*"):
            if pattern in qualities:
                return qualities[pattern]
        return 0.0

    of_csv, of_json = quality_of(MEDIA_TYPE), quality_of("application/json")
    is_named = MEDIA_TYPE in qualities and "application/json" not in qualities
    return of_csv > of_json or (of_csv == of_json > 0 and is_named)


def _media_ranges(accept: str) -> Iterable[tuple[str, float]]:
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter[:1] in "qQ" and (found := _QUALITY.fullmatch(parameter)):
                quality = float(found[1])
        if media:
            yield media.lower(), quality
