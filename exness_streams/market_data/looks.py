"""Looks at the exchange's REST, when what its streams say is too far from what they said to be believed at once.

Which updates those are the price guard says: it runs here, too, over what is published, so that a look is taken as long
as the framer's holds, and no longer. What a look tells is published beside the updates, marked as such: it is evidence
for whoever owns the ticks, and no quote.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from exness_streams.domain.price_guard import PriceGuard
from exness_streams.market_data.rest import BackpackRest, RestFault, Top
from exness_streams.market_data.source import Source, source_of
from exness_streams.messages import MarketDataMessage

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""From the beginning of one look at a symbol to that of the next."""


class Looking(NamedTuple):
    """ask: tells a symbol's best prices as the exchange's REST has them, or raises RestFault. bands: the guard's."""

    ask: Callable[[str], Awaitable[Top]]
    bands: Mapping[str, Decimal]


def looking_at(rest: BackpackRest | None, source: Source, bands: Mapping[str, Decimal]) -> Looking | None:
    """How prices of a source are looked up; None where they can't be, since the REST is another market's, or none."""
    if rest is None or source_of(rest.base_url) != source or not any(bands.values()):
        return None
    return Looking(rest.fetch_top, bands)


class PriceLooks:
    """publish: takes what a look told of a symbol, and gives what was published. clock_s: monotonic.

    taken, failed: counts.
    """

    def __init__(
        self,
        looking: Looking,
        publish: Callable[[str, Top], MarketDataMessage],
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._publish, self._clock_s = looking.ask, publish, clock_s
        self._guard = PriceGuard(looking.bands)
        self._begun_s: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self.taken = self.failed = 0

    def take(self, update: MarketDataMessage) -> None:
        """An update was published. A look begins when it can't be believed yet, at most one a second."""
        symbol, now_s = update.symbol, self._clock_s()
        believed = self._guard.take(update, int(now_s * 1000))
        if believed is None or not believed.suspended or update.look or symbol in self._under_way:
            return
        if now_s - self._begun_s.get(symbol, now_s - EVERY_S) >= EVERY_S:
            self._begun_s[symbol] = now_s
            self._under_way[symbol] = looking = asyncio.ensure_future(self._look(symbol))
            looking.add_done_callback(lambda done: done.cancelled() or done.exception())  # a log's: the next tells it

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, symbol: str) -> None:
        try:
            try:
                top = await self._ask(symbol)
            except RestFault as fault:
                if not self.failed:
                    log.warning(
                        "the exchange's REST can't say whether a jump of %s is true: %s; further ones are only counted",
                        symbol,
                        fault,
                    )
                self.failed += 1
                return
            self.taken += 1
            self.take(self._publish(symbol, top))
        finally:
            del self._under_way[symbol]
