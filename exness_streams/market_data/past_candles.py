"""The exchange's own candles for the chart: what was before the start, what was missed, and the volumes.

A page at a time, and the newest first: so a chart is useful after the first second, and the exchange's limit on
history is left to others as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from exness_streams.domain.candles import Asked, Bar, next_page
from exness_streams.market_data.rest import INTERVALS_S, KLINES_PER_REQUEST_MAX, Kline, RestFault

log = logging.getLogger(__name__)

KEPT = ("1m", "1h")
"""The intervals that are kept; all others are made of them."""

PAGE_PAUSE_S = 2.0
"""Between two pages: at most 30 a minute, what Backpack answers. The first page of each market waits for none."""

REFRESH_S = 60.0
RETRY_S = 30.0
LOOK_S = 1.0


class CandleStore(Protocol):
    """Where candles are kept, while they are kept here. LookupError from the others while they are not."""

    symbols: tuple[str, ...]

    def asked(self, symbol: str, interval: str) -> Asked | None: ...
    def wanted_time(self, symbol: str, interval: str) -> tuple[int, int]: ...
    async def take_told(self, symbol: str, interval: str, told: Sequence[tuple[int, Bar]], asked: Asked) -> None: ...


FetchKlines = Callable[[str, str, int, int], Awaitable[list[Kline]]]


class PastCandles:
    """Keeps asking for what the store lacks. fetch_klines: BackpackRest's."""

    def __init__(
        self,
        fetch_klines: FetchKlines,
        store: CandleStore,
        *,
        pause_s: float = PAGE_PAUSE_S,
        refresh_s: float = REFRESH_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._fetch_klines = fetch_klines
        self._store = store
        self._pause_s = pause_s
        # A refresh is a request for each market: so many markets are refreshed less often.
        self._refresh_s = max(refresh_s, 2 * pause_s * len(store.symbols))
        self._retry_s = retry_s
        self._is_away = False
        self._known: set[str] = set()

    async def run(self) -> None:
        """Runs for ever. An exchange that can't be asked changes nothing but the log, once."""
        while True:
            pause_s = await self._round_and_pause_s()
            await asyncio.sleep(pause_s)

    async def _round_and_pause_s(self) -> float:
        try:
            is_complete = await self.round()
        except LookupError:  # kept by another worker, or not yet
            return LOOK_S
        except RestFault as fault:
            if not self._is_away:
                log.warning("past candles are unavailable and will be requested again: %s", fault)
            self._is_away = True
            return self._retry_s
        # A little after the minute, so that the exchange has it.
        return self._refresh_s - time.time() % self._refresh_s + LOOK_S if is_complete else 0.0

    async def round(self) -> bool:
        """Ask for one page of each kind for each market; whether nothing is lacking now. LookupError, RestFault."""
        is_complete = True
        for interval in KEPT:
            for symbol in self._store.symbols:
                page = self._next_page(symbol, interval)
                if page is None:
                    continue
                is_complete = False
                if symbol in self._known:
                    await asyncio.sleep(self._pause_s)
                klines = await self._fetch_klines(symbol, interval, page.from_s, page.to_s)
                told = [(one.time_s, Bar(one.open, one.high, one.low, one.close, one.volume)) for one in klines]
                await self._store.take_told(symbol, interval, told, page)
                self._known.add(symbol)
                if self._is_away:
                    log.info("past candles are available again")
                self._is_away = False
        return is_complete

    def _next_page(self, symbol: str, interval: str) -> Asked | None:
        horizon_s, end_s = self._store.wanted_time(symbol, interval)
        page_s = KLINES_PER_REQUEST_MAX * INTERVALS_S[interval]
        return next_page(self._store.asked(symbol, interval), horizon_s, end_s, page_s)
