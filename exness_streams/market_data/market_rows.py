"""What the exchange says of a market, read from the rows of its REST API.

What decides something (names, grids) makes a row useless when it can't be read; all else is then not known.
"""

from __future__ import annotations

from decimal import Decimal, DecimalException
from typing import Any

import msgspec

from exness_streams.domain.instruments import is_symbol
from exness_streams.domain.market_facts import MarginFunction, PriceBands
from exness_streams.domain.money import AMOUNT_MAX, ZERO
from exness_streams.domain.outside_text import in_one_line

OPEN = "Open"
_SCALE_MIN = -18
_WORD_MAX = 40


class MarketInfo(msgspec.Struct, frozen=True):
    """A market of the exchange.

    symbol: as the exchange spells it. base, quote: assets. market_type: "spot", "perp" or another word of the
    exchange in small letters. tick_size: grid of prices, quote currency. step_size, min_quantity: base asset.
    None: the exchange does not say. is_open: whether its order book takes orders; state: in the exchange's own word.
    is_visible: whether the exchange shows it. funding_interval_ms, initial_margin, maintenance_margin: of perpetuals.
    """

    symbol: str
    base: str
    quote: str
    market_type: str
    tick_size: Decimal | None = None
    step_size: Decimal | None = None
    min_quantity: Decimal | None = None
    is_open: bool = True
    state: str | None = None
    is_visible: bool = True
    bands: PriceBands = PriceBands()
    funding_interval_ms: int | None = None
    initial_margin: MarginFunction | None = None
    maintenance_margin: MarginFunction | None = None


class _PriceFilter(msgspec.Struct, rename="camel"):
    tick_size: Decimal | None = None
    min_price: Any = None
    max_price: Any = None
    min_multiplier: Any = None
    max_multiplier: Any = None
    min_impact_multiplier: Any = None
    max_impact_multiplier: Any = None
    mean_mark_price_band: Any = None
    mean_premium_band: Any = None


class _QuantityFilter(msgspec.Struct, rename="camel"):
    min_quantity: Decimal | None = None
    step_size: Decimal | None = None


class _Filters(msgspec.Struct):
    price: _PriceFilter | None = None
    quantity: _QuantityFilter | None = None


class _MarketRow(msgspec.Struct, rename="camel"):
    symbol: str
    base_symbol: str
    quote_symbol: str
    market_type: str
    order_book_state: str | None = None
    filters: _Filters | None = None
    visible: Any = None
    funding_interval: Any = None
    imf_function: Any = None
    mmf_function: Any = None


_decode = msgspec.json.Decoder(_MarketRow, float_hook=Decimal).decode


def read_market(raw: msgspec.Raw) -> MarketInfo:
    """The market of a row. ValueError, ArithmeticError when it is none."""
    row = _decode(raw)
    if not is_symbol(row.symbol):
        raise ValueError("no symbol")
    filters = row.filters or _Filters()
    price, quantity = filters.price or _PriceFilter(), filters.quantity or _QuantityFilter()
    state = row.order_book_state
    return MarketInfo(
        row.symbol,
        row.base_symbol,
        row.quote_symbol,
        row.market_type.lower(),
        _optional_size(price.tick_size),
        _optional_size(quantity.step_size),
        _optional_size(quantity.min_quantity),
        state in (None, OPEN),
        None if state is None else in_one_line(state, _WORD_MAX),
        row.visible is not False,
        _bands(price),
        _interval_ms(row.funding_interval),
        _margin_function(row.imf_function),
        _margin_function(row.mmf_function),
    )


def usual_size(number: Decimal) -> Decimal:
    """A price, or a size. ValueError for what is not above 0, or of no usual size."""
    if not number.is_finite() or not ZERO < number <= AMOUNT_MAX or number.adjusted() < _SCALE_MIN:
        raise ValueError("not a positive number of a usual size")
    return number


def _optional_size(number: Decimal | None) -> Decimal | None:
    return usual_size(number) if number else None


def _bands(price: _PriceFilter) -> PriceBands:
    mark, premium = _fields(price.mean_mark_price_band), _fields(price.mean_premium_band)
    return PriceBands(
        min_price=_known(price.min_price),
        max_price=_known(price.max_price),
        min_multiplier=_known(price.min_multiplier),
        max_multiplier=_known(price.max_multiplier),
        impact_min_multiplier=_known(price.min_impact_multiplier),
        impact_max_multiplier=_known(price.max_impact_multiplier),
        mark_min_multiplier=_known(mark.get("minMultiplier")),
        mark_max_multiplier=_known(mark.get("maxMultiplier")),
        premium_tolerance=_known(premium.get("tolerancePct")),
    )


def _margin_function(value: object) -> MarginFunction | None:
    fields = _fields(value)
    kind, base, factor = fields.get("type"), _known(fields.get("base")), _known(fields.get("factor"))
    if type(kind) is not str or base is None or factor is None:
        return None
    return MarginFunction(in_one_line(kind, _WORD_MAX), base, factor)


def _interval_ms(value: object) -> int | None:
    number = _known(value)
    return None if number is None or number != int(number) else int(number)


def _known(value: object) -> Decimal | None:
    """A positive number, sent as text or as a number; None for anything else."""
    if type(value) not in (str, int, Decimal):
        return None
    try:
        return usual_size(Decimal(value))  # type: ignore[arg-type]
    except (ValueError, DecimalException):
        return None


def _fields(value: object) -> dict[str, Any]:
    return value if type(value) is dict else {}
