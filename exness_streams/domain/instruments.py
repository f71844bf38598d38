"""Instruments and the terms on which they trade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of one instrument, stamped into each command at the edge.

    fee_rate: fraction of the notional, charged on each fill. maintenance_margin_rate: fraction of the notional.
    leverage_max: multiple. margin_min: USD.
    """

    symbol: str
    leverage_max: Decimal
    margin_min: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one account may hold, stamped into each command at the edge."""

    open_positions_max: int = 200


def base_of(symbol: str) -> str:
    """The base asset of an exchange symbol: `SOL` of `SOL_USDC`, `AAPL.US` of `AAPL.US_USDC_PERP`."""
    return symbol.split("_", 1)[0]


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

    @property
    def assets(self) -> list[str]:
        """Every name an order may use."""
        return sorted(self._by_asset)
