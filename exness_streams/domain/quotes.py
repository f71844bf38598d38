"""Quotes: the market of one symbol at one moment."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Side = Literal["long", "short"]


class Quote(msgspec.Struct, frozen=True, array_like=True):
    """The newest market update of a symbol that a cell has seen.

    sequence: strictly increasing per symbol. time_ms: event time. price: last trade; bid, ask: None when that
    side of the book is empty or unknown; volume: 24 h, base asset.
    """

    sequence: int
    time_ms: int
    price: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    volume: Decimal | None = None

    def opening_price(self, side: Side) -> Decimal | None:
        """What a market order pays to open: a long buys at the ask, a short sells at the bid."""
        return self.ask if side == "long" else self.bid

    def closing_price(self, side: Side) -> Decimal | None:
        """What a market order gets to close: a long sells at the bid, a short buys at the ask."""
        return self.bid if side == "long" else self.ask

    def mark_price(self, side: Side) -> Decimal:
        """What a position is valued at: its closing price, or the last trade while that side is empty."""
        closing = self.closing_price(side)
        return self.price if closing is None else closing

    @property
    def is_two_sided(self) -> bool:
        """Whether there is somebody to buy from, and somebody to sell to."""
        return self.bid is not None and self.ask is not None

    def is_fresh(self, time_ms: int, age_ms_max: int) -> bool:
        """Whether the quote is young enough to trade on at `time_ms`."""
        return time_ms - self.time_ms <= age_ms_max
