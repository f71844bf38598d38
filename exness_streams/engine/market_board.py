"""Which markets are not open, and why: what the operator, the exchange, the price guard and the offer say.

Each of them may hold a market back, and none can open what another holds back: the severest counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.market_states import Markets, MarketState, MarketTold, StateReason

log = logging.getLogger(__name__)

SEVERITY = {
    MarketState.OPEN: 0,
    MarketState.CLOSE_ONLY: 1,
    MarketState.SUSPENDED: 2,
    MarketState.HALTED: 3,
    MarketState.SETTLED: 4,
}

MASKED = frozenset({MarketState.HALTED, MarketState.SETTLED})
"""Nothing may fill or trigger in them, by any rules: their ticks go to the cells without bid and ask. The guard masks
what it suspends itself."""


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one of them says of a market. since_ms: by the clock of the ticks' owner. price: of a settlement."""

    state: MarketState
    since_ms: int
    price: Decimal | None = None


class KeptMarket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A market's entry in the ticks' owner's table: what has to outlive a restart. None: nothing is held against it."""

    decided: Said | None = None
    exchange: Said | None = None


encode_kept = codec.encode
decode_kept = msgspec.json.Decoder(KeptMarket).decode

NOTHING_KEPT = KeptMarket()


class SettledForGood(Exception):
    """A market was settled, and nothing else can be decided of it. str() is one line."""

    def __init__(self, symbol: str, said: Said) -> None:
        super().__init__(f"{symbol} was settled at {said.price}, for good")
        self.said = said


def nobody() -> Mapping[str, int]:
    """No market is suspended."""
    return {}


def nowhere() -> Iterable[str]:
    """Nothing stands in any market."""
    return ()


