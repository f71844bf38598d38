"""One quote per symbol, merged from two streams: `ticker` (price, volume) and `bookTicker` (bid, ask)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from exness_streams.market_data.backpack import BookTicker, StreamMessage, Ticker
from exness_streams.messages import MarketDataMessage


class QuoteMerger:
    """Merges tickers and books per symbol, and numbers what comes out.

    last_sequences: the newest sequence already published of each symbol; numbers go on above them, so that a
    restart or a takeover never goes back. `late` counts the frames put aside because they were duplicates or
    older than what is known.
    """

    def __init__(self, last_sequences: Mapping[str, int] | None = None) -> None:
        self._symbols = {symbol: _SymbolQuote(last) for symbol, last in (last_sequences or {}).items()}
        self.late = 0

    def merge(self, message: StreamMessage) -> MarketDataMessage | None:
        """The symbol's quote after `message`; None when it adds nothing, or while no price is known.

        `sequence` is the event time in µs, or the last sequence + 1 where that is more.
        """
        if isinstance(message, BookTicker):
            quote = self._quote_of(message.symbol)
            taken = quote.take_book(message)
        elif isinstance(message, Ticker):
            quote = self._quote_of(message.symbol)
            taken = quote.take_ticker(message)
        else:
            return None
        if not taken:
            self.late += 1
            return None
        if quote.price is None:
            return None
        event_us = message.event_us
        sequence = event_us if event_us > quote.sequence else quote.sequence + 1
        quote.sequence = sequence
        return MarketDataMessage(
            message.symbol, quote.price, event_us // 1000, sequence, quote.volume, quote.bid, quote.ask
        )

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


class _SymbolQuote:
    __slots__ = (
        "ask",
        "bid",
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
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.update_id: int | None = None
        self.book_known = False

    def take_ticker(self, ticker: Ticker) -> bool:
        if ticker.event_us < self.ticker_us or (ticker.event_us == self.ticker_us and self.price is not None):
            return False
        self.ticker_us = ticker.event_us
        self.price = ticker.last
        if ticker.volume is not None:
            self.volume = ticker.volume
        return True

    def take_book(self, book: BookTicker) -> bool:
        if book.event_us < self.book_us or (self.book_known and self._is_repeated(book)):
            return False
        self.book_us = book.event_us
        self.bid = book.bid
        self.ask = book.ask
        self.update_id = book.update_id
        self.book_known = True
        return True

    def _is_repeated(self, book: BookTicker) -> bool:
        if book.update_id is None or self.update_id is None:
            return False
        # Two updates can share a microsecond; then the update ids tell which one is newer.
        return book.update_id == self.update_id or (book.event_us == self.book_us and book.update_id < self.update_id)
