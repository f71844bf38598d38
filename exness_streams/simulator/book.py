"""The order book of a simulated market, as it is shown: the best prices, and what stands behind them. Pure.

What stands behind the best prices is a function of the price alone, so it costs nothing until somebody asks.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

BOOK_TICKS = 100
"""The book reaches so far behind its best prices."""

_FILLED_OF_FOUR = 3
"""At so many of four prices somebody waits."""
_MASK = (1 << 64) - 1


class Book(NamedTuple):
    """Best prices in ticks, quantities in steps; None on a side that is empty. update_id: of its newest change."""

    bid: int | None
    bid_quantity: int
    ask: int | None
    ask_quantity: int
    update_id: int


class Ladder(NamedTuple):
    """Price in ticks -> quantity in steps, of each side, best first."""

    bids: dict[int, int]
    asks: dict[int, int]


class BookDepth:
    """What stands behind the best prices of one market. unit: steps of one base asset."""

    def __init__(self, name: str, unit: int) -> None:
        self._salt = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        self._largest = 40 * unit

    def ladder(self, book: Book) -> Ladder:
        """All levels of the book."""
        bids, asks = {}, {}
        if book.bid is not None:
            bids = self._side(range(book.bid - 1, max(0, book.bid - BOOK_TICKS), -1), book.bid, book.bid_quantity)
        if book.ask is not None:
            asks = self._side(range(book.ask + 1, book.ask + BOOK_TICKS), book.ask, book.ask_quantity)
        return Ladder(bids, asks)

    def _side(self, behind: range, best: int, quantity: int) -> dict[int, int]:
        side = {best: quantity}
        for price in behind:
            # Two rounds of a multiplicative hash: prices beside each other get quantities that have nothing in common.
            mixed = (price * 0x9E3779B97F4A7C15 ^ self._salt) & _MASK
            mixed = ((mixed ^ mixed >> 31) * 0xBF58476D1CE4E5B9) & _MASK
            if mixed >> 62 < _FILLED_OF_FOUR:
                side[price] = 1 + (mixed >> 20) % self._largest
        return side


def changed_levels(before: dict[int, int], after: dict[int, int]) -> list[tuple[int, int]]:
    """The levels of a side that are not as they were, by price; quantity 0: nobody waits there any more."""
    changed = [(price, quantity) for price, quantity in after.items() if before.get(price) != quantity]
    changed += [(price, 0) for price in before if price not in after]
    return sorted(changed)
