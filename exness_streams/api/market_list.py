"""Which markets people are told of: those on offer, and behind them those in which something may stand still."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from exness_streams.domain.instruments import Catalogue, Terms
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.domain.money import ZERO
from exness_streams.market_data.market_rows import MarketInfo


class Seen(Protocol):
    """The market as the cells of a worker see it, and in which symbols positions or orders stand in them."""

    @property
    def markets(self) -> Mapping[str, MarketTold]: ...
    def standing(self) -> Collection[str]: ...


def not_offered(symbol: str) -> MarketTold:
    """How a market is that nobody offers, while the frames say no more of it. since_ms 0: not known."""
    return MarketTold(symbol, MarketState.CLOSE_ONLY, StateReason.NOT_OFFERED, 0)


class MarketList:
    """The rows of /api/v1/markets, with their terms and states.

    terms_for: the terms that an instrument would have, were it on offer. listed: what the exchange says of a symbol.

    What is not on offer has a row while something stands in it here, or the frames say that it may elsewhere. Of a
    settled market nothing stands anywhere. Such a row is never open, and comes behind the others: of one base asset,
    what is on offer is found first. The house has no part in its quotes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        seen: Seen,
        terms_for: Callable[[str], Terms],
        listed: Callable[[str], MarketInfo | None] = lambda symbol: None,
    ) -> None:
        self.catalogue, self._seen, self._terms_for, self._listed = catalogue, seen, terms_for, listed

    def rows(self) -> list[tuple[Terms, MarketTold | None]]:
        """Terms and state of each, None: open. Those on offer are in the order of the configuration."""
        markets = self._seen.markets
        offered = [(terms, markets.get(terms.symbol)) for terms in self.catalogue]
        left = [(self._terms_of(symbol), markets.get(symbol) or not_offered(symbol)) for symbol in self.left()]
        return [*offered, *left]

    def left(self) -> list[str]:
        """The symbols that are not on offer any more."""
        seen = self._seen
        told = {symbol for symbol, told in seen.markets.items() if told.state is not MarketState.SETTLED}
        return sorted(symbol for symbol in {*told, *seen.standing()} if self.catalogue.terms_of(symbol) is None)

    def symbol_of(self, name: str) -> str | None:
        """The market that a name means: a symbol, or the base asset of one on offer. None when there is none."""
        terms = self.catalogue.find(name)
        if terms is not None:
            return terms.symbol
        return name if name in self.left() else None

    def _terms_of(self, symbol: str) -> Terms:
        terms, listed = msgspec.structs.replace(self._terms_for(symbol), spread_rate=ZERO), self._listed(symbol)
        if listed is None:
            return terms
        return msgspec.structs.replace(terms, tick_size=listed.tick_size, step_size=listed.step_size)
