"""The API's JSON, in parts or put together, with every digit as it came."""

from __future__ import annotations

import msgspec

from exness_streams.client.http import MarketsSeen


class _Orders(msgspec.Struct):
    orders: msgspec.Raw
    sequence: msgspec.Raw


class _Trades(msgspec.Struct, rename="camel"):
    trades: list[msgspec.Raw]
    next_cursor: msgspec.Raw
    sequence: msgspec.Raw


class _Markets(msgspec.Struct):
    markets: list[msgspec.Raw]
    feed: msgspec.Raw


def orders_document(state: bytes) -> bytes:
    """Of the JSON of a state, its orders and its sequence, digit for digit."""
    return msgspec.json.encode(msgspec.json.decode(state, type=_Orders))


def trades_document(pages: list[bytes]) -> bytes:
    """The JSON of pages, one after the other, as that of one page: it goes on where the last one does."""
    first, *others = (msgspec.json.decode(page, type=_Trades) for page in pages)
    for page in others:
        first.trades += page.trades
        first.next_cursor = page.next_cursor
    return msgspec.json.encode(first)


def markets_document(markets: bytes, symbol: str) -> tuple[bytes, MarketsSeen]:
    """Of the JSON of the markets, that with one of them alone."""
    found = msgspec.json.decode(markets, type=_Markets)
    found.markets = [one for one in found.markets if msgspec.json.decode(one, type=_Named).symbol == symbol]
    document = msgspec.json.encode(found)
    return document, msgspec.json.decode(document, type=MarketsSeen)


class _Named(msgspec.Struct):
    symbol: str
