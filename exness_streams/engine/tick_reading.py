"""From a record of the ticks' topic to a quote that the house gives; what is none is named and counted."""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple, Protocol

from exness_streams.domain.frames import DayFigures
from exness_streams.domain.instruments import Catalogue, mark_up
from exness_streams.domain.money import canonical
from exness_streams.domain.quotes import Quote, bounded_ms
from exness_streams.domain.ticks import TickFault
from exness_streams.market_data.ticks import TickRecord, read_tick
from exness_streams.messages import MarketDataMessage

log = logging.getLogger(__name__)


class OffsetTickRecord(TickRecord, Protocol):
    """A record of the ticks' topic, and where it stands."""

    @property
    def offset(self) -> int: ...


class ReadTick(NamedTuple):
    """A tick of an instrument on offer. time_ms: its event's, none of the future."""

    message: MarketDataMessage
    time_ms: int

    @property
    def day(self) -> DayFigures | None:
        """What it tells of 24 hours; most tell nothing."""
        tick = self.message
        prices = tick.open24h, tick.high24h, tick.low24h
        if tick.quote_volume24h is None and prices == (None, None, None):
            return None
        figures = (*prices, tick.volume, tick.quote_volume24h)
        return DayFigures(tick.symbol, *(None if figure is None else canonical(figure) for figure in figures))


class TickReader:
    """catalogue: whose spread rates the quotes are marked up with, so that the journal holds what orders fill at.

    topic: as it is called in the log.
    """

    def __init__(self, catalogue: Catalogue | None, topic: str, counters: Counter[str]) -> None:
        self._spread_rates = {terms.symbol: terms.spread_rate for terms in catalogue or () if terms.spread_rate}
        self._symbols = None if catalogue is None else frozenset(terms.symbol for terms in catalogue)
        self._topic = topic
        self._counters = counters
        self.faults: Counter[TickFault] = Counter()

    def read(self, record: OffsetTickRecord, now_ms: int) -> ReadTick | None:
        """None: it is no tick of ours."""
        tick, fault = read_tick(record)
        if tick is not None and self._symbols is not None and tick.symbol not in self._symbols:
            tick, fault = None, TickFault.UNKNOWN_SYMBOL
        if fault is not None:
            self._note(record, fault, ignored=tick is None)
        return None if tick is None else ReadTick(tick, bounded_ms(tick.timestamp, now_ms))

    def quote(self, record: OffsetTickRecord, tick: ReadTick) -> Quote:
        """What the house gives."""
        message, time_ms = tick
        if time_ms != message.timestamp:
            self._note_ahead(record)
        quote = Quote(message.sequence, time_ms, message.price, message.bid, message.ask, message.volume)
        rate = self._spread_rates.get(message.symbol)
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
