"""The simulator's frames, written as Backpack writes them: keys sorted, prices as text, books padded.

Key order, number or text, padding and envelope follow frames captured from the exchange.
"""

from __future__ import annotations

import msgspec

from exness_streams.simulator.market import SimulatedMarket, SimulatedTrade

ENGINE_LAG_US = 211
"""How long before its emission (E) an event happened (T)."""

_HOUR_MS = 3_600_000


def ticker_frame(market: SimulatedMarket, emit_us: int) -> str:
    """`ticker`: no bid, no ask, no T; zeros at the end of a number are dropped."""
    places, quantity_places = market.listing.price_places, market.listing.quantity_places
    quote_volume = short_text(market.quote_volume, places + quantity_places)
    return (
        f'{{"data":{{"E":{emit_us},"V":"{quote_volume}","c":"{short_text(market.last, places)}","e":"ticker",'
        f'"h":"{short_text(market.high, places)}","l":"{short_text(market.low, places)}","n":{market.trades},'
        f'"o":"{short_text(market.open, places)}","s":"{market.symbol}",'
        f'"v":"{short_text(market.volume, quantity_places)}"}},"stream":"ticker.{market.symbol}"}}'
    )


def book_ticker_frame(market: SimulatedMarket, emit_us: int, hidden_side: str | None = None) -> str:
    """`bookTicker`: null price and quantity where a side is empty. hidden_side: "bid" or "ask"."""
    places, quantity_places = market.listing.price_places, market.listing.quantity_places
    bid = None if hidden_side == "bid" else market.bid
    ask = None if hidden_side == "ask" else market.ask
    ask_quantity = "null" if ask is None else f'"{_padded(market.ask_quantity, quantity_places)}"'
    bid_quantity = "null" if bid is None else f'"{_padded(market.bid_quantity, quantity_places)}"'
    ask_price = "null" if ask is None else f'"{_padded(ask, places)}"'
    bid_price = "null" if bid is None else f'"{_padded(bid, places)}"'
    return (
        f'{{"data":{{"A":{ask_quantity},"B":{bid_quantity},"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},'
        f'"a":{ask_price},"b":{bid_price},"e":"bookTicker","s":"{market.symbol}","u":{market.update_id}}},'
        f'"stream":"bookTicker.{market.symbol}"}}'
    )


def trade_frame(market: SimulatedMarket, trade: SimulatedTrade, emit_us: int) -> str:
    """`trade`: the order ids are text, the trade id a number."""
    listing = market.listing
    order_id = 113_782_700_000_000_000 + trade.trade_id
    return (
        f'{{"data":{{"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},"a":"{order_id + 1}","b":"{order_id}",'
        f'"e":"trade","m":{"true" if trade.buyer_is_maker else "false"},'
        f'"p":"{_padded(trade.price, listing.price_places)}",'
        f'"q":"{_padded(trade.quantity, listing.quantity_places)}","s":"{market.symbol}",'
        f'"t":{trade.trade_id}}},"stream":"trade.{market.symbol}"}}'
    )


def mark_price_frame(market: SimulatedMarket, emit_us: int) -> str:
    """`markPrice`: the index is the last trade, the mark the best bid; funding is due at the full hour."""
    places = market.listing.price_places
    mark = market.last if market.bid is None else market.bid
    next_funding_ms = (emit_us // 1000 // _HOUR_MS + 1) * _HOUR_MS
    return (
        f'{{"data":{{"E":{emit_us},"T":{emit_us - ENGINE_LAG_US},"e":"markPrice","f":"0.00000625",'
        f'"i":"{_padded(market.last, places)}","n":{next_funding_ms},"p":"{_padded(mark, places)}",'
        f'"s":"{market.symbol}"}},"stream":"markPrice.{market.symbol}"}}'
    )


def error_frame(code: int, message: str) -> str:
    """What the exchange answers to a request it cannot serve."""
    return msgspec.json.encode({"id": None, "error": {"code": code, "message": message}}).decode()


def _padded(units: int, places: int) -> str:
    """`units` × 10^-places with all its places: 8665600 of 2 is 86656.00."""
    if places == 0:
        return str(units)
    whole, part = divmod(units, 10**places)
    return f"{whole}.{part:0{places}d}"


def short_text(units: int, places: int) -> str:
    """`units` × 10^-places without zeros at the end: 8665600 of 2 is 86656."""
    text = _padded(units, places)
    return text.rstrip("0").rstrip(".") if "." in text else text
