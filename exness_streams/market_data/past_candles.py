"""The exchange's own candles for the chart: what was before the start, what was missed, and the volumes.

A page at a time, and the newest that is lacking first: so a chart is useful after the first second, nothing is shown
behind a hole that will be filled, and the exchange's limit on history is left to others as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Protocol

from exness_streams.domain.candle_spans import Asked, Span, next_page, union, without
from exness_streams.domain.candles import Bar
from exness_streams.market_data.believed_klines import NEIGHBOURS, believed
from exness_streams.market_data.rest import INTERVALS_S, KLINES_PER_REQUEST_MAX, Kline, RestFault

log = logging.getLogger(__name__)

KEPT = ("1m", "1h")
"""The intervals that are kept; all others are made of them."""

PAGE_PAUSE_S = 2.0
"""Between two pages: at most 30 a minute, what Backpack answers. The first page of minutes and the first of
hours of each market wait for none."""

REFRESH_S = 60.0
RETRY_S = 30.0
LOOK_S = 1.0


class CandleStore(Protocol):
    """Where candles are kept, while they are kept here. LookupError from the others while they are not."""

    symbols: tuple[str, ...]

    def price(self, symbol: str) -> Decimal | None: ...
    def asked(self, symbol: str, interval: str) -> Asked | None: ...
    def wanted_time(self, symbol: str, interval: str) -> tuple[int, int]: ...
    async def take_told(self, symbol: str, interval: str, told: Sequence[tuple[int, Bar]], asked: Asked) -> None: ...


FetchKlines = Callable[[str, str, int, int], Awaitable[list[Kline]]]


class PastCandles:
    """Keeps asking for what the store lacks. fetch_klines: BackpackRest's.

    unread: how many rows of the exchange's answers could not be read until now.
    disbelieved: klines that were left out, because no market can have been there.
    """

    def __init__(
        self,
        fetch_klines: FetchKlines,
        store: CandleStore,
        *,
        unread: Callable[[], int] = lambda: 0,
        pause_s: float = PAGE_PAUSE_S,
        refresh_s: float = REFRESH_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._fetch_klines = fetch_klines
        self._store = store
        self._unread = unread
        self._pause_s = pause_s
        # A refresh is a request for each market: so many markets are refreshed less often.
        self._refresh_s = max(refresh_s, 2 * pause_s * len(store.symbols))
        self._retry_s = retry_s
        self._is_away = False
        self._known: set[tuple[str, str]] = set()
        self._unpriced: set[str] = set()
        self._doubted: dict[str, float] = {}
        self.disbelieved = 0

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
            return self._retry_s if fault.retry_after_s is None else max(self._retry_s, fault.retry_after_s)
        if self._unpriced:
            return LOOK_S
        # A little after the minute, so that the exchange has it.
        return self._refresh_s - time.time() % self._refresh_s + LOOK_S if is_complete else 0.0

    async def round(self) -> bool:
        """Ask for one page of each kind for each market; whether nothing is lacking now. LookupError, RestFault.

        A market without a price yet is left for later: nobody could tell whether its klines can be believed. One whose
        klines were all refused is asked again after a while.
        """
        is_complete, loop = True, asyncio.get_running_loop()
        self._unpriced.clear()
        for interval in KEPT:
            for symbol in self._store.symbols:
                page = self._next_page(symbol, interval)
                if page is None:
                    continue
                known = self._store.price(symbol)
                if known is None:
                    self._unpriced.add(symbol)
                if known is None or self._doubted.get(symbol, 0) > loop.time():
                    continue
                is_complete = False
                if (symbol, interval) in self._known:
                    await asyncio.sleep(self._pause_s)
                await self._take(symbol, interval, page, known)
        return is_complete

    async def _take(self, symbol: str, interval: str, page: Asked, price: Decimal) -> None:
        """Ask for a page, and have what can be believed of it stored. price: that is known now."""
        unread = self._unread()
        klines = await self._fetch_klines(symbol, interval, page.from_s, page.to_s)
        self._known.add((symbol, interval))
        kept = self._believed(symbol, interval, klines, price)
        if kept is None:
            self._doubted[symbol] = asyncio.get_running_loop().time() + self._refresh_s
            return
        self._doubted.pop(symbol, None)
        left_out = _left_out(klines, kept, page, INTERVALS_S[interval], is_all_read=self._unread() == unread)
        told = [(one.time_s, Bar(one.open, one.high, one.low, one.close, one.volume)) for one in kept]
        await self._store.take_told(symbol, interval, told, Asked(page.from_s, page.to_s, (), left_out))
        if self._is_away:
            log.info("past candles are available again")
        self._is_away = False

    def _believed(self, symbol: str, interval: str, klines: list[Kline], known: Decimal) -> list[Kline] | None:
        """Those that can be believed; None of many when that is none: then the price itself may be the wrong one."""
        kept = believed(klines, known)
        if len(kept) == len(klines):
            return kept
        worst = max(klines, key=lambda kline: max(kline.high / known, known / kline.low))
        said = (
            f"{len(klines) - len(kept)} of {len(klines)} {interval} candles of {symbol} can't be believed at a price "
            f"of {known}: one goes from {worst.low} to {worst.high}"
        )
        if not kept and len(klines) > NEIGHBOURS:
            if symbol not in self._doubted:
                log.warning("%s; they are asked for again", said)
            return None
        self.disbelieved += len(klines) - len(kept)
        log.warning("%s; they are left out", said)
        return kept

    def _next_page(self, symbol: str, interval: str) -> Asked | None:
        horizon_s, end_s = self._store.wanted_time(symbol, interval)
        page_s = KLINES_PER_REQUEST_MAX * INTERVALS_S[interval]
        return next_page(self._store.asked(symbol, interval), horizon_s, end_s, page_s)


def _left_out(
    klines: Sequence[Kline], kept: Sequence[Kline], page: Asked, length_s: int, *, is_all_read: bool
) -> tuple[Span, ...]:
    """The times of a page of which nothing is known.

    Where rows could not be read, any time without a kline may be theirs.
    """
    known = {kline.time_s for kline in kept}
    if is_all_read:
        return union((one.time_s, one.time_s + length_s) for one in klines if one.time_s not in known)
    return without(page.spans, [(time_s, time_s + length_s) for time_s in known])
