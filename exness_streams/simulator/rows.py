"""The rows of the simulated exchange's REST answers, as its API reference and captures of it have them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from exness_streams.simulator.book import Book
from exness_streams.simulator.faults import MarketState
from exness_streams.simulator.frames import padded, short_text, time_text
from exness_streams.simulator.instrument import Instrument, PastTrade
from exness_streams.simulator.market import Listing, SimulatedMarket
from exness_streams.simulator.past import Candle
from exness_streams.simulator.perpetuals import FUNDING_INTERVAL_S, funding_rate, next_funding_s, open_interest

_NOTHING = {"open": None, "high": None, "low": None, "close": None}
_PERCENT_PLACES = Decimal("0.000001")


def asset_rows(listings: Iterable[Listing]) -> list[dict[str, Any]]:
    """The assets of the markets. Nothing can be deposited or withdrawn."""
    pairs = [base_and_quote(listing.symbol) for listing in listings]
    assets = dict.fromkeys([base for base, _ in pairs] + [quote for _, quote in pairs])
    token = {
        "blockchain": "Solana",
        "contractAddress": None,
        "depositEnabled": False,
        "maximumWithdrawal": None,
        "minimumDeposit": "0",
        "minimumWithdrawal": "0",
        "withdrawEnabled": False,
        "withdrawalFee": "0",
    }
    return [
        {"coingeckoId": None, "displayName": asset, "symbol": asset, "tokens": [{"displayName": asset, **token}]}
        for asset in assets
    ]


def base_and_quote(symbol: str) -> tuple[str, str]:
    """The two assets of a market's name."""
    base, _, rest = symbol.partition("_")
    return base, rest.removesuffix("_PERP")


def market_row(instrument: Instrument, state: MarketState) -> dict[str, Any]:
    """A market with its grids and bands; a spot market has no funding and no margin functions."""
    listing, is_perpetual = instrument.listing, instrument.market.is_perpetual
    tick, step = short_text(1, listing.price_places), short_text(1, listing.quantity_places)
    base, quote = base_and_quote(listing.symbol)
    margin = {"base": "0.02", "factor": "0.0001275", "type": "sqrt"}
    maintenance = {"base": "0.0125", "factor": "0.0000765", "type": "sqrt"}
    price = {
        "borrowEntryFeeMaxMultiplier": None,
        "borrowEntryFeeMinMultiplier": None,
        "maxImpactMultiplier": "1.03",
        "maxMultiplier": "1.25",
        "maxPrice": None,
        "meanMarkPriceBand": {"maxMultiplier": "1.1", "minMultiplier": "0.9"},
        "meanPremiumBand": {"tolerancePct": "0.05"} if is_perpetual else None,
        "minImpactMultiplier": "0.97",
        "minMultiplier": "0.75",
        "minPrice": tick,
        "tickSize": tick,
    }
    return {
        "baseSymbol": base,
        "createdAt": "2025-01-21T06:34:54.691858",
        "filters": {"price": price, "quantity": {"maxQuantity": None, "minQuantity": step, "stepSize": step}},
        "fundingInterval": FUNDING_INTERVAL_S * 1000 if is_perpetual else None,
        "fundingRateLowerBound": "-100" if is_perpetual else None,
        "fundingRateUpperBound": "100" if is_perpetual else None,
        "imfFunction": margin if is_perpetual else None,
        "marketType": "PERP" if is_perpetual else "SPOT",
        "mmfFunction": maintenance if is_perpetual else None,
        "openInterestLimit": "4000000" if is_perpetual else "0",
        "orderBookState": state.value,
        "quoteSymbol": quote,
        "symbol": listing.symbol,
        "visible": True,
    }


