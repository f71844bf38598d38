"""The price guard: what of the ticks is believed. A fold of them with their times of receipt; it has no clock.

Each figure of a tick (bid, ask, last price) is compared with the last accepted one. When one is further away than the
band, the whole tick is held and its market is suspended: bid and ask are unknown meanwhile, and the price is the last
accepted one. What is held counts as nothing, also when it is confirmed later: the newest of it becomes the reference.

The guard bounds jumps, not walks: prices that go far in steps within the band are a market that moves.
docs/decisions/0037-the-price-guard.md says why each rule is as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, Protocol

from exness_streams.domain.money import ZERO
from exness_streams.domain.price_reference import NEAR, Far, LastAccepted, Reference, Told, fits, has_moved, side_of

CONFIRMING_MS = 1_000
CONFIRMING_UPDATES = 3
"""A level is accepted after so long, by so many updates that agree."""

LOOK_COUNTS = 2
"""A look at the exchange's REST counts as so many of them."""

ALONE_MS = 5_000
"""Or after so long in which nothing else was told."""

STORE_PART = Decimal("0.1")
"""A reference that moved by less than this part of the band is not worth a write."""


class Change(str, Enum):
    """What a tick did to its market. CONFIRMED, ALONE: the level that was held is accepted, and why."""

    SUSPENDED = "suspended"
    RETURNED = "returned"
    CONFIRMED = "confirmed"
    ALONE = "alone"


class GuardedTick(Protocol):
    """A market update, quote currency.

    is_of_ticker: it tells of the price, and its book was told before. Any other tells of its book, and of the price
    when that is another than before. look: it tells of both, as the exchange's REST has them: it confirms or
    contradicts what is held, and never goes on itself.
    """

    @property
    def symbol(self) -> str: ...
    @property
    def bid(self) -> Decimal | None: ...
    @property
    def ask(self) -> Decimal | None: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def is_of_ticker(self) -> bool: ...
    @property
    def look(self) -> bool: ...


class Believed(NamedTuple):
    """What goes on in a tick's place. is_told False: nothing does. change: None when it changed nothing.

    since_ms: since when the market is or was suspended. held: how many ticks were. age_ms: how long before this tick
    the book that goes on was told, where it is of one that was held.
    """

    bid: Decimal | None
    ask: Decimal | None
    price: Decimal
    suspended: bool
    is_told: bool = True
    change: Change | None = None
    since_ms: int = 0
    held: int = 0
    age_ms: int = 0


class _Run:
    """Updates that contradict the reference on one side and agree with one another, up to now without a break.

    side: 1 above, −1 below. bid, ask, price: as last told in it, when that contradicts the reference.
    alone_ms: since when nothing else was told. looked: a look has agreed.
    """

    __slots__ = ("alone_ms", "ask", "bid", "count", "looked", "price", "side", "since_ms")

    def __init__(self, side: int, now_ms: int) -> None:
        self.side, self.since_ms, self.alone_ms = side, now_ms, now_ms
        self.count, self.looked = 0, False
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.price: Decimal | None = None

    @property
    def has_book(self) -> bool:
        return self.bid is not None or self.ask is not None


class _Hold:
    """Why a market is suspended. newest: the last tick held. book_ms: when a book was told last. doubted: a look has
    contradicted what is held."""

    __slots__ = ("book_ms", "count", "doubted", "newest", "now_ms", "run", "since_ms")

    def __init__(self, newest: Told, now_ms: int) -> None:
        self.newest = newest
        self.since_ms = self.now_ms = self.book_ms = now_ms
        self.count, self.doubted = 0, False
        self.run: _Run | None = None


class _Market(LastAccepted):
    """hold: while it is suspended; there is no zone then."""

    __slots__ = ("hold", "stored")

    def __init__(self, band: Decimal, reference: Reference) -> None:
        super().__init__(band, reference)
        self.stored: Reference | None = None
        self.hold: _Hold | None = None

    def accept(self, told: Told) -> None:
        self.hold = None
        super().accept(told)


