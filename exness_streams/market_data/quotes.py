"""One quote per symbol, merged from two streams: `ticker` (price, volume) and `bookTicker` (bid, ask)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from exness_streams.domain.quotes import AHEAD_MS_MAX
from exness_streams.domain.ticks import is_price
from exness_streams.market_data.backpack import BookTicker, StreamMessage, Ticker
from exness_streams.messages import MarketDataMessage

log = logging.getLogger(__name__)

BOOK_MS_MAX = 5_000
"""As EXNESS_MAX_QUOTE_AGE_MS when nothing else is said."""


def epoch_us() -> int:
    """This machine's clock."""
    return time.time_ns() // 1000


class QuoteMerger:
    """Merges tickers and books per symbol, and numbers what comes out.

    last_sequences: the newest sequence already published of each symbol; numbers go on above them, so that a
    restart or a takeover never goes back. `late` counts the frames put aside because they were duplicates or
    older than what is known. `ahead` counts those that claim to be of the future, by more than AHEAD_MS_MAX: they are
    taken as of now, and no later frame is old because of them.

    clock_us: µs since the epoch. book_ms_max: bid and ask that came longer ago are unknown: the ticker goes on by
    itself, and would carry a book along that nobody has told of for long.
    """

    def __init__(
        self,
        last_sequences: Mapping[str, int] | None = None,
        *,
        clock_us: Callable[[], int] = epoch_us,
        book_ms_max: int = BOOK_MS_MAX,
    ) -> None:
        self._clock_us = clock_us
        self._book_us_max = book_ms_max * 1000
        self.ahead = 0
        self._symbols = {symbol: _SymbolQuote(last) for symbol, last in (last_sequences or {}).items()}
        self.late = 0

    def merge(self, message: StreamMessage) -> MarketDataMessage | None:
        """The symbol's quote after `message`; None when it adds nothing, or while no price is known.

        `sequence` is the event time in µs, or the last sequence + 1 where that is more.
        """
        if not isinstance(message, BookTicker | Ticker):
            return None
        quote, event_us, now_us = self._quote_of(message.symbol), message.event_us, self._clock_us()
        latest_us = now_us + AHEAD_MS_MAX * 1000
        quote.check_marks(latest_us)
        is_ahead = event_us > latest_us
        if is_ahead:
            if not self.ahead:
                ahead_ms = (event_us - now_us) // 1000
                log.warning(
                    "an event of %s is %d ms ahead of this machine's clock and is taken as of now; further ones are "
                    "only counted",
                    message.symbol,
                    ahead_ms,
                )
            self.ahead += 1
            event_us = now_us
        if isinstance(message, BookTicker):
            taken = quote.take_book(message, now_us, is_ahead=is_ahead)
        else:
            taken = quote.take_ticker(message, is_ahead=is_ahead)
            quote.drop_old_book(now_us, self._book_us_max)
        if not taken:
            self.late += 1
            return None
        if quote.price is None:
            return None
        update = quote.told(message.symbol, quote.price, event_us, now_us)
        return _with_day(update, message) if isinstance(message, Ticker) else update

    def look(self, symbol: str, bid: Decimal | None, ask: Decimal | None, price: Decimal) -> MarketDataMessage:
        """What was seen when the exchange was asked: numbered among the updates, and merged into none of them."""
        now_us = self._clock_us()
        sequence = self._quote_of(symbol).next_sequence(now_us)
        return MarketDataMessage(symbol, price, now_us // 1000, sequence, None, bid, ask, look=True)

    def again(self, symbol: str) -> MarketDataMessage | None:
        """What is known of a symbol, told once more, as of now; None while no price is."""
        quote, now_us = self._quote_of(symbol), self._clock_us()
        if quote.price is None:
            return None
        quote.drop_old_book(now_us, self._book_us_max)
        return quote.told(symbol, quote.price, now_us, now_us)

    def forget_quotes(self) -> None:
        """Forgets prices and books, not sequences: after a lost connection nobody knows what they are.

        Until a symbol's next ticker nothing of it is published; until its next book, bid and ask are absent.
        """
        for quote in self._symbols.values():
            quote.forget()

    @property
    def last_sequences(self) -> dict[str, int]:
        """The newest sequence of each symbol that has one."""
        return {symbol: quote.sequence for symbol, quote in self._symbols.items() if quote.sequence}

    def _quote_of(self, symbol: str) -> _SymbolQuote:
        quote = self._symbols.get(symbol)
        if quote is None:
            quote = self._symbols[symbol] = _SymbolQuote(0)
        return quote


def _with_day(update: MarketDataMessage, ticker: Ticker) -> MarketDataMessage:
    """With what the ticker tells of 24 hours; a figure that is no price is left out."""
    first, high, low = (
        price if price is not None and is_price(price) else None for price in (ticker.first, ticker.high, ticker.low)
    )
    return msgspec.structs.replace(update, open24h=first, high24h=high, low24h=low, quote_volume24h=ticker.quote_volume)


class _SymbolQuote:
    __slots__ = (
        "ask",
        "bid",
        "book_came_us",
        "book_known",
        "book_us",
        "price",
        "sequence",
        "ticker_us",
        "update_id",
        "volume",
    )

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.ticker_us = 0
        self.book_us = 0
        self.forget()

    def forget(self) -> None:
        # ticker_us and book_us stay: a new connection may not bring back what is older than what was known.
        self.price: Decimal | None = None
        self.volume: Decimal | None = None
        self.book_came_us = 0
        self.forget_book()

    def forget_book(self) -> None:
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.update_id: int | None = None
        self.book_known = False

    def drop_old_book(self, now_us: int, age_us_max: int) -> None:
        if abs(now_us - self.book_came_us) > age_us_max:
            self.forget_book()

    def next_sequence(self, time_us: int) -> int:
        self.sequence = time_us if time_us > self.sequence else self.sequence + 1
        return self.sequence

    def told(self, symbol: str, price: Decimal, time_us: int, now_us: int) -> MarketDataMessage:
        age_us = max(0, now_us - self.book_came_us) if self.book_known else 0
        return MarketDataMessage(
            symbol,
            price,
            time_us // 1000,
            self.next_sequence(time_us),
            self.volume,
            self.bid,
            self.ask,
            book_age_ms=age_us // 1000,
        )

    def check_marks(self, latest_us: int) -> None:
        """A mark beyond what is possible now was made when our clock was ahead: it may hold up nothing any more."""
        if self.ticker_us > latest_us:
            self.ticker_us = 0
        if self.book_us > latest_us:
            self.book_us = 0

    def take_ticker(self, ticker: Ticker, *, is_ahead: bool) -> bool:
        if not is_ahead:  # else its order is that of its arrival, and its time no mark for others
            if ticker.event_us < self.ticker_us or (ticker.event_us == self.ticker_us and self.price is not None):
                return False
            self.ticker_us = ticker.event_us
        self.price = ticker.last
        if ticker.volume is not None:
            self.volume = ticker.volume
        return True

    def take_book(self, book: BookTicker, now_us: int, *, is_ahead: bool) -> bool:
        if not is_ahead:
            if book.event_us < self.book_us or (self.book_known and self._is_repeated(book)):
                return False
            self.book_us = book.event_us
        self.bid = book.bid
        self.ask = book.ask
        self.book_came_us = now_us
        self.update_id = None if is_ahead else book.update_id
        self.book_known = True
        return True

    def _is_repeated(self, book: BookTicker) -> bool:
        if book.update_id is None or self.update_id is None:
            return False
        # Two updates can share a microsecond; then the update ids tell which one is newer.
        return book.update_id == self.update_id or (book.event_us == self.book_us and book.update_id < self.update_id)
