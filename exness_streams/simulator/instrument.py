"""One market in all that the simulated exchange tells of it: book, trades and candles are of one state. No clock."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import NamedTuple

from exness_streams.simulator.book import Book, BookDepth
from exness_streams.simulator.history import PAST_MINUTES, SimulatedHistory
from exness_streams.simulator.market import Listing, SimulatedMarket, SimulatedTrade
from exness_streams.simulator.past import USUAL_RATE, Candle

TRADES_KEPT = 2_000
"""What is older is not remembered, but in candles."""

ENGINE_LAG_US = 211
"""How long before its emission (E) an event happened (T)."""


class PastTrade(NamedTuple):
    """A trade and when it happened (T), µs since the epoch."""

    trade: SimulatedTrade
    engine_us: int


class Instrument:
    """One symbol. Times are the exchange's, µs or s since the epoch; rate: steps a second, for the past to be alike."""

    def __init__(
        self, listing: Listing, seed: int, *, rate: float = USUAL_RATE, past_minutes: int = PAST_MINUTES
    ) -> None:
        self.listing = listing
        self.symbol = listing.symbol
        self.market = SimulatedMarket(listing, seed)
        self.depth = BookDepth(f"{seed}/{listing.symbol}/depth", listing.unit)
        self.trades: deque[PastTrade] = deque(maxlen=TRADES_KEPT)
        self._seed, self._rate, self._past_minutes = seed, rate, past_minutes
        self.begin(0)

    def begin(self, now_s: int) -> None:
        """It begins to move: what comes before is made up, what comes now is recorded."""
        self.history = SimulatedHistory(
            self.listing, self._seed, self.market.last, now_s, self._past_minutes, self._rate
        )

    def move(self, emit_us: int) -> SimulatedTrade | None:
        """One step of the market, and the trade that came with it, if any."""
        trade = self.market.step()
        if trade is not None:
            engine_us = emit_us - ENGINE_LAG_US
            self.trades.append(PastTrade(trade, engine_us))
            self.history.record(trade.price, trade.quantity, engine_us // 1_000_000)
        return trade

    def pin(self, bid: Decimal | None, ask: Decimal | None, last: Decimal | None, now_s: int) -> None:
        """As SimulatedMarket.pin; the candles know the last price."""
        self.market.pin(bid, ask, last)
        self.history.record(self.market.last, 0, now_s)

    def jump(self, factor: Decimal, now_s: int) -> None:
        """As SimulatedMarket.jump; the candles know it."""
        self.market.jump(factor)
        self.history.record(self.market.last, 0, now_s)

    def book(self) -> Book:
        """The best prices now."""
        market = self.market
        return Book(market.bid, market.bid_quantity, market.ask, market.ask_quantity, market.update_id)

    def until(self, now_s: int, length_s: int) -> Candle:
        """The figures of the ticker: of the whole minutes of that length up to now."""
        last = self.market.last
        candle = self.history.until(now_s, length_s)
        # Without a price in all that time it has stood still.
        return Candle(last, last, last, last, 0, 0, 0) if candle is None else candle
