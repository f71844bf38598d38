"""In what state the exchange has the markets that are followed, asked again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from async_timeout import timeout

from exness_streams.market_data.market_rows import OPEN, MarketInfo
from exness_streams.market_data.rest import BackpackRest, RestFault
from exness_streams.market_data.source import source_of

log = logging.getLogger(__name__)

EACH_S = 30.0
ANSWER_S = 3.0
IDLE_S = 1.0
"""Whoever does not want to know looks so often whether it does."""

CLOSE_ONLY, HALTED = "close_only", "halted"

_OF_WORD = {None: None, OPEN: None, "LimitOnly": CLOSE_ONLY, "PostOnly": CLOSE_ONLY}
"""Where only limit orders are taken there are prices, and no market orders of ours to hedge with: nothing is opened.
Where orders can only be cancelled, or not even that, nothing is traded at the prices that stand there."""


def state_of(market: MarketInfo | None) -> str | None:
    """What a market's row says, as market updates tell it; None: open. A market that is not listed trades nothing.

    A word that we do not know is no "open".
    """
    return HALTED if market is None else _OF_WORD.get(market.state, HALTED)


def always() -> bool:
    """It is wanted."""
    return True


class ExchangeStates:
    """fetch_markets: BackpackRest's, which sends nothing while the exchange wants no request. symbols: those followed.

    is_wanted: whether it matters here; else nothing is asked, and nothing known. tried: set once it has answered, or
    could not in time. on_change: called with the symbols whose state is another.
    """

    def __init__(
        self,
        fetch_markets: Callable[[], Awaitable[list[MarketInfo]]],
        symbols: Iterable[str],
        *,
        is_wanted: Callable[[], bool] = always,
        each_s: float = EACH_S,
        answer_s: float = ANSWER_S,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._fetch_markets, self.symbols = fetch_markets, tuple(symbols)
        self._is_wanted, self._clock_ms = is_wanted, clock_ms
        self._listed: Mapping[str, MarketInfo] = {}
        self._listed_ms: int | None = None
        self._each_s, self._answer_s = each_s, answer_s
        self._states: dict[str, str] = {}
        self._is_away = False
        self.tried = asyncio.Event()
        self.on_change: Callable[[list[str]], None] = lambda changed: None

    @classmethod
    def of(
        cls,
        feed_url: str,
        rest: BackpackRest | None,
        symbols: Iterable[str],
        *,
        fetch_markets: Callable[[], Awaitable[list[MarketInfo]]] | None = None,
        is_wanted: Callable[[], bool] = always,
    ) -> ExchangeStates | None:
        """Those of the exchange that a feed is of; None where no API of it is known, but another's, or none."""
        if rest is None or source_of(feed_url) != source_of(rest.base_url):
            return None
        return cls(fetch_markets or rest.fetch_markets, symbols, is_wanted=is_wanted)

    def follow(self, symbols: Iterable[str]) -> None:
        """Look at these, too."""
        self.symbols = tuple(dict.fromkeys((*self.symbols, *symbols)))
        if self._listed_ms is not None:
            self._compare()

    @property
    def states(self) -> Mapping[str, str]:
        """Of the markets that are not open, by symbol. While the exchange does not answer: what it said last."""
        return self._states

    @property
    def listed_ms(self) -> int | None:
        """When the exchange told what it lists (ms since the epoch), None: it has not, or it is not wanted here."""
        return self._listed_ms if self._is_wanted() else None

    def state(self, symbol: str) -> str | None:
        """What it said then of any market, followed or not. None: open."""
        return state_of(self._listed.get(symbol))

    async def run(self) -> None:
        """Ask for ever. What goes wrong is said once, until the exchange answers again."""
        while True:
            wait_s = IDLE_S
            if self._is_wanted():
                wait_s = await self._ask()
                self.tried.set()
            await asyncio.sleep(wait_s)

    async def _ask(self) -> float:
        """Seconds until the next time."""
        try:
            async with timeout(self._answer_s):
                markets = await self._fetch_markets()
            if not markets:  # of all its markets: what we can't read is no word about them
                raise RestFault("it lists no market")
        except (RestFault, asyncio.TimeoutError) as fault:
            if not self._is_away:
                said = str(fault) or f"no answer within {self._answer_s:g} s"
                log.warning("what the exchange says of its markets' state is not known: %s", said)
            self._is_away = True
            asked_s = fault.retry_after_s if isinstance(fault, RestFault) else None
            return max(self._each_s, asked_s or 0.0)
        if self._is_away:
            log.info("the exchange tells the state of its markets again")
        self._is_away = False
        self._listed, self._listed_ms = {market.symbol: market for market in markets}, self._clock_ms()
        self._compare()
        return self._each_s

    def _compare(self) -> None:
        listed = self._listed
        found = {symbol: state for symbol in self.symbols if (state := state_of(listed.get(symbol))) is not None}
        changed = [symbol for symbol in self.symbols if found.get(symbol) != self._states.get(symbol)]
        self._states = found
        for symbol in changed:
            market = listed.get(symbol)
            said = "not listed" if market is None else market.state or OPEN
            log.warning("%s is %s at the exchange: %s", symbol, said, found.get(symbol, "open"))
        if changed:
            self.on_change(changed)
