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


class PositionMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An open position as the API shows it. Prices in the quote currency, money in USD, timestamp in ms.

    type: long or short. mark_price: what it could be closed at now, null before the first quote.
    slippage: percent, as asked for.
    """

    position_id: str
    asset: str
    symbol: str
    type: str
    margin: Decimal
    leverage: Decimal
    slippage: Decimal | None
    entry_price: Decimal
    quantity: Decimal
    unrealized_pnl: Decimal = msgspec.field(name="unrealizedPnL")
    timestamp: int
    mark_price: Decimal | None
    liquidation_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    fee: Decimal


class AccountMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account at the market, USD; margin_level in percent, null while no margin is used."""

    account_id: str
    balance: Decimal
    equity: Decimal
    used_margin: Decimal
    free_margin: Decimal
    margin_level: Decimal | None
    unrealized_pnl: Decimal = msgspec.field(name="unrealizedPnL")
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")


class StateMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/state`. sequence: that of the account's newest event, 0 before the first."""

    balances: dict[str, Decimal]
    positions: list[PositionMessage]
    orders: list[msgspec.Raw]
    account: AccountMessage
    sequence: int


class CloseMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a close. position: what is left of it, null when nothing is."""

    message: str
    position_id: str
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    close_price: Decimal
    fee: Decimal
    position: PositionMessage | None


class MarketMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One instrument: its terms and its newest quote (nulls before the first).

    fee_rate, maintenance_margin_rate: fractions of the notional. tradable: the quote is fresh and two-sided.
    """

    symbol: str
    asset: str
    price: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    volume: Decimal | None
    timestamp: int | None
    tradable: bool
    max_leverage: Decimal
    min_margin: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal


class ErrorMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every answer that is not a success. error: a stable code; details: values for a program."""

    message: str
    error: str
    details: dict[str, str | int | list[str]] = {}
