"""The price guard at the framer's door: what of a tick goes on, what is counted, and what is said of a suspension."""

from __future__ import annotations

import logging
from collections import Counter

import msgspec

from exness_streams.domain.price_guard import Believed, Change, PriceGuard
from exness_streams.messages import MarketDataMessage

log = logging.getLogger(__name__)

QUIET_MS = 10_000
"""Of a market whose prices jump on and on, so seldom a suspension is said; in between they are counted."""

_ENDS = {
    Change.RETURNED: "prices are back",
    Change.CONFIRMED: "updates that agree have confirmed the new level",
    Change.ALONE: "nothing but the new level was told for long",
}


class Suspensions:
    """What the guard did in this process, whoever owned the ticks. counts: by symbol, since its start."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._said_ms: dict[str, int] = {}
        self._unsaid: Counter[str] = Counter()
        self._is_said: dict[str, bool] = {}

    def note(self, tick: MarketDataMessage, believed: Believed, received_ms: int) -> None:
        """Count and say what has changed, if anything has."""
        symbol = tick.symbol
        if believed.change is None:
            return
        if believed.change is Change.SUSPENDED:
            self.counts[symbol] += 1
            self._begin(tick, believed)
        elif self._is_said.get(symbol):
            how_many = "1 tick was" if believed.held == 1 else f"{believed.held} ticks were"
            log.info(
                "%s is open again after %d ms: %s; %s held and count as nothing",
                symbol,
                received_ms - believed.since_ms,
                _ENDS[believed.change],
                how_many if believed.change is Change.RETURNED else f"before the newest, {how_many}",
            )

    def _begin(self, tick: MarketDataMessage, believed: Believed) -> None:
        symbol, since_ms = tick.symbol, believed.since_ms
        said_ms = self._said_ms.get(symbol)
        self._is_said[symbol] = said_ms is None or not 0 <= since_ms - said_ms < QUIET_MS
        if not self._is_said[symbol]:
            self._unsaid[symbol] += 1
            return
        self._said_ms[symbol] = since_ms
        unsaid = self._unsaid.pop(symbol, 0)
        log.warning(
            "%s is suspended: bid %s, ask %s, last %s are a jump beyond its price band (last price before: %s); "
            "nothing is filled or triggered in it until the market has confirmed them, or is back%s",
            symbol,
            _shown(tick.bid),
            _shown(tick.ask),
            tick.price,
            believed.price,
            f" ({unsaid} more suspensions of it were only counted)" if unsaid else "",
        )


def _shown(figure: object) -> object:
    return "unknown" if figure is None else figure


class TickGuard:
    """The guard of one owner of the ticks. take: PriceGuard's own, since it is called for each of them."""

    def __init__(self, guard: PriceGuard, suspensions: Suspensions) -> None:
        self.take = guard.take
        self._note = suspensions.note

    def told(self, tick: MarketDataMessage, believed: Believed, received_ms: int) -> MarketDataMessage | None:
        """The tick with the figures that go on; None when nothing does."""
        self._note(tick, believed, received_ms)
        if not believed.is_told:
            return None
        return msgspec.structs.replace(
            tick,
            bid=believed.bid,
            ask=believed.ask,
            price=believed.price,
            book_age_ms=tick.book_age_ms + believed.age_ms,
        )