def ticker_row(listing: Listing, candle: Candle, last: int | None) -> dict[str, Any]:
    """The figures of a day or a week."""
    places, quantity_places = listing.price_places, listing.quantity_places
    change = (candle.close if last is None else last) - candle.open
    sign = "-" if change < 0 else ""
    return {
        "firstPrice": short_text(candle.open, places),
        "high": short_text(candle.high, places),
        "lastPrice": None if last is None else short_text(last, places),
        "low": short_text(candle.low, places),
        "priceChange": sign + short_text(abs(change), places),
        "priceChangePercent": str((Decimal(change) / candle.open).quantize(_PERCENT_PLACES)),
        "quoteVolume": short_text(candle.quote_volume, places + quantity_places),
        "symbol": listing.symbol,
        "trades": str(candle.trades),
        "volume": short_text(candle.volume, quantity_places),
    }


def depth_row(instrument: Instrument, book: Book, levels_max: int, now_us: int) -> dict[str, Any]:
    """The book: both sides from the lowest price to the highest, as the exchange has them."""
    listing, ladder = instrument.listing, instrument.depth.ladder(book)

    def rows(levels: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
        places, quantity_places = listing.price_places, listing.quantity_places
        return [(padded(price, places), padded(quantity, quantity_places)) for price, quantity in levels]

    return {
        "asks": rows(list(ladder.asks.items())[:levels_max]),
        "bids": rows(reversed(list(ladder.bids.items())[:levels_max])),
        "lastUpdateId": str(book.update_id),
        "timestamp": now_us,
    }


def trade_row(listing: Listing, past: PastTrade) -> dict[str, Any]:
    """A trade; its time in milliseconds."""
    trade, places, quantity_places = past.trade, listing.price_places, listing.quantity_places
    return {
        "id": trade.trade_id,
        "isBuyerMaker": trade.buyer_is_maker,
        "price": short_text(trade.price, places),
        "quantity": short_text(trade.quantity, quantity_places),
        "quoteQuantity": short_text(trade.price * trade.quantity, places + quantity_places),
        "timestamp": past.engine_us // 1000,
    }


def kline_row(listing: Listing, span_s: tuple[int, int], candle: Candle | None, has_volume: bool) -> dict[str, Any]:
    """A kline; no prices where there were none. has_volume: not of index and mark prices, which nobody trades at."""
    places, quantity_places = listing.price_places, listing.quantity_places
    times = {"start": time_text(span_s[0], " "), "end": time_text(span_s[1], " ")}
    if candle is None:
        return {**times, **_NOTHING, "volume": "0", "quoteVolume": "0", "trades": "0"}
    if not has_volume:
        candle = candle._replace(volume=0, quote_volume=0, trades=0)
    return {
        **times,
        "open": short_text(candle.open, places),
        "high": short_text(candle.high, places),
        "low": short_text(candle.low, places),
        "close": short_text(candle.close, places),
        "volume": short_text(candle.volume, quantity_places),
        "quoteVolume": short_text(candle.quote_volume, places + quantity_places),
        "trades": str(candle.trades),
    }


def mark_row(market: SimulatedMarket, now_s: int) -> dict[str, Any]:
    """Mark and index price and the funding rate of the present interval."""
    price = padded(market.last, market.listing.price_places)
    due_s = next_funding_s(now_s)
    return {
        "fundingRate": f"{funding_rate(market.symbol, due_s):f}",
        "indexPrice": price,
        "markPrice": price,
        "nextFundingTimestamp": due_s * 1000,
        "symbol": market.symbol,
    }


def funding_row(symbol: str, end_s: int) -> dict[str, Any]:
    """The rate of an interval that is over."""
    return {
        "fundingRate": f"{funding_rate(symbol, end_s):f}",
        "intervalEndTimestamp": time_text(end_s, "T"),
        "symbol": symbol,
    }


def interest_row(listing: Listing, now_s: int) -> dict[str, Any]:
    """What is open in a perpetual."""
    interest = padded(open_interest(listing, now_s), listing.quantity_places)
    return {"openInterest": interest, "symbol": listing.symbol, "timestamp": now_s * 1000}
