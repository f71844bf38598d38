"""From a frame of the exchange's socket to an account: merger, price guard, framer and cell, by one clock."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

from trading_samples import SOL, StoredCell, close_command, open_command

from exness_streams.domain.candles import CandleFold
from exness_streams.domain.codec import JournalRecord, decode_record, encode
from exness_streams.domain.commands import Command
from exness_streams.domain.events import Event, OrderFilled, PositionClosed, PositionOpened
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.price_guard import PriceGuard
from exness_streams.domain.quotes import Side
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.rules import NEWEST
from exness_streams.engine.frame_cutter import FrameCutter
from exness_streams.engine.framer_state import FramerState, Missing, Takeover
from exness_streams.engine.tick_guard import Suspensions, TickGuard
from exness_streams.engine.tick_reading import TickReader
from exness_streams.market_data.backpack import BookTicker, Ignored, Ticker, parse
from exness_streams.market_data.quotes import QuoteMerger
from exness_streams.messages import MARKET_UPDATES_TOPIC, json_encoder

BEGIN_MS = 1_790_134_000_000
AGE_MS_MAX = 5_000
BEAT_MS = 1_000


class Record(NamedTuple):
    """Of the ticks' topic."""

    key: bytes
    value: bytes
    offset: int
    timestamp_ms: int


class Fill(NamedTuple):
    """buys: takes the ask."""

    at_ms: int
    price: Decimal
    buys: bool
    reason: str
    account_id: str


def frame_of(kind: str, event_us: int, **fields: Any) -> bytes:
    """As the exchange sends it."""
    data = {"e": kind, "E": event_us, "T": event_us, "s": SOL, **fields}
    return json.dumps({"stream": f"{kind}.{SOL}", "data": data}).encode()


class PricePipeline:
    """One market. skew_ms: how far the exchange's clock is ahead of ours."""

    def __init__(self, band: str = "0.1", skew_ms: int = 0) -> None:
        self.now_ms = BEGIN_MS
        self.skew_ms = skew_ms
        self.fills: list[Fill] = []
        self.events: list[Event] = []
        self.stored = StoredCell(by_rules=NEWEST)
        self._merger = QuoteMerger(clock_us=lambda: self.now_ms * 1000, book_ms_max=AGE_MS_MAX)
        self.guard = PriceGuard({SOL: Decimal(band)})
        taken = Takeover(FramerState(1, 0, 0, rules=NEWEST), 0, Missing.NOTHING)
        self._cutter = FrameCutter(
            TickReader(None, MARKET_UPDATES_TOPIC, Counter()),
            lambda: self.now_ms,
            taken,
            guard=TickGuard(self.guard, Suspensions()),
        )
        self._candles = CandleFold((SOL,))
        self._offset = 0
        self._updates = 0

    # What the exchange does

    def event_us(self) -> int:
        """By the exchange's clock, which no two events share."""
        self._updates += 1
        return (self.now_ms + self.skew_ms) * 1000 + self._updates % 1000

    def book(self, bid: object, ask: object, event_us: int | None = None) -> None:
        event_us = event_us or self.event_us()
        self.send(frame_of("bookTicker", event_us, b=bid, B="5", a=ask, A="5", u=str(event_us)))

    def ticker(self, last: object, event_us: int | None = None) -> None:
        figures = {"o": last, "h": last, "l": last, "v": "100", "V": "15000", "n": 5}
        self.send(frame_of("ticker", event_us or self.event_us(), c=last, **figures))

    def send(self, frame: bytes) -> None:
        """Anything at all comes through the socket."""
        message = parse(frame)
        if isinstance(message, Ignored) and message.book is not None:
            message = message.book
        if not isinstance(message, BookTicker | Ticker):
            return
        update = self._merger.merge(message)
        if update is None:
            return
        value = json_encoder.encode(update)
        record = Record(update.symbol.encode(), value, self._offset, self.now_ms)
        self._offset += 1
        for frame_made in self._cutter.frames([record], self._candles):
            self._fold(decode_record(encode(frame_made)))
        for frame_made in self._cutter.cut(self._offset, is_behind=False):
            self._fold(decode_record(encode(frame_made)))

    def wait(self, ms: int) -> None:
        """Time goes on; the framer tells it."""
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            self.now_ms = min(until_ms, self.now_ms + BEAT_MS)
            self._fold(decode_record(encode(self._cutter.beat(self._offset))))

    # What clients do

    def command(self, command: Command) -> Any:
        """The outcome."""
        reply = self._fold(command)
        assert reply is not None
        return reply.outcome

    def probe(self, side: Side, account: str) -> bool:
        """Opens at the market and closes at once; whether the first was filled."""
        opened = self.command(open_command(side, 10, 1, account=account, time_ms=self.now_ms))
        if isinstance(opened, Rejection):
            return False
        self.command(close_command(opened.position_id, account=account, time_ms=self.now_ms))
        return True

    def marks(self) -> set[Decimal]:
        """At what positions are valued now."""
        quote = self.stored.cell.quotes.get(SOL)
        return set() if quote is None else {quote.mark_price("long"), quote.mark_price("short")}

    def _fold(self, record: JournalRecord) -> Any:
        folded = self.stored.fold(record)
        for event in folded.events:
            self.events.append(event)
            with money_arithmetic():
                assert self.stored.row(event.account_id).is_conserved, event
            match event:
                case PositionOpened() if event.order_id is None:
                    self._filled(event.entry_price, event.side == "long", "opened", event.account_id)
                case OrderFilled():
                    self._filled(event.fill_price, event.side == "long", "filled", event.account_id)
                case PositionClosed():
                    self._filled(event.close_price, event.side == "short", event.reason, event.account_id)
        return folded.reply

    def _filled(self, price: Decimal, buys: bool, reason: str, account_id: str) -> None:
        self.fills.append(Fill(self.now_ms, price, buys, reason, account_id))
