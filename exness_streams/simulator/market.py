"""Invented markets for the simulator: seeded random walks of integers on a tick grid, no clock and no I/O.

A market's prices depend on its symbol, the seed and the number of steps alone. Prices are counted in ticks
and quantities in steps, both powers of ten, so nothing is ever rounded and no float is near a price.
"""

from __future__ import annotations

import hashlib
import random
from decimal import Decimal

import msgspec

PRICE_MAX = Decimal(10) ** 11

PULL_STEPS = 500_000
"""Each step draws the walk back by this fraction of its distance from the anchor: it cannot run off."""
SET_BACK_US = 1_000_000
"""A clock that goes back by more than this is followed."""
TRADE_EVERY = 3
"""One step of so many comes with a trade."""

_WALK_PPM = 87
"""Half-width of one step, millionths of the price: a standard deviation of half a basis point."""
_TRADES_A_DAY = 288_000
"""At 10 steps a second."""


def step_width(price: int) -> int:
    """The largest step at a price, in ticks; all up to it, up and down, are equally likely."""
    return max(1, price * _WALK_PPM // 1_000_000)


class Listing(msgspec.Struct, frozen=True):
    """The terms of a market. The tick is 10^-price_places, the quantity step 10^-quantity_places.

    start: first bid, quote currency. spread_ticks_max: widest spread. daily_volume: base asset, what is traded in 24 h
    at the usual rate of 10 steps a second.
    """

    symbol: str
    start: Decimal
    price_places: int
    quantity_places: int
    spread_ticks_max: int
    daily_volume: int

    @property
    def unit(self) -> int:
        """Steps of one base asset."""
        return int(10**self.quantity_places)

    @property
    def trade_quantity_max(self) -> int:
        """The largest trade, in steps; all up to it are equally likely."""
        return max(1, 2 * self.daily_volume * self.unit // _TRADES_A_DAY)


class SimulatedQuote(msgspec.Struct, frozen=True):
    """Best prices and last trade, quote currency. None: that side is empty."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal


class SimulatedTrade(msgspec.Struct, frozen=True):
    """A trade of one step. price in ticks, quantity in steps."""

    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool


_KNOWN = {
    "SOL": (Decimal(150), 2, 2, 3, 600_000),
    "BTC": (Decimal(65_000), 1, 5, 12, 1_800),
    "ETH": (Decimal(3_500), 2, 4, 12, 30_000),
}


def listing_of(symbol: str) -> Listing:
    """The terms of a symbol: SOL, BTC and ETH near their usual prices, any other near a price of its name."""
    known = _KNOWN.get(symbol.split("_", 1)[0])
    if known is not None:
        return Listing(symbol, *known)
    digest = int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big")
    # Five significant digits, from 0.10000 to 999.99.
    places = 3 + digest % 4
    start = Decimal(10_000 + (digest >> 8) % 90_000).scaleb(-places)
    return Listing(symbol, start, places, 2, 5, 100_000 + (digest >> 32) % 900_000)


class SimulatedMarket:
    """One symbol's best prices and last trade. Prices are in ticks, quantities in steps."""

    def __init__(self, listing: Listing, seed: int) -> None:
        self.listing = listing
        self.symbol = listing.symbol
        self.is_perpetual = listing.symbol.endswith("_PERP")
        # Two generators, so that what decorates a step never disturbs the prices.
        self._walk = random.Random(f"{seed}/{listing.symbol}/walk")  # nosec B311 - prices that repeat
        self._detail = random.Random(f"{seed}/{listing.symbol}/detail")  # nosec B311
        self._anchor = self._pull = 0
        self.pinned = False
        self.bid: int | None = self._ticks(listing.start)
        self.ask: int | None = self._ticks(listing.start) + 1
        self.last = self._at = self._anchor = self._ticks(listing.start)
        self._trade_quantity_max = listing.trade_quantity_max
        self.trade_id = 341_399_899
        self.update_id = 6_730_019_258
        self.engine_us = 0
        self.new_quantities()

    def step(self) -> SimulatedTrade | None:
        """One change of the book, and the trade that came with it, if any. A pinned market stands still."""
        if self.pinned:
            return None
        width = step_width(self._at)
        drift, self._pull = divmod(self._pull + self._anchor - self._at, PULL_STEPS)
        self._at = max(1, self._at + drift + self._walk.randint(-width, width))
        self.bid = self._at
        self.ask = self._at + self._walk.randint(1, self.listing.spread_ticks_max)
        self.new_quantities()
        return self._trade() if self._detail.randrange(TRADE_EVERY) == 0 else None

    def new_quantities(self) -> None:
        """The book changes, its prices do not."""
        unit = self.listing.unit
        self.bid_quantity = self._detail.randint(unit // 100 or 1, 20 * unit)
        self.ask_quantity = self._detail.randint(unit // 100 or 1, 20 * unit)
        self.update_id += self._detail.randint(1, 9)

    def pin(self, bid: Decimal | None, ask: Decimal | None, last: Decimal | None) -> None:
        """Holds the book at these prices. last defaults to the middle, rounded down to the grid.

        Raises ValueError for prices off the tick grid, crossed, not positive, or all absent.
        """
        bid_ticks = None if bid is None else self._ticks(bid)
        ask_ticks = None if ask is None else self._ticks(ask)
        sides = [ticks for ticks in (bid_ticks, ask_ticks) if ticks is not None]
        if bid_ticks is not None and ask_ticks is not None and bid_ticks > ask_ticks:
            raise ValueError(f"{self.symbol}: bid {bid} is above ask {ask}")
        if not sides and last is None:
            raise ValueError(f"{self.symbol}: a bid, an ask or a last price is needed")
        last_ticks = sum(sides) // len(sides) if last is None else self._ticks(last)
        self.pinned = True
        self.bid, self.ask = bid_ticks, ask_ticks
        self.last = last_ticks
        self.new_quantities()

    def release(self) -> None:
        """Lets a pinned market walk again, from the price where it stands."""
        self.pinned = False
        self._at = self._anchor = self.last
        self._pull = 0

    def resume(self, bid: Decimal) -> None:
        """Begin at a bid of an earlier run, rounded to the grid, as a market that has always stood there.

        Raises ValueError when it is no price.
        """
        if not bid.is_finite() or not 0 < bid <= PRICE_MAX:
            raise ValueError(f"{self.symbol}: {bid} is not a positive price up to {PRICE_MAX}")
        ticks = max(1, int(bid.scaleb(self.listing.price_places).to_integral_value()))
        self._at = self._anchor = self.bid = ticks
        self.ask = ticks + 1
        self._pull = 0
        self.last = ticks

    def jump(self, factor: Decimal) -> None:
        """Multiplies every price at once, as a gap does. Raises ValueError when the result is no price."""
        if not factor.is_finite() or factor <= 0:
            raise ValueError(f"a price cannot jump by a factor of {factor}")
        if self.last * factor > PRICE_MAX.scaleb(self.listing.price_places):
            raise ValueError(f"{self.symbol}: a factor of {factor} leads beyond {PRICE_MAX}")
        self.bid = None if self.bid is None else max(1, int(self.bid * factor))
        self.ask = None if self.ask is None else max(2, int(self.ask * factor))
        self._at = max(1, int(self._at * factor))
        self._anchor = max(1, int(self._anchor * factor))
        self.last = max(1, int(self.last * factor))
        self.new_quantities()

    def quote(self) -> SimulatedQuote:
        """The prices now."""
        return SimulatedQuote(
            None if self.bid is None else self._price(self.bid),
            None if self.ask is None else self._price(self.ask),
            self._price(self.last),
        )

    def next_event_us(self, now_us: int) -> int:
        """The time of this symbol's next event: now, or just after its last one, unless the clock was set back."""
        is_set_back = now_us < self.engine_us - SET_BACK_US
        self.engine_us = now_us if is_set_back else max(now_us, self.engine_us + 1)
        return self.engine_us

    def _trade(self) -> SimulatedTrade:
        buyer_is_maker = self._detail.random() < 0.5
        price = self.bid if buyer_is_maker else self.ask
        if price is None:
            raise ValueError(f"{self.listing.symbol} has no trade on a side without a price")
        quantity = self._detail.randint(1, self._trade_quantity_max)
        self.last = price
        self.trade_id += 1
        return SimulatedTrade(self.trade_id, price, quantity, buyer_is_maker)

    def _ticks(self, price: Decimal) -> int:
        ticks = price.scaleb(self.listing.price_places)
        if not ticks.is_finite() or ticks <= 0 or price > PRICE_MAX or ticks != int(ticks):
            tick = Decimal(1).scaleb(-self.listing.price_places)
            raise ValueError(f"{self.symbol}: {price} is not a positive price on the grid of {tick:f}")
        return int(ticks)

    def _price(self, ticks: int) -> Decimal:
        return Decimal(ticks).scaleb(-self.listing.price_places)
