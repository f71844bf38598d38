"""The state of the bare clients: a dictionary, by msgspec's decoder."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Tick(msgspec.Struct):
    """What is needed of a message."""

    symbol: str
    price: float


class Quotes:
    """The last price and the count of each symbol."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Tick)
        self._known: dict[str, tuple[float, int]] = {}

    def follow(self, values: Iterable[bytes]) -> None:
        """Take ticks."""
        for value in values:
            tick = self._decoder.decode(value)
            known = self._known.get(tick.symbol)
            self._known[tick.symbol] = tick.price, 1 if known is None else known[1] + 1