class MarketBoard:
    """What is said of each market, and what that comes to.

    offered: the instruments on offer. suspended: by symbol, since when (ms) the price guard holds its prices.
    standing: symbols in which positions or orders stand. former: other symbols in which they may, in cells elsewhere.
    """

    def __init__(
        self,
        offered: Iterable[str],
        *,
        clock_ms: Callable[[], int],
        suspended: Callable[[], Mapping[str, int]] = nobody,
        standing: Callable[[], Iterable[str]] = nowhere,
    ) -> None:
        self.offered = frozenset(offered)
        self._clock_ms = clock_ms
        self.suspended, self.standing = suspended, standing
        self._kept: dict[str, KeptMarket] = {}
        self.former: frozenset[str] = frozenset()
        self._left_ms: dict[str, int] = {}
        self._told: Markets | None = None

    # -- what is said

    def load(self, kept: Mapping[str, KeptMarket]) -> None:
        """What was kept of all markets takes the place of what was known."""
        self._kept.clear()
        self._kept.update(kept)
        self._left_ms.clear()
        self._told = None

    def kept(self, symbol: str) -> KeptMarket:
        """What there is to keep of a market."""
        return self._kept.get(symbol, NOTHING_KEPT)

    @property
    def kept_symbols(self) -> Container[str]:
        """Those that the operator or the exchange holds anything against: always the same object."""
        return self._kept

    def is_settled(self, symbol: str) -> bool:
        """Whether the operator has settled a market."""
        decided = self.kept(symbol).decided
        return decided is not None and decided.state is MarketState.SETTLED

    def decided(self, symbol: str, state: MarketState, price: Decimal | None = None) -> KeptMarket:
        """What is to be kept once the operator has decided so; the same as is kept when that is decided already.

        OPEN takes back what was decided before. price: of SETTLED, None: as it was settled. SettledForGood.
        """
        kept, said = self.kept(symbol), None
        before = kept.decided
        if before is not None and before.state is MarketState.SETTLED:
            if state is not MarketState.SETTLED or price not in (None, before.price):
                raise SettledForGood(symbol, before)
            return kept
        if before is not None and before.state is state:
            return kept
        if state is not MarketState.OPEN:
            said = Said(state, self._clock_ms(), price)
        return msgspec.structs.replace(kept, decided=said)

    def take(self, symbol: str, kept: KeptMarket) -> None:
        """What is kept of a market has changed."""
        if kept == NOTHING_KEPT:
            self._kept.pop(symbol, None)
        else:
            self._kept[symbol] = kept

    def hear(self, symbol: str, state: MarketState) -> bool:
        """The newest tick tells what the exchange says. Whether that is news."""
        kept = self._kept.get(symbol)
        said = None if kept is None else kept.exchange
        if state is (MarketState.OPEN if said is None else said.state):
            return False
        news = None if state is MarketState.OPEN else Said(state, self._clock_ms())
        self.take(symbol, msgspec.structs.replace(kept or NOTHING_KEPT, exchange=news))
        return True

    # -- what it comes to

    def follows(self, symbol: str) -> bool:
        """Whether the ticks of a symbol are wanted: it is on offer, or something stands in it still."""
        return symbol in self.offered or symbol in self.former or symbol in self.standing()

    def followed(self) -> set[str]:
        """The symbols whose ticks are wanted, as far as they are known here."""
        return {*self.offered, *self.former, *self.standing()}

    def masks(self, symbol: str) -> bool:
        """Whether cells may get no bid and ask of a symbol now."""
        kept = self._kept.get(symbol)
        return kept is not None and any(
            said is not None and said.state in MASKED for said in (kept.decided, kept.exchange)
        )

    def told(self) -> Markets:
        """All markets that are not open now, by symbol. What has changed since it was asked last is said in the log."""
        suspended, left = self.suspended(), self._left()
        if not self._kept and not suspended and not left:
            told: Markets = ()
        else:
            found = (self._of(symbol, suspended, left) for symbol in sorted({*self._kept, *suspended, *left}))
            told = tuple(market for market in found if market is not None)
        if told != self._told:
            self._say(told)
            self._told = told
        return told

    def of(self, symbol: str) -> MarketTold | None:
        """How one market is; None: open."""
        return self._of(symbol, self.suspended(), self._left())

    def known(self) -> list[str]:
        """Every symbol there is something to say of: those on offer first."""
        return [*sorted(self.offered), *sorted({*self._kept, *self.suspended(), *self._left()} - self.offered)]

    def _left(self) -> Mapping[str, int]:
        """Markets that are not offered any more and in which something stands, by since when that is known here."""
        left = {symbol for symbol in (*self.former, *self.standing()) if symbol not in self.offered}
        if left != self._left_ms.keys():
            now_ms = self._clock_ms()
            self._left_ms = {symbol: self._left_ms.get(symbol, now_ms) for symbol in left}
        return self._left_ms

    def _of(self, symbol: str, suspended: Mapping[str, int], left: Mapping[str, int]) -> MarketTold | None:
        kept = self.kept(symbol)
        said = []  # of those that are as severe, the first is named
        if kept.decided is not None:
            said.append((kept.decided, StateReason.OPERATOR))
        if kept.exchange is not None:
            said.append((kept.exchange, StateReason.EXCHANGE))
        if symbol in suspended:
            said.append((Said(MarketState.SUSPENDED, suspended[symbol]), StateReason.PRICE_GUARD))
        if symbol in left:
            said.append((Said(MarketState.CLOSE_ONLY, left[symbol]), StateReason.NOT_OFFERED))
        if not said:
            return None
        severest, reason = max(said, key=lambda one: SEVERITY[one[0].state])
        return MarketTold(symbol, severest.state, reason, severest.since_ms, severest.price)

    def _say(self, told: Markets) -> None:
        """Log lines of changes, but for what the price guard says itself (tick_guard.py)."""
        before = {market.symbol: market for market in self._told or () if market.reason is not StateReason.PRICE_GUARD}
        now = {market.symbol: market for market in told}
        for symbol in sorted({*before, *now}):
            was, market = before.get(symbol), now.get(symbol)
            if market is None and symbol in self.offered:
                log.warning("%s is open again", symbol)
            elif market is None:
                log.warning("nothing stands any more in %s, which is not offered", symbol)
            elif market.reason is not StateReason.PRICE_GUARD and not _is_same(was, market):
                log.warning("%s", in_words(market))


def _is_same(was: MarketTold | None, market: MarketTold) -> bool:
    return was is not None and (was.state, was.reason, was.price) == (market.state, market.reason, market.price)


_WHY = {
    StateReason.OPERATOR: "an operator has decided so",
    StateReason.EXCHANGE: "so the exchange says",
    StateReason.PRICE_GUARD: "prices jumped by more than the band",
    StateReason.NOT_OFFERED: "it is not offered any more",
}


def in_words(market: MarketTold) -> str:
    """How a market is, as a sentence."""
    at = "" if market.price is None else f" at {market.price:f}"
    return f"{market.symbol} is {market.state.value.replace('_', '-')}{at}: {_WHY[market.reason]}"
