"""The public contract: what travels on the topics that anybody may consume.

Numbers are JSON numbers with their exact digits; a reader that wants them exact decodes into Decimal.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

MARKET_UPDATES_TOPIC = "backpack-market-updates"
JOURNAL_TOPIC = "trading-journal"
EVENTS_TOPIC = "trading-events"


class MarketDataMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One market update of one symbol, on `backpack-market-updates` (key: the symbol, UTF-8).

    symbol: as the exchange spells it, case and dots kept ("SOL_USDC", "AAPL.US_USDC_PERP").
    price: last traded price, quote currency. bid, ask: best prices, absent when that side is empty or unknown.
    timestamp: event time, ms since the epoch. volume: 24 h volume in the base currency.
    sequence: event time in µs, made strictly increasing per symbol by the market data service.
    """

    symbol: str
    price: Decimal
    timestamp: int
    sequence: int
    volume: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None


json_encoder = msgspec.json.Encoder(decimal_format="number")
"""The one encoder of public JSON: Decimal becomes a number with its exact digits."""

market_data_decoder = msgspec.json.Decoder(MarketDataMessage)
