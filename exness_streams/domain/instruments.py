"""Instruments and the terms on which they trade."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache

import msgspec

from exness_streams.domain.money import AMOUNT_MAX, MONEY_PLACES, ONE, ZERO, can_be_step
from exness_streams.domain.quotes import Quote

EXPOSURE_UNLIMITED = AMOUNT_MAX**2
"""More than any account can have."""

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRICING = Context(prec=60)
_TWO = Decimal(2)


@lru_cache(maxsize=1_024)
def is_symbol(text: str) -> bool:
    """Whether `text` can be the name of a market: letters, digits, dots, underscores, hyphens."""
    # Ticks are many and symbols few; a stranger's only push each other out.
    return _SYMBOL.fullmatch(text) is not None


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conditions of one instrument, stamped into each command at the edge.

    fee_rate: fraction of the notional, charged on each fill. maintenance_margin_rate: fraction of the notional.
    leverage_max: multiple. margin_min: USD. spread_rate: the house's markup, fraction of the price, half on each
    side of the book. tick_size, step_size: the exchange's grids of prices and quantities, None until it told them.
    What has a default came later: older journals have records without it.
    """

    symbol: str
    leverage_max: Decimal
    margin_min: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    spread_rate: Decimal = ZERO
    tick_size: Decimal | None = None
    step_size: Decimal | None = None

    @property
    def quantity_step(self) -> Decimal | None:
        """The step to which quantities are rounded down; None when it is not known, or finer than quantities are."""
        return self.step_size if self.step_size is not None and can_be_step(self.step_size) else None


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one account may hold, stamped into each command at the edge.

    open_max: positions and pending orders together. exposure_max: USD of margin × leverage in one instrument; the
    default is for older journals, whose orders were not limited by it.
    """

    open_max: int = msgspec.field(default=200, name="open_positions_max")
    exposure_max: Decimal = EXPOSURE_UNLIMITED


def base_of(symbol: str) -> str:
    """The base asset of an exchange symbol: `SOL` of `SOL_USDC`, `AAPL.US` of `AAPL.US_USDC_PERP`."""
    return symbol.split("_", 1)[0]


def mark_up(quote: Quote, spread_rate: Decimal) -> Quote:
    """The quote that the house gives for an exchange's: bid × (1 − rate/2) rounded down, ask × (1 + rate/2) up.

    Prices have 8 places, or 8 significant digits where that is finer, as in money.to_price. The last trade stays.
    Without a rate the quote is the exchange's, digit for digit.
    """
    if not spread_rate:
        return quote
    half = _PRICING.divide(spread_rate, _TWO)
    return Quote(
        quote.sequence,
        quote.time_ms,
        quote.price,
        None if quote.bid is None else _scaled(quote.bid, _PRICING.subtract(ONE, half), ROUND_FLOOR),
        None if quote.ask is None else _scaled(quote.ask, _PRICING.add(ONE, half), ROUND_CEILING),
        quote.volume,
    )


def _scaled(price: Decimal, factor: Decimal, rounding: str) -> Decimal:
    exact = _PRICING.multiply(price, factor)
    exponent = min(-MONEY_PLACES, exact.adjusted() - (MONEY_PLACES - 1))
    return exact.quantize(ONE.scaleb(exponent), rounding, _PRICING)


class Catalogue:
    """The instruments on offer, in the order of the configuration."""

    def __init__(self, terms: Iterable[Terms]) -> None:
        self._by_symbol = {item.symbol: item for item in terms}
        self._by_asset: dict[str, Terms] = {}
        for item in self._by_symbol.values():
            self._by_asset.setdefault(base_of(item.symbol), item)
        # A full symbol always means itself, even where it is spelt like another one's base.
        self._by_asset.update(self._by_symbol)

    def __iter__(self) -> Iterator[Terms]:
        return iter(self._by_symbol.values())

    def __len__(self) -> int:
        return len(self._by_symbol)

    def find(self, asset: str) -> Terms | None:
        """By symbol, or by base asset (the first configured instrument of that base)."""
        return self._by_asset.get(asset)

    def terms_of(self, symbol: str) -> Terms | None:
        """By symbol alone."""
        return self._by_symbol.get(symbol)

    def replace(self, terms: Terms) -> None:
        """New terms of an instrument on offer, for whatever is asked from now on. KeyError for any other."""
        old = self._by_symbol[terms.symbol]
        self._by_symbol[terms.symbol] = terms
        for name, item in self._by_asset.items():
            if item is old:
                self._by_asset[name] = terms

    @property
    def assets(self) -> list[str]:
        """Every name an order may use."""
        return sorted(self._by_asset)
