"""Money, prices and quantities: Decimal, rounded in one way, written in one form."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from decimal import (
    MAX_EMAX,
    MAX_PREC,
    MIN_EMIN,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)

DECIMAL_COMMA = "a decimal comma is not read, write a decimal point as in 1.5"
"""What is said of a number such as 1,5: read as 15 or cut to 1 it would be another one."""

_WITH_COMMA = re.compile(r"\s*[-+]?[0-9.'\s]*,[0-9.,'\s]*")

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)

MONEY_PLACES = 8
_MONEY_STEP = Decimal(1).scaleb(-MONEY_PLACES)

AMOUNT_MAX = Decimal(10) ** 12
"""Largest margin, price or quantity accepted anywhere; every product of three fits the context's precision."""

QUANTITY_MAX = Decimal(10) ** 28
"""More than any position can hold, of an asset whose price is tiny."""

DOUBLE_ROUNDING = Decimal(2) ** -52
"""How far apart, as a fraction, a number and its nearest double may be, written out and cut to our places again."""

_CONTEXT = Context(
    prec=60,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)


# Room for every digit there is, for what must not round.
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, Inexact])
_shortest, _exactly, _half_even = _EXACT.normalize, _EXACT.quantize, _CONTEXT.quantize


def money_arithmetic() -> AbstractContextManager[Context]:
    """The decimal context in which the domain computes; the fold enters it, whatever the thread had set."""
    return localcontext(_CONTEXT)


def canonical(amount: Decimal) -> Decimal:
    """The one way to write a value, digit for digit: no trailing zeros, no positive exponent, no minus before zero.

    ValueError for what is no number.
    """
    if not amount:
        return ZERO
    if not amount.is_finite():
        raise ValueError(f"{amount} is not a number")
    shortest = _shortest(amount)
    # A plus is written where the exponent is positive; to ask for the exponent itself costs as much as all the rest.
    return _exactly(shortest, ONE) if "+" in str(shortest) else shortest


def to_money(amount: Decimal) -> Decimal:
    """An amount of USD: 8 places, half-even."""
    return canonical(_half_even(amount, _MONEY_STEP))


def to_quantity(amount: Decimal, step: Decimal | None = None) -> Decimal:
    """A quantity of the base asset, rounded down to 8 places, so that a position never costs more than its margin.

    step: of which it is then a multiple, one that can_be_step.
    """
    if step is None:
        return canonical(amount.quantize(_MONEY_STEP, ROUND_DOWN, _CONTEXT))
    return canonical(_CONTEXT.multiply(_CONTEXT.divide_int(amount, step), step))


def can_be_step(size: Decimal) -> bool:
    """Whether quantities can be multiples of a size, having 8 places: it is above 0 and has no more itself."""
    return size.is_finite() and size > ZERO and not _CONTEXT.remainder(size, _MONEY_STEP)


def to_price(amount: Decimal) -> Decimal:
    """A derived price: 8 places, or 8 significant digits where that is finer (prices far below 1)."""
    exponent = min(-MONEY_PLACES, amount.adjusted() - (MONEY_PLACES - 1))
    return canonical(amount.quantize(ONE.scaleb(exponent), ROUND_HALF_EVEN, _CONTEXT))


def has_decimal_comma(text: str) -> bool:
    """Whether a text that is no number would be one to a reader who writes decimals after a comma."""
    return len(text) < 100 and _WITH_COMMA.fullmatch(text) is not None and any(map(str.isdigit, text))