class PriceGuard:
    """bands: of each market, as a fraction of the reference; 0: all is believed. band: of any other market."""

    def __init__(self, bands: Mapping[str, Decimal], band: Decimal = ZERO) -> None:
        self._bands, self._band = dict(bands), band
        self._markets: dict[str, _Market] = {}

    # -- what is kept

    def load(self, symbol: str, reference: Reference) -> None:
        """A reference that was stored. One is loaded before the first tick of its market."""
        band = self._bands.get(symbol, self._band)
        if band:
            self._markets[symbol] = market = _Market(band, reference)
            market.stored = reference

    def moved(self) -> Iterator[tuple[str, Reference]]:
        """The references that are worth storing by now. They count as stored from then on."""
        for symbol, market in self._markets.items():
            now = Reference(market.price, market.bid, market.ask)
            if market.stored is None or has_moved(now, market.stored, market.band * STORE_PART):
                market.stored = now
                yield symbol, now

    def let_go(self) -> None:
        """Forget what is held: the time of receipt went back, or stood still."""
        for market in self._markets.values():
            market.hold = None
            market.narrow()

    @property
    def suspended(self) -> dict[str, int]:
        """The markets that are suspended, and since when (ms)."""
        return {symbol: market.hold.since_ms for symbol, market in self._markets.items() if market.hold is not None}

    # -- ticks

    def take(self, tick: GuardedTick, received_ms: int) -> Believed | None:
        """What goes on in a tick's place; None: the tick, as it is. Its bid is not above its ask."""
        market = self._markets.get(tick.symbol)
        if market is None:
            band = self._bands.get(tick.symbol, self._band)
            return self._begin(tick, band) if tick.look or band else None
        bid, ask, price, low, high = tick.bid, tick.ask, tick.price, market.low, market.high
        if (
            bid is not None
            and ask is not None
            and low <= bid
            and ask <= high
            and low <= price <= high
            and not tick.look
        ):
            market.bid, market.ask, market.price = bid, ask, price
            return None
        if tick.look:
            return _take_look(market, Told(bid, ask, price), received_ms)
        return _take(market, Told(bid, ask, price), received_ms, book_is_old=tick.is_of_ticker)

    def _begin(self, tick: GuardedTick, band: Decimal) -> Believed | None:
        if tick.look:
            return Believed(None, None, tick.price, suspended=False, is_told=False)
        reference = Reference(tick.price, tick.bid, tick.ask)
        self._markets[tick.symbol] = _Market(band, reference)
        return None


def _take(market: _Market, told: Told, received_ms: int, *, book_is_old: bool) -> Believed | None:
    far, hold = market.far(told), market.hold
    if hold is not None and not book_is_old and told == (None, None, hold.newest.price):
        return Believed(None, None, market.price, True, since_ms=hold.since_ms, held=hold.count)  # it tells nothing
    if far == NEAR:
        market.accept(told)
        if hold is None:
            return None
        return Believed(*told, False, change=Change.RETURNED, since_ms=hold.since_ms, held=hold.count)
    change: Change | None = None
    before = market.price
    if hold is None:
        hold, change = _Hold(told, received_ms), Change.SUSPENDED
        market.hold = hold
        market.close()
    else:
        before = hold.newest.price
    hold.now_ms = now_ms = max(hold.now_ms, received_ms)
    hold.newest = told
    hold.book_ms = hold.book_ms if book_is_old else now_ms
    hold.count += 1
    tells_price = book_is_old or told.price != before
    spoken = Far(0 if book_is_old else far.bid, 0 if book_is_old else far.ask, far.price if tells_price else 0)
    if spoken != NEAR:
        _count(market, hold, told, far, spoken, tells_book=not book_is_old, tells_price=tells_price)
        if _is_accepted(market, hold):
            return _accepted(market, hold)
    elif hold.run is not None:
        hold.run.alone_ms = now_ms  # what contradicts is told again, and beside it something that does not
    return Believed(None, None, market.price, True, change=change, since_ms=hold.since_ms, held=hold.count)


