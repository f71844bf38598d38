"""What the exchange says of the instruments on offer: asked at the start, and again until it has answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from async_timeout import timeout

from exness_streams.domain.instruments import Catalogue
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.market_data.rest import RestFault

log = logging.getLogger(__name__)

FIRST_ANSWER_S = 3.0
RETRY_S = 30.0


def adopt(catalogue: Catalogue, markets: Iterable[MarketInfo]) -> list[str]:
    """Put the exchange's tick and step sizes into the terms of the instruments on offer.

    Returns a line for each instrument that will have no price.
    """
    listed = {market.symbol: market for market in markets}
    warnings = []
    for terms in list(catalogue):
        market = listed.get(terms.symbol)
        if market is None:
            warnings.append(f"{terms.symbol} is in EXNESS_INSTRUMENTS, and the exchange does not list it")
            continue
        if not market.is_open:
            said = "closed" if market.state in (None, "Closed") else f"not open ({market.state})"
            warnings.append(f"{terms.symbol} is {said} at the exchange")
        elif not market.is_visible:
            warnings.append(f"{terms.symbol} is hidden at the exchange, which may be about to close it")
        catalogue.replace(msgspec.structs.replace(terms, tick_size=market.tick_size, step_size=market.step_size))
    return warnings


class SharedListing:
    """The exchange's markets, for several who ask: whoever asks while a question is under way gets its answer.

    At a start there are two, and the answer is large.
    """

    def __init__(self, fetch_markets: Callable[[], Awaitable[list[MarketInfo]]]) -> None:
        self._fetch_markets = fetch_markets
        self._asking = asyncio.Lock()
        self._answers = 0
        self._newest: list[MarketInfo] = []

    async def fetch_markets(self) -> list[MarketInfo]:
        """As BackpackRest's. A question that failed, or was given up, is asked anew by the next who waits."""
        before = self._answers
        async with self._asking:
            if self._answers == before:
                self._newest = await self._fetch_markets()
                self._answers += 1
            return self._newest


class Listings:
    """Keeps asking for the markets until they are known.

    fetch_markets: BackpackRest's. tried: set once it has answered, or could not within FIRST_ANSWER_S.
    known: set once it has answered. markets: by symbol, what it said of all its markets: positions may stand in one
    that is not on offer any more.
    """

    def __init__(
        self,
        fetch_markets: Callable[[], Awaitable[list[MarketInfo]]],
        catalogue: Catalogue,
        *,
        first_answer_s: float = FIRST_ANSWER_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._fetch_markets = fetch_markets
        self._catalogue = catalogue
        self._first_answer_s = first_answer_s
        self._retry_s = retry_s
        self.tried = asyncio.Event()
        self.known = asyncio.Event()
        self.markets: dict[str, MarketInfo] = {}

    def of(self, symbol: str) -> MarketInfo | None:
        """What it said of a market, None until then, or when it does not list it."""
        return self.markets.get(symbol)

    async def run(self) -> None:
        """Ends with the first answer. An exchange that can't be asked changes nothing but the log, once."""
        while not self.known.is_set():
            try:
                async with timeout(self._first_answer_s):
                    markets = await self._fetch_markets()
            except (RestFault, asyncio.TimeoutError) as fault:
                if not self.tried.is_set():
                    said = str(fault) or f"no answer within {self._first_answer_s:g} s"
                    log.warning("the exchange's markets are not known, and are asked for again: %s", said)
                self.tried.set()
                asked_s = fault.retry_after_s if isinstance(fault, RestFault) else None
                await asyncio.sleep(max(self._retry_s, asked_s or 0.0))
                continue
            for warning in adopt(self._catalogue, markets):
                log.warning("%s", warning)
            self.markets = {one.symbol: one for one in markets}
            log.info("the exchange lists %d markets", len(markets))
            self.known.set()
            self.tried.set()
