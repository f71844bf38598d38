"""The market as streams show it: each quote is encoded once, and readers at the same version share one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exness_streams.api.market_list import not_offered
from exness_streams.api.stream.messages import (
    Form,
    MarketDataUpdate,
    MarketDayUpdate,
    MarketStateUpdate,
    encoded,
    market_data_update,
    market_day_update,
    market_state_update,
)
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.market_states import MarketTold
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
    """A symbol's newest quote, day or state (None: open), the version it came with, and its frame in the forms asked
    for."""

    __slots__ = ("frames", "told", "version")

    def __init__(self, told: Quote | DayFigures | MarketTold | None, version: int) -> None:
        self.told = told
        self.version = version
        self.frames: dict[Form, bytes] = {}

    def frame(self, symbol: str, form: Form) -> bytes:
        """Encoded once for each form."""
        frame = self.frames.get(form)
        if frame is None:
            message: MarketDataUpdate | MarketDayUpdate | MarketStateUpdate
            if isinstance(self.told, Quote):
                message = market_data_update(symbol, self.told)
            elif isinstance(self.told, DayFigures):
                message = market_day_update(self.told)
            else:
                message = market_state_update(symbol, self.told)
            frame = self.frames[form] = encoded(message, form)
        return frame


class MarketVersions:
    """Numbers the states of the market, so that all a reader has to remember is the number of what it was sent.

    A tick costs nothing here, and a reader costs a lookup: readers that are as far as each other share one batch.
    offered: the instruments on offer; any other market is never told to be open. None: all are on offer.
    """

    def __init__(self, offered: Iterable[str] | None = None) -> None:
        self._offered = None if offered is None else frozenset(offered)
        self.version = 0
        self._listed: dict[str, _Listed] = {}
        self._days: dict[str, _Listed] = {}
        self._states: dict[str, _Listed] = {}
        self._batches: dict[tuple[int, Form, Symbols], MarketBatch] = {}

    def refresh(
        self,
        quotes: Mapping[str, Quote],
        days: Mapping[str, DayFigures] | None = None,
        markets: Mapping[str, MarketTold] | None = None,
    ) -> None:
        """Take what is newer. An older quote (of a cell that is behind another) is passed over.

        days: of 24 hours; they have no order, and those that differ are newer. markets: all that are not open.
        """
        newer = [symbol for symbol, quote in quotes.items() if self._is_newer(symbol, quote)]
        changed = [day for symbol, day in (days or {}).items() if self._is_changed(symbol, day)]
        stated = self._stated(self._with_those_left(quotes, markets or {}))
        if not newer and not changed and not stated:
            return
        self.version += 1
        self._batches.clear()
        for symbol in newer:
            self._listed[symbol] = _Listed(quotes[symbol], self.version)
        for day in changed:
            self._days[day.symbol] = _Listed(day, self.version)
        for symbol, told in stated.items():
            self._states[symbol] = _Listed(told, self.version)

    def _with_those_left(
        self, quotes: Mapping[str, Quote], markets: Mapping[str, MarketTold]
    ) -> Mapping[str, MarketTold]:
        """With the markets that are not on offer any more, whatever the frames say of them."""
        if self._offered is None:
            return markets
        left = (quotes.keys() | self._states.keys()) - self._offered - markets.keys()
        return {**markets, **{symbol: not_offered(symbol) for symbol in left}} if left else markets

    def _stated(self, markets: Mapping[str, MarketTold]) -> dict[str, MarketTold | None]:
        """The states that are others than those that are known; None: open again."""
        if not markets and not self._states:
            return {}
        known = {symbol: listed.told for symbol, listed in self._states.items()}
        return {
            symbol: now
            for symbol in dict.fromkeys([*known, *markets])
            if (now := markets.get(symbol)) != known.get(symbol)
        }

    def _is_newer(self, symbol: str, quote: Quote) -> bool:
        listed = self._listed.get(symbol)
        return listed is None or (isinstance(listed.told, Quote) and quote.sequence > listed.told.sequence)

    def _is_changed(self, symbol: str, day: DayFigures) -> bool:
        listed = self._days.get(symbol)
        return listed is None or (listed.told is not day and listed.told != day)

    def since(self, version: int, form: Form, symbols: Symbols = None) -> MarketBatch:
        """The newest quote, day and state of each symbol that changed after `version`; of every symbol after 0."""
        batch = self._batches.get((version, form, symbols))
        if batch is None:
            frames = [
                listed.frame(symbol, form)
                for board in (self._listed, self._days, self._states)
                for symbol, listed in board.items()
                if listed.version > version and (symbols is None or symbol in symbols)
            ]
            if len(self._batches) >= BATCHES_MAX:  # readers choose their symbols, and a market may be at rest for long
                self._batches.clear()
            batch = self._batches[version, form, symbols] = MarketBatch(b"".join(frames), len(frames))
        return batch