def _count(
    market: _Market, hold: _Hold, told: Told, far: Far, spoken: Far, *, tells_book: bool, tells_price: bool
) -> None:
    """Count an update that tells something far: to the run it agrees with, or as the first of a new one."""
    sides = {side for side in spoken if side}
    is_torn = far.price != 0 and (far.bid != 0 or far.ask != 0) and not fits(told, market.band)
    if len(sides) > 1 or (is_torn and tells_book and tells_price):
        hold.run = None  # it does not agree with itself
        return
    side, run = sides.pop(), hold.run
    if run is not None and is_torn and (run.price is not None if tells_book else run.has_book):
        run = None  # nor with what the run has told of the other
    if run is None or run.side != side or not _agrees(run, told, market.band, book=tells_book, price=tells_price):
        run = hold.run = _Run(side, hold.now_ms)
    run.count += 1
    if spoken.bid:
        run.bid = told.bid
    if spoken.ask:
        run.ask = told.ask
    if spoken.price:
        run.price = told.price


def _agrees(run: _Run, told: Told, band: Decimal, *, book: bool, price: bool) -> bool:
    """Whether what is told is within the band of what the run has told of it."""
    return not (
        (book and run.bid is not None and side_of(told.bid, run.bid, band))
        or (book and run.ask is not None and side_of(told.ask, run.ask, band))
        or (price and run.price is not None and side_of(told.price, run.price, band))
    )


def _is_accepted(market: _Market, hold: _Hold) -> bool:
    run, told = hold.run, hold.newest
    if run is None:
        return False
    far = market.far(told)
    if (far.bid and run.bid is None) or (far.ask and run.ask is None) or (far.price and run.price is None):
        return False  # it repeats something far that this run has not told
    return _is_confirmed(market, hold, run) or hold.now_ms - run.alone_ms >= ALONE_MS


def _is_confirmed(market: _Market, hold: _Hold, run: _Run) -> bool:
    if run.count < CONFIRMING_UPDATES or hold.now_ms - run.since_ms < CONFIRMING_MS:
        return False
    return run.looked or not (hold.doubted or market.is_beyond_factor(hold.newest))


def _accepted(market: _Market, hold: _Hold) -> Believed:
    confirmed = hold.run is not None and _is_confirmed(market, hold, hold.run)
    change = Change.CONFIRMED if confirmed else Change.ALONE
    market.accept(hold.newest)
    return Believed(*hold.newest, False, change=change, since_ms=hold.since_ms, held=hold.count)


def _take_look(market: _Market, told: Told, received_ms: int) -> Believed:
    """Outside of a hold it tells nothing: updates do, and are newer."""
    hold = market.hold
    if hold is not None:
        hold.now_ms = max(hold.now_ms, received_ms)
        run = hold.run
        if run is not None and _confirms(market, run, told):
            run.count += LOOK_COUNTS
            run.looked = True
            if _is_accepted(market, hold):
                return _accepted(market, hold)._replace(age_ms=hold.now_ms - hold.book_ms)
        else:
            hold.run, hold.doubted = None, True
    return Believed(None, None, market.price, hold is not None, is_told=False)


def _confirms(market: _Market, run: _Run, told: Told) -> bool:
    """Whether a look tells of the run's level: on its side, and of each figure that both tell within the band."""
    far = market.far(told)
    pairs = (run.bid, told.bid, far.bid), (run.ask, told.ask, far.ask), (run.price, told.price, far.price)
    both = [(level, figure, side) for level, figure, side in pairs if level is not None and figure is not None]
    return bool(both) and all(
        side == run.side and not side_of(figure, level, market.band) for level, figure, side in both
    )
