"""The simulator's frames, written as Backpack writes them: keys sorted, prices as text, books padded.

Key order, number or text, padding and envelope follow frames captured from the exchange.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

import msgspec

from exness_streams.simulator.book import Book
from exness_streams.simulator.instrument import ENGINE_LAG_US
from exness_streams.simulator.market import Listing, SimulatedTrade
from exness_streams.simulator.past import Candle
from exness_streams.simulator.perpetuals import funding_rate, next_funding_s


def ticker_frame(listing: Listing, day: Candle, last: int | None, emit_us: int) -> str:
    """`ticker`: no bid, no ask, no T; zeros at the end of a number are dropped. last None: null, as no trade is."""
    places, quantity_places = listing.price_places, listing.quantity_places
    quote_volume = short_text(day.quote_volume, places + quantity_places)
    closed = "null" if last is None else f'"{short_text(last, places)}"'
    return (
        f'{{"data":{{"E":{emit_us},"V":"{quote_volume}","c":{closed},"e":"ticker",'
        f'"h":"{short_text(day.high, places)}","l":"{short_text(day.low, places)}","n":{day.trades},'
        f'"o":"{short_text(day.open, places)}","s":"{listing.symbol}",'
        f'"v":"{short_text(day.volume, quantity_places)}"}},"stream":"ticker.{listing.symbol}"}}'
    )


def book_ticker_frame(listing: Listing, book: Book, emit_us: int) -> str:
    """`bookTicker`: null price and quantity where a side is empty."""
    places, quantity_places = listing.price_places, listing.quantity_places
    ask_quantity = "null" if book.ask is None else f'"{padded(book.ask_quantity, quantity_places)}"'
    bid_quantity = "null" if book.bid is None else f'"{padded(book.bid_quantity, quantity_places)}"'
    ask_price = "null" if book.ask is None else f'"{padded(book.ask, places)}"'
    bid_price = "null" if book.bid is None else f'"{padded(book.bid, places)}"'
    return (
        f'{{"data":{{"A":{ask_quantity},"B":{bid_quantity},"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},'
        f'"a":{ask_price},"b":{bid_price},"e":"bookTicker","s":"{listing.symbol}","u":{book.update_id}}},'
        f'"stream":"bookTicker.{listing.symbol}"}}'
    )


def depth_frame(
    listing: Listing,
    stream: str,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    updates: tuple[int, int],
    emit_us: int,
) -> str:
    """`depth`: the levels that have changed, and the first and the last of the updates (U, u) that changed them."""
    return (
        f'{{"data":{{"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},"U":{updates[0]},"a":{levels_text(listing, asks)},'
        f'"b":{levels_text(listing, bids)},"e":"depth","s":"{listing.symbol}","u":{updates[1]}}},'
        f'"stream":"{stream}"}}'
    )


def levels_text(listing: Listing, levels: Iterable[tuple[int, int]]) -> str:
    """Levels of a book as JSON: pairs of price and quantity."""
    places, quantity_places = listing.price_places, listing.quantity_places
    pairs = (f'["{padded(price, places)}","{padded(quantity, quantity_places)}"]' for price, quantity in levels)
    return f"[{','.join(pairs)}]"


def trade_frame(listing: Listing, trade: SimulatedTrade, emit_us: int) -> str:
    """`trade`: the order ids are text, the trade id a number."""
    order_id = 113_782_700_000_000_000 + trade.trade_id
    return (
        f'{{"data":{{"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},"a":"{order_id + 1}","b":"{order_id}",'
        f'"e":"trade","m":{"true" if trade.buyer_is_maker else "false"},'
        f'"p":"{padded(trade.price, listing.price_places)}",'
        f'"q":"{padded(trade.quantity, listing.quantity_places)}","s":"{listing.symbol}",'
        f'"t":{trade.trade_id}}},"stream":"trade.{listing.symbol}"}}'
    )


def mark_price_frame(listing: Listing, mark: int, emit_us: int) -> str:
    """`markPrice`: funding is due at the full hour, and that time is told in milliseconds."""
    price = padded(mark, listing.price_places)
    due_s = next_funding_s(emit_us // 1_000_000)
    return (
        f'{{"data":{{"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},"e":"markPrice",'
        f'"f":"{funding_rate(listing.symbol, due_s):f}","i":"{price}","n":{due_s * 1000},"p":"{price}",'
        f'"s":"{listing.symbol}"}},"stream":"markPrice.{listing.symbol}"}}'
    )


def open_interest_frame(listing: Listing, interest: int, emit_us: int) -> str:
    """`openInterest`: contracts, which are units of the base asset."""
    return (
        f'{{"data":{{"E":{emit_us},"e":"openInterest","o":"{padded(interest, listing.quantity_places)}",'
        f'"s":"{listing.symbol}"}},"stream":"openInterest.{listing.symbol}"}}'
    )


def kline_frame(
    listing: Listing, stream: str, span_s: tuple[int, int], candle: Candle | None, is_closed: bool, emit_us: int
) -> str:
    """`kline`: times are ISO text without a zone; the prices of an interval without any are null."""
    places, quantity_places = listing.price_places, listing.quantity_places

    def price(ticks: int | None) -> str:
        return "null" if ticks is None else f'"{short_text(ticks, places)}"'

    first, high, low, last = (None,) * 4 if candle is None else candle[:4]
    volume, trades = (0, 0) if candle is None else (candle.volume, candle.trades)
    return (
        f'{{"data":{{"E":{emit_us},"T":"{time_text(span_s[1], "T")}","X":{"true" if is_closed else "false"},'
        f'"c":{price(last)},"e":"kline","h":{price(high)},"l":{price(low)},"n":{trades},"o":{price(first)},'
        f'"s":"{listing.symbol}","t":"{time_text(span_s[0], "T")}","v":"{short_text(volume, quantity_places)}"}},'
        f'"stream":"{stream}"}}'
    )


def error_frame(code: int, message: str) -> str:
    """What the exchange answers to a request it cannot serve."""
    return msgspec.json.encode({"id": None, "error": {"code": code, "message": message}}).decode()


def time_text(time_s: int, separator: str) -> str:
    """A time without its zone, UTC, as the exchange writes it."""
    return datetime.fromtimestamp(time_s, timezone.utc).strftime(f"%Y-%m-%d{separator}%H:%M:%S")


def padded(units: int, places: int) -> str:
    """`units` × 10^-places with all its places: 8665600 of 2 is 86656.00."""
    if places == 0:
        return str(units)
    whole, part = divmod(units, 10**places)
    return f"{whole}.{part:0{places}d}"


def short_text(units: int, places: int) -> str:
    """`units` × 10^-places without zeros at the end: 8665600 of 2 is 86656."""
    text = padded(units, places)
    return text.rstrip("0").rstrip(".") if "." in text else text
