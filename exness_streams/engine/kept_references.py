"""The price guard's references as they are kept: `guard/SYMBOL` in the table of candles, the ticks' owner's own.

They are written with the candles, and only when they have moved, so that a market that stands still costs nothing.
What is held is not kept: whoever takes the ticks over compares the first of them with what was accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import msgspec

from exness_streams.domain.candles import encode
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.price_reference import Reference

_decode = msgspec.json.Decoder(Reference).decode


_PREFIX = b"guard/"


def reference_key(symbol: str) -> bytes:
    """Of a market's entry."""
    return _PREFIX + symbol.encode()


def loaded_guard(
    bands: Mapping[str, Decimal], band: Decimal, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]
) -> PriceGuard:
    """A guard that begins with what was stored, also of markets that are not on offer any more: something may stand
    there. Older tables have none of it: there the first tick is believed.
    """
    guard = PriceGuard(bands, band)
    for key, stored in scan(_PREFIX):
        guard.load(key[len(_PREFIX) :].decode(), _decode(stored))
    return guard


def moved_references(guard: PriceGuard) -> Iterator[tuple[bytes, bytes]]:
    """The entries that are to be written by now."""
    for symbol, reference in guard.moved():
        yield reference_key(symbol), encode(reference)
