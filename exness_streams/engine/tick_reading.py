"""From a record of the ticks' topic to a quote that the house gives; what is none is named and counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Sequence
from operator import attrgetter
from typing import Any, Protocol

from exness_streams.domain.frames import DayFigures
from exness_streams.domain.instruments import Catalogue, mark_up
from exness_streams.domain.money import canonical
from exness_streams.domain.quotes import Quote
from exness_streams.domain.ticks import TickFault
from exness_streams.market_data.ticks import TickRecord, read_tick
from exness_streams.messages import MarketDataMessage

log = logging.getLogger(__name__)


class OffsetTickRecord(TickRecord, Protocol):
    """A record of the ticks' topic, and where it stands."""

    @property
    def offset(self) -> int: ...


def day_of(tick: MarketDataMessage) -> DayFigures | None:
    """What a tick tells of 24 hours; most tell nothing."""
    first, high, low, volume = tick.open24h, tick.high24h, tick.low24h, tick.quote_volume24h
    if first is None and high is None and low is None and volume is None:
        return None
    figures = (first, high, low, tick.volume, volume)
    return DayFigures(tick.symbol, *(None if figure is None else canonical(figure) for figure in figures))


def receipt_of(batch: Sequence[OffsetTickRecord]) -> Callable[[Any], int | None]:
    """Reads when the log took a record of this batch, ms since the epoch: each log has its own name for that."""
    for name in ("timestamp_ms", "timestamp"):
        if batch and hasattr(batch[0], name):
            return attrgetter(name)
    return lambda _: None


class Board(Protocol):
    """Which markets are not open (engine/kept_markets.py)."""

    @property
    def kept(self) -> Container[str]:
        """The symbols that the operator or the exchange holds anything against: always the same object."""

    @property
    def heard_ms(self) -> dict[str, int]:
        """When the newest tick of each symbol was received: always the same object, written by the framer."""

    def follows(self, symbol: str) -> bool:
        """Whether the ticks of a symbol that is not on offer are wanted still."""

    def hear(self, symbol: str, state: str | None) -> bool:
        """The newest tick tells what the exchange says, None: open. Whether cells may get no bid and ask of it."""

    def begin(self) -> None:
        """A framer begins, with what its lease has kept."""


class TickReader:
    """catalogue: whose spread rates the quotes are marked up with, so that the journal holds what orders fill at.

    topic: as it is called in the log. board: where markets are not open, their quotes have no bid and ask.
    """

    def __init__(
        self, catalogue: Catalogue | None, topic: str, counters: Counter[str], board: Board | None = None
    ) -> None:
        self._spread_rates = {terms.symbol: terms.spread_rate for terms in catalogue or () if terms.spread_rate}
        self._symbols = None if catalogue is None else frozenset(terms.symbol for terms in catalogue)
        self._board = board
        self._kept: Container[str] = () if board is None else board.kept
        self.heard_ms: dict[str, int] = {} if board is None else board.heard_ms
        self._topic = topic
        self._counters = counters
        self.faults: Counter[TickFault] = Counter()

    def read(self, record: OffsetTickRecord) -> MarketDataMessage | None:
        """None: it is no tick of an instrument on offer."""
        tick, fault = read_tick(record)
        if tick is not None and self._symbols is not None and tick.symbol not in self._symbols:
            is_followed = self._board is not None and self._board.follows(tick.symbol)
            tick, fault = (tick, fault) if is_followed else (None, TickFault.UNKNOWN_SYMBOL)
        if fault is not None:
            self._note(record, fault, ignored=tick is None)
        return tick

    def quote(self, record: OffsetTickRecord, tick: MarketDataMessage, time_ms: int) -> Quote:
        """What the house gives. time_ms: the tick's, none of the future."""
        if time_ms != tick.timestamp:
            self._note_ahead(record)
        bid, ask, board = tick.bid, tick.ask, self._board
        # Nearly all ticks are of markets that nobody holds anything against.
        is_news = tick.state is not None or tick.symbol in self._kept
        if is_news and board is not None and board.hear(tick.symbol, tick.state):
            bid = ask = None
        quote = Quote(tick.sequence, time_ms, tick.price, bid, ask, tick.volume)
        rate = self._spread_rates.get(tick.symbol)
        return quote if rate is None else mark_up(quote, rate)

    def _note(self, record: OffsetTickRecord, fault: TickFault, *, ignored: bool) -> None:
        if not self.faults[fault]:
            what = "is ignored" if ignored else "counts without bid and ask"
            log.warning(
                "tick %d of %s %s (%s); further ones are only counted", record.offset, self._topic, what, fault.value
            )
        self.faults[fault] += 1
        self._counters["malformed"] += ignored

    def _note_ahead(self, record: OffsetTickRecord) -> None:
        if not self._counters["ahead"]:
            log.warning(
                "tick %d of %s has a time in the future by this machine's clock and is taken as of now; further "
                "ones are only counted",
                record.offset,
                self._topic,
            )
        self._counters["ahead"] += 1
