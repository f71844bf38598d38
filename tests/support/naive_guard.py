"""The price guard once more, the slow way: in fractions; all that was held is kept, and read anew at each tick."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

NAMES = ("bid", "ask", "price")


class Tick(NamedTuple):
    """What a tick tells of one market. Fields as GuardedTick's."""

    bid: Decimal | None
    ask: Decimal | None
    price: Decimal
    received_ms: int
    is_of_ticker: bool = False
    look: bool = False
    symbol: str = "SOL_USDC"


class Outcome(NamedTuple):
    """is_told False: nothing goes on."""

    bid: Decimal | None
    ask: Decimal | None
    price: Decimal
    suspended: bool
    is_told: bool = True


class NaiveGuard:
    """One market."""

    def __init__(self, band: Decimal) -> None:
        self.band = Fraction(band)
        self.reference: dict[str, Decimal | None] | None = None
        self.held: list[Tick] = []
        self.before_hold: Decimal | None = None

    def take(self, tick: Tick) -> Outcome:
        as_it_is = Outcome(tick.bid, tick.ask, tick.price, suspended=False)
        if not self.band:
            return as_it_is._replace(is_told=not tick.look)
        if self.reference is None:
            if tick.look:
                return Outcome(None, None, tick.price, suspended=False, is_told=False)
            self.reference = {name: getattr(tick, name) for name in NAMES}
            return as_it_is
        if self.held and not tick.look and not tick.is_of_ticker and tick.bid is None and tick.ask is None:
            newest = next(held for held in reversed(self.held) if not held.look)
            if tick.price == newest.price:  # it tells nothing
                return Outcome(None, None, self.reference["price"], suspended=True)
        is_within = not any(self._side(tick, name) for name in NAMES)
        if tick.look:
            if not self.held:
                return Outcome(None, None, self.reference["price"], suspended=False, is_told=False)
        elif is_within:
            self._accept(tick)
            return as_it_is
        elif not self.held:
            self.before_hold = self.reference["price"]
        self.held.append(tick)
        newest = next(held for held in reversed(self.held) if not held.look)
        if self._may_be_accepted(newest):
            self._accept(newest)
            return Outcome(newest.bid, newest.ask, newest.price, suspended=False)
        return Outcome(None, None, self.reference["price"], suspended=True, is_told=not tick.look)

    def _accept(self, tick: Tick) -> None:
        assert self.reference is not None
        self.reference |= {name: getattr(tick, name) for name in NAMES if getattr(tick, name) is not None}
        self.held = []

    def _known(self, name: str) -> Fraction:
        assert self.reference is not None
        known = self.reference[name]
        return Fraction(self.reference["price"] if known is None else known)

    def _side(self, tick: Tick, name: str) -> int:
        figure = getattr(tick, name)
        side = 0 if figure is None else self._off(Fraction(figure), self._known(name))
        if name == "price" and side and tick.bid is not None and tick.ask is not None:
            is_accepted = not self._side(tick, "bid") and not self._side(tick, "ask")
            lowest, highest = Fraction(tick.bid) * (1 - self.band), Fraction(tick.ask) * (1 + self.band)
            return 0 if is_accepted and lowest <= Fraction(tick.price) <= highest else side
        return side

    def _off(self, figure: Fraction, known: Fraction) -> int:
        if abs(figure - known) <= self.band * known:
            return 0
        return 1 if figure > known else -1

    def _may_be_accepted(self, newest: Tick) -> bool:
        """Read all that was held, from the first."""
        run: list[tuple[int, Tick, set[str]]] | None = None  # (ms, update, what it tells)
        side = alone_ms = looks = now_ms = 0
        doubted, counted_now = False, False
        before = self.before_hold
        for tick in self.held:
            now_ms = max(now_ms, tick.received_ms)
            counted_now = False
            if tick.look:
                if run is not None and self._look_agrees(tick, run, side):
                    looks += 1
                    counted_now = True
                else:
                    run, looks, doubted = None, 0, True
                continue
            tells = {"price"} if tick.is_of_ticker else {"bid", "ask"} | ({"price"} if tick.price != before else set())
            before = tick.price
            tells = {name for name in tells if getattr(tick, name) is not None}
            sides = {self._side(tick, name) for name in tells} - {0}
            if not sides:
                alone_ms = now_ms
                continue
            both_told = not tick.is_of_ticker and "price" in tells
            torn = self._is_torn(tick)
            if len(sides) == 2 or (torn and both_told):
                run, looks = None, 0
                continue
            levels = {} if run is None else self._levels(run)
            disagrees = run is None or sides != {side}
            disagrees |= any(
                self._off(Fraction(getattr(tick, name)), levels[name]) != 0 for name in tells if name in levels
            )
            other = ("bid", "ask") if tick.is_of_ticker else ("price",)
            disagrees |= torn and any(name in levels for name in other)
            if disagrees:
                run, looks, side, alone_ms = [], 0, next(iter(sides)), now_ms
            assert run is not None
            run.append((now_ms, tick, tells))
            counted_now = True
        if run is None or not counted_now:
            return False
        levels = self._levels(run)
        if any(self._side(newest, name) and name not in levels for name in NAMES):
            return False
        if now_ms - alone_ms >= 5_000:
            return True
        is_enough = len(run) + 2 * looks >= 3 and now_ms - run[0][0] >= 1_000
        return is_enough and (looks > 0 or not (doubted or self._is_beyond_two(newest)))

    def _levels(self, run: list[tuple[int, Tick, set[str]]]) -> dict[str, Fraction]:
        found: dict[str, Fraction] = {}
        for _, tick, tells in run:
            found |= {name: Fraction(getattr(tick, name)) for name in tells if self._side(tick, name)}
        return found

    def _is_torn(self, tick: Tick) -> bool:
        if not self._side(tick, "price") or not (self._side(tick, "bid") or self._side(tick, "ask")):
            return False
        price = Fraction(tick.price)
        below = tick.bid is not None and self._off(price, Fraction(tick.bid)) < 0
        above = tick.ask is not None and self._off(price, Fraction(tick.ask)) > 0
        return below or above

    def _look_agrees(self, look: Tick, run: list[tuple[int, Tick, set[str]]], side: int) -> bool:
        levels = {name: level for name, level in self._levels(run).items() if getattr(look, name) is not None}
        return bool(levels) and all(
            self._side(look, name) == side and self._off(Fraction(getattr(look, name)), level) == 0
            for name, level in levels.items()
        )

    def _is_beyond_two(self, tick: Tick) -> bool:
        figures = [
            (Fraction(getattr(tick, name)), self._known(name)) for name in NAMES if getattr(tick, name) is not None
        ]
        return any(figure > 2 * known or 2 * figure < known for figure, known in figures)
