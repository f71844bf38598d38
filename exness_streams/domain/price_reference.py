"""The last accepted figures of a market, and how far another figure is from them."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from typing import NamedTuple

import msgspec

from exness_streams.domain.money import ONE, ZERO

FAR_FACTOR = Decimal(2)
"""Beyond it, up or down, a price is not believed by its repetition alone."""

_EXACT = Context(prec=100)
_SIX_PLACES = Decimal("1e-6")
_NOWHERE = Decimal("Infinity")


class Reference(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last accepted figures of a market, quote currency. bid, ask: None before the first."""

    price: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None


class Told(NamedTuple):
    """A tick's figures, quote currency."""

    bid: Decimal | None
    ask: Decimal | None
    price: Decimal


class Far(NamedTuple):
    """On which side of the reference's band each figure is: 1 above, −1 below, 0 within or not told."""

    bid: int
    ask: int
    price: int


NEAR = Far(0, 0, 0)


class LastAccepted:
    """The reference of one market, and how far from it is too far: band, a fraction of it.

    low, high: a zone in which all of it lies, and no two prices of which contradict each other: what is there needs no
    closer look.
    """

    __slots__ = ("ask", "band", "bid", "high", "low", "price", "safe")

    def __init__(self, band: Decimal, reference: Reference) -> None:
        self.band = band
        self.safe = (band / (2 + band)).quantize(_SIX_PLACES, ROUND_DOWN)
        self.price, self.bid, self.ask = reference.price, reference.bid, reference.ask
        self.low = self.high = ZERO
        self.narrow()

    def narrow(self) -> None:
        """The zone of the reference as it is now."""
        known = [figure for figure in (self.bid, self.ask, self.price) if figure is not None]
        grid = min(known, key=lambda figure: figure.as_tuple().exponent)  # prices of one length are compared fastest
        self.low = _EXACT.multiply(max(known), ONE - self.safe).quantize(grid, ROUND_CEILING, _EXACT)
        self.high = _EXACT.multiply(min(known), ONE + self.safe).quantize(grid, ROUND_FLOOR, _EXACT)
        if self.high < max(known) or self.low > min(known):  # a wide book has none
            self.close()

    def close(self) -> None:
        """No zone: everything needs a closer look."""
        self.low, self.high = _NOWHERE, ZERO

    def accept(self, told: Told) -> None:
        """It becomes the reference; a side that it does not know stays."""
        self.price = told.price
        if told.bid is not None:
            self.bid = told.bid
        if told.ask is not None:
            self.ask = told.ask
        self.narrow()

    def far(self, told: Told) -> Far:
        """A side that was never accepted is compared with the price; a price may also be one of an accepted book."""
        band = self.band
        bid = side_of(told.bid, self.price if self.bid is None else self.bid, band)
        ask = side_of(told.ask, self.price if self.ask is None else self.ask, band)
        price = side_of(told.price, self.price, band)
        if price and not bid and not ask and told.bid is not None and told.ask is not None and fits(told, band):
            price = 0
        return Far(bid, ask, price)

    def is_beyond_factor(self, told: Told) -> bool:
        """Whether a figure is more than twice the reference, or less than half of it."""
        pairs = (told.bid, self.bid or self.price), (told.ask, self.ask or self.price), (told.price, self.price)
        return any(
            told is not None
            and (told > _EXACT.multiply(known, FAR_FACTOR) or _EXACT.multiply(told, FAR_FACTOR) < known)
            for told, known in pairs
        )


def side_of(figure: Decimal | None, reference: Decimal, band: Decimal) -> int:
    """On which side of the band around a reference a figure is; 0: within it, or not known."""
    if figure is None:
        return 0
    if figure > _EXACT.multiply(reference, ONE + band):
        return 1
    return -1 if figure < _EXACT.multiply(reference, ONE - band) else 0


def fits(told: Told, band: Decimal) -> bool:
    """Whether the price can be one of its book: not further outside of it than the band."""
    return not (
        (told.bid is not None and side_of(told.price, told.bid, band) < 0)
        or (told.ask is not None and side_of(told.price, told.ask, band) > 0)
    )


def has_moved(now: Reference, stored: Reference, part: Decimal) -> bool:
    """Whether a figure is further than a fraction from what was stored, or known and was not."""
    if (now.bid is None) != (stored.bid is None) or (now.ask is None) != (stored.ask is None):
        return True
    pairs = (now.price, stored.price), (now.bid, stored.bid), (now.ask, stored.ask)
    return any(known is not None and side_of(figure, known, part) for figure, known in pairs)
