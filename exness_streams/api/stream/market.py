"""The market as streams show it: each quote is encoded once, and readers at the same version share one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exness_streams.api.stream.messages import Form, encoded, market_data_update
from exness_streams.domain.quotes import Quote

Symbols = frozenset[str] | None
"""What a reader wants to see; None: everything."""


BATCHES_MAX = 256
"""Kept of one state of the market; nearly all readers want one of a few."""


class MarketBatch(NamedTuple):
    """Frames of `updates` symbols, one after the other."""

    frames: bytes
    updates: int


class _Listed:
    """A symbol's newest quote, the version it came with, and its frame in the forms that were asked for."""

    __slots__ = ("frames", "quote", "version")

    def __init__(self, quote: Quote, version: int) -> None:
        self.quote = quote
        self.version = version
        self.frames: dict[Form, bytes] = {}


class MarketBoard:
    """Numbers the states of the market, so that all a reader has to remember is the number of what it was sent.

    A tick costs nothing here, and a reader costs a lookup: readers that are as far as each other share one batch.
    """

    def __init__(self) -> None:
        self.version = 0
        self._listed: dict[str, _Listed] = {}
        self._batches: dict[tuple[int, Form, Symbols], MarketBatch] = {}

    def refresh(self, quotes: Mapping[str, Quote]) -> None:
        """Take what is newer in `quotes`. An older quote (of a cell that is behind another) is passed over."""
        newer = [symbol for symbol, quote in quotes.items() if self._is_newer(symbol, quote)]
        if not newer:
            return
        self.version += 1
        self._batches.clear()
        for symbol in newer:
            self._listed[symbol] = _Listed(quotes[symbol], self.version)

    def _is_newer(self, symbol: str, quote: Quote) -> bool:
        listed = self._listed.get(symbol)
        return listed is None or quote.sequence > listed.quote.sequence

    def since(self, version: int, form: Form, symbols: Symbols = None) -> MarketBatch:
        """The newest quote of each symbol that changed after `version`; of every symbol after 0."""
        batch = self._batches.get((version, form, symbols))
        if batch is None:
            changed = [symbol for symbol, listed in self._listed.items() if listed.version > version]
            frames = [self._frame(symbol, form) for symbol in changed if symbols is None or symbol in symbols]
            if len(self._batches) >= BATCHES_MAX:  # readers choose their symbols, and a market may be at rest for long
                self._batches.clear()
            batch = self._batches[version, form, symbols] = MarketBatch(b"".join(frames), len(frames))
        return batch

    def _frame(self, symbol: str, form: Form) -> bytes:
        listed = self._listed[symbol]
        frame = listed.frames.get(form)
        if frame is None:
            frame = listed.frames[form] = encoded(market_data_update(symbol, listed.quote), form)
        return frame
