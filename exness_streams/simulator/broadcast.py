"""What the simulated exchange sends without being asked: the frames of its markets, to whoever subscribed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from functools import partial

from exness_streams.simulator.clients import Clients
from exness_streams.simulator.faults import Faults, MarketState
from exness_streams.simulator.frames import (
    book_ticker_frame,
    mark_price_frame,
    open_interest_frame,
    ticker_frame,
    trade_frame,
)
from exness_streams.simulator.history import DAY_S
from exness_streams.simulator.instrument import Instrument
from exness_streams.simulator.market import SimulatedTrade
from exness_streams.simulator.perpetuals import OPEN_INTEREST_S, open_interest
from exness_streams.simulator.streams import DEPTH_ROUNDS, DepthStream, KlineStream, parse_stream


class Broadcast:
    """Sends frames of `instruments` to `clients`, as the faults will have them."""

    def __init__(self, instruments: Mapping[str, Instrument], clients: Clients, faults: Faults) -> None:
        self._instruments = instruments
        self._clients = clients
        self._faults = faults
        self._depths: dict[str, tuple[int, DepthStream]] = {}
        self._klines: dict[str, KlineStream] = {}
        self._interest_at = 0
        clients.observe(self._on_wanted)

    def now_s(self) -> int:
        """The exchange's clock, in seconds since the epoch."""
        return int(time.time() + self._faults.skew_s)

    def emit_us(self, instrument: Instrument) -> int:
        """The time of an instrument's next event: later than its last one, unless the clock's fault has changed."""
        event_us = instrument.market.next_event_us(time.time_ns() // 1000)
        faults = self._faults
        if not faults.skew_s and not faults.ahead_s:
            return event_us
        return event_us + round((faults.skew_s + faults.ahead_s.get(instrument.symbol, 0.0)) * 1_000_000)

    def is_closed(self, instrument: Instrument) -> bool:
        """Whether nothing is told of it at all."""
        return self._faults.state(instrument.symbol) is MarketState.CLOSED

    def trade(self, instrument: Instrument, trade: SimulatedTrade, emit_us: int) -> None:
        """Tells a trade."""
        stream = f"trade.{instrument.symbol}"
        if self._clients.wants(stream):
            self._clients.deliver(stream, trade_frame(instrument.listing, trade, emit_us))

    def book(self, instrument: Instrument) -> None:
        """Tells the best prices, and to those who follow each change of the depth what has changed in it."""
        if self.is_closed(instrument):
            return
        stream = f"bookTicker.{instrument.symbol}"
        if self._clients.wants(stream):
            book = self._faults.shown(instrument.symbol, instrument.book())
            self._clients.deliver(stream, book_ticker_frame(instrument.listing, book, self.emit_us(instrument)))
        if self._depths:
            followed = self._depths.get(f"depth.{instrument.symbol}")
            if followed is not None:
                self._depth(f"depth.{instrument.symbol}", followed[1])

    def ticker(self, instrument: Instrument) -> None:
        """Tells the figures of 24 hours, and a perpetual's mark price."""
        if self.is_closed(instrument):
            return
        self._ticker(instrument, None if instrument.symbol in self._faults.no_last else instrument.market.last)
        stream = f"markPrice.{instrument.symbol}"
        if instrument.market.is_perpetual and self._clients.wants(stream):
            frame = mark_price_frame(instrument.listing, instrument.market.last, self.emit_us(instrument))
            self._clients.deliver(stream, frame)

    def spike(self, instrument: Instrument, factor: Decimal) -> None:
        """Tells a book and a ticker that never were, every price times `factor`."""
        book = self._faults.shown(instrument.symbol, instrument.book())
        wrong = book._replace(bid=_scaled(book.bid, factor), ask=_scaled(book.ask, factor))
        frame = book_ticker_frame(instrument.listing, wrong, self.emit_us(instrument))
        self._clients.deliver(f"bookTicker.{instrument.symbol}", frame)
        self._ticker(instrument, _scaled(instrument.market.last, factor))

    def open_interest(self) -> None:
        """Tells what is open in perpetuals, when that has changed."""
        now_s = self.now_s()
        if now_s // OPEN_INTEREST_S == self._interest_at:
            return
        self._interest_at = now_s // OPEN_INTEREST_S
        for instrument in self._instruments.values():
            stream = f"openInterest.{instrument.symbol}"
            if instrument.market.is_perpetual and self._clients.wants(stream) and not self.is_closed(instrument):
                interest = open_interest(instrument.listing, now_s)
                frame = open_interest_frame(instrument.listing, interest, self.emit_us(instrument))
                self._clients.deliver(stream, frame)

    def klines(self) -> None:
        """Tells candles that have changed, and those that are closed."""
        for stream, kline in tuple(self._klines.items()):
            instrument = kline.instrument
            if not self.is_closed(instrument):
                for frame in kline.frames(self.now_s(), partial(self.emit_us, instrument)):
                    self._clients.deliver(stream, frame)

    def depths(self, number: int) -> None:
        """Tells the depth to those who want it every so many rounds; number: of this round."""
        for stream, (rounds, depth) in tuple(self._depths.items()):
            if rounds and number % rounds == 0 and not self.is_closed(depth.instrument):
                self._depth(stream, depth)

    def _depth(self, stream: str, depth: DepthStream) -> None:
        frame = depth.frame(partial(self.emit_us, depth.instrument))
        if frame is not None:
            self._clients.deliver(stream, frame)

    def _ticker(self, instrument: Instrument, last: int | None) -> None:
        stream = f"ticker.{instrument.symbol}"
        if self._clients.wants(stream):
            day = instrument.until(self.now_s(), DAY_S)
            self._clients.deliver(stream, ticker_frame(instrument.listing, day, last, self.emit_us(instrument)))

    def _on_wanted(self, stream: str, is_wanted: bool) -> None:
        """Changes are told from the moment on when they are asked for: a snapshot taken after it fits to them."""
        if not is_wanted:
            self._depths.pop(stream, None)
            self._klines.pop(stream, None)
            return
        name = parse_stream(stream)
        instrument = None if name is None else self._instruments.get(name.symbol)
        if name is None or instrument is None:
            return
        if name.kind == "depth":
            rounds = DEPTH_ROUNDS.get(name.interval, 0)
            self._depths[stream] = (rounds, DepthStream(stream, instrument, self._faults))
        elif name.kind == "kline":
            self._klines[stream] = KlineStream(stream, instrument, name.interval, self.now_s())


def _scaled(price: int | None, factor: Decimal) -> int | None:
    return None if price is None else max(1, int(price * factor))
