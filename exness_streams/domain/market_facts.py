"""What an exchange says of its markets besides their grids, for people and programs. Nothing here decides a trade."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class PriceBands(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the exchange takes orders. min_price, max_price: quote currency; multipliers: of the last price.

    impact: of an order that takes. mark: of the mean mark price. premium_tolerance: a fraction. None: not limited, or
    not said.
    """

    min_price: Decimal | None = None
    max_price: Decimal | None = None
    min_multiplier: Decimal | None = None
    max_multiplier: Decimal | None = None
    impact_min_multiplier: Decimal | None = None
    impact_max_multiplier: Decimal | None = None
    mark_min_multiplier: Decimal | None = None
    mark_max_multiplier: Decimal | None = None
    premium_tolerance: Decimal | None = None


class MarginFunction(msgspec.Struct, frozen=True):
    """What margin a position needs, a fraction of it. kind: the exchange's word; `sqrt`: max(base, factor × √size)."""

    kind: str = msgspec.field(name="type")
    base: Decimal
    factor: Decimal
