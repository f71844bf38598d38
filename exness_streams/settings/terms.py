"""The terms of instruments in the settings: what each may be, and EXNESS_TERMS, which overrides them per symbol."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma

# A description says what is allowed: it ends the one line about a wrong value.
FeeRate = Annotated[
    Decimal,
    Field(
        ge=0,
        lt=Decimal("0.1"),
        decimal_places=8,
        description="a fraction from 0 to below 0.1 with at most 8 decimal places",
    ),
]
MaintenanceMarginRate = Annotated[
    Decimal,
    Field(
        ge=0,
        lt=Decimal("0.5"),
        decimal_places=8,
        description="a fraction from 0 to below 0.5 with at most 8 decimal places",
    ),
]
SpreadRate = Annotated[
    Decimal,
    Field(
        ge=0,
        lt=Decimal("0.5"),
        decimal_places=8,
        description="a fraction from 0 to below 0.5 with at most 8 decimal places",
    ),
]
PriceBand = Annotated[
    Decimal,
    Field(
        ge=0,
        lt=1,
        decimal_places=8,
        description="a fraction from 0 (off) to below 1 with at most 8 decimal places",
    ),
]
MaxLeverage = Annotated[
    Decimal,
    Field(ge=1, le=1_000, decimal_places=2, description="a number from 1 to 1000 with at most 2 decimal places"),
]
MinMargin = Annotated[
    Decimal,
    Field(
        ge=Decimal("0.01"),
        le=10**6,
        decimal_places=8,
        description="an amount from 0.01 to 1000000 with at most 8 decimal places",
    ),
]

FORM = '{"SOL_USDC":{"feeRate":0.0005,"maxLeverage":20}}'
PRICE_BAND = "price_band"
"""No field of Terms: it is the framer's, and stamped into no command."""

_SHOWN_MAX = 160
_NUMBER_WITH_COMMA = re.compile(r":\s*-?[0-9]+,[0-9]")


_FIELDS: dict[str, tuple[str, Any]] = {
    "feeRate": ("fee_rate", FeeRate),
    "maintenanceMarginRate": ("maintenance_margin_rate", MaintenanceMarginRate),
    "spreadRate": ("spread_rate", SpreadRate),
    "priceBand": (PRICE_BAND, PriceBand),
    "maxLeverage": ("leverage_max", MaxLeverage),
    "minMargin": ("margin_min", MinMargin),
}
"""Name in EXNESS_TERMS (that of the API) → name in Terms (or PRICE_BAND), and what it may be."""


def parse_terms(text: str, symbols: Collection[str]) -> dict[str, dict[str, Decimal]]:
    """The overrides in `text`, a JSON object: symbol → field → value. '' has none. ValueError in one line."""
    if not text.strip():
        return {}
    try:
        document = json.loads(
            text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        said = f": {error}" if isinstance(error, _Repeated) else ""
        if _NUMBER_WITH_COMMA.search(text):
            said += f": {DECIMAL_COMMA}"
        raise ValueError(f"{_shown(text)} is not allowed; it must be a JSON object such as {FORM}{said}") from None
    if not isinstance(document, dict) or not all(isinstance(one, dict) for one in document.values()):
        raise ValueError(f"{_shown(text)} is not allowed; it must be an object of objects such as {FORM}")
    for symbol in document:
        if symbol not in symbols:
            raise ValueError(
                f"{_shown(text)} is not allowed; {_shown(symbol)} must be one of the instruments {', '.join(symbols)}"
            )
    return {
        symbol: dict(_override(text, symbol, name, value) for name, value in fields.items())
        for symbol, fields in document.items()
    }


def _override(text: str, symbol: str, name: str, value: Any) -> tuple[str, Decimal]:
    if name not in _FIELDS:
        names = ", ".join(_FIELDS)
        raise ValueError(f"{_shown(text)} is not allowed; {_shown(name)} of {symbol} must be one of {names}")
    field, kind = _FIELDS[name]
    try:
        allowed: Decimal = TypeAdapter(kind).validate_python(value)
    except ValidationError:
        must = kind.__metadata__[0].description
        comma = f": {DECIMAL_COMMA}" if has_decimal_comma(str(value)) else ""
        raise ValueError(
            f"{_shown(text)} is not allowed; {name} of {symbol} must be {must}, not {_shown(str(value))}{comma}"
        ) from None
    return field, allowed


class _Repeated(ValueError):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Repeated("a name occurs twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _shown(text: str) -> str:
    """A value in one line, shortened."""
    line = " ".join(text.split())
    line = line if line.isprintable() else repr(line)
    return line if len(line) <= _SHOWN_MAX else line[: _SHOWN_MAX - 1] + "…"
