"""What is refused, and with which details. Rejections are values; their order of precedence is RejectionCode's.

refusal_words.py says them in words.
"""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from exness_streams.domain import formulas
from exness_streams.domain.account import AccountRow
from exness_streams.domain.commands import ClosePosition, Command, CommandBase, OpenPosition, PlaceOrder
from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.market_states import MarketState, MarketTold
from exness_streams.domain.money import AMOUNT_MAX, ONE, ZERO, to_money
from exness_streams.domain.quotes import AHEAD_MS_MAX, Quote, Side
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.transition import JournalPlace


def check_terms(command: Command) -> Rejection | None:
    """The checks that need neither account nor market; the edge makes them before it writes to the journal."""
    if isinstance(command, PlaceOrder) and command.expires_ms is not None and command.expires_ms <= command.time_ms:
        return Rejection(RejectionCode.INVALID_REQUEST, details={"field": "expiresAt", "min": str(command.time_ms + 1)})
    if not isinstance(command, OpenPosition | PlaceOrder):
        return None
    terms = command.terms
    ceiling = leverage_ceiling(terms)
    if not (command.leverage.is_finite() and ONE <= command.leverage <= ceiling):
        return Rejection(
            RejectionCode.INVALID_LEVERAGE,
            details={"field": "leverage", "min": "1", "max": str(ceiling), "symbol": terms.symbol},
        )
    if not (command.margin.is_finite() and terms.margin_min <= command.margin <= AMOUNT_MAX):
        return Rejection(
            RejectionCode.INVALID_MARGIN,
            details={"field": "margin", "min": str(terms.margin_min), "max": str(AMOUNT_MAX)},
        )
    return None


def leverage_ceiling(terms: Terms) -> Decimal:
    """The highest leverage on offer: above 1 / maintenance rate a position would be born in liquidation."""
    rate = terms.maintenance_margin_rate
    if rate <= ZERO or ONE / rate > terms.leverage_max:
        return terms.leverage_max
    return max(ONE, (ONE / rate).to_integral_value("ROUND_CEILING") - ONE)


def position_not_found(position_id: str) -> Rejection:
    """No such position is open: never was, or is closed by now."""
    return Rejection(RejectionCode.POSITION_NOT_FOUND, details={"positionId": position_id})


def order_not_found(order_id: str) -> Rejection:
    """No such order is pending: never was, or is filled, cancelled or expired by now."""
    return Rejection(RejectionCode.ORDER_NOT_FOUND, details={"orderId": order_id})


def price_unavailable(symbol: str, reason: str, **figures: int) -> Rejection:
    """The market of a symbol can't be traded on now. reason, figures: those of refusal_words."""
    return Rejection(RejectionCode.PRICE_UNAVAILABLE, details={"symbol": symbol, "reason": reason, **figures})


def refuse_stale(
    quote: Quote | None, symbol: str, time_ms: int, age_ms_max: int, market_ms: int = 0
) -> Rejection | None:
    """Whether a quote may fill orders at `time_ms`; asked by the edge beforehand and by the fold, which decides.

    time_ms: by the clock of whoever took the command. market_ms: by that of the ticks' owner, as in Quote.is_fresh: to
    a clock that is a minute slow, prices that stopped a minute ago are new.
    """
    if quote is None:
        return price_unavailable(symbol, "no_quote")
    if not quote.is_fresh(time_ms, age_ms_max, market_ms):
        ahead_ms = quote.aged_from_ms - time_ms
        if ahead_ms > AHEAD_MS_MAX:
            return price_unavailable(symbol, "ahead", aheadMs=ahead_ms)
        age_ms = max(time_ms, market_ms) - quote.aged_from_ms
        return price_unavailable(symbol, "old", ageMs=age_ms, ageMsMax=age_ms_max)
    return None


def refuse_state(told: MarketTold | None, *, opens: bool) -> Rejection | None:
    """Whether the state of a market (None: open) forbids to trade in it; asked by the edge, too.

    opens: a position is to be opened, now or later.
    """
    if told is None or told.state is MarketState.OPEN or (told.state is MarketState.CLOSE_ONLY and not opens):
        return None
    return price_unavailable(told.symbol, told.state.value)


def market_price(
    command: CommandBase, symbol: str, quote: Quote | None, at: JournalPlace, *, buys: bool, opens: bool
) -> Decimal | Rejection:
    """What a market order of this command pays (ask) or gets (bid) now. opens: as in refuse_state."""
    refused = refuse_state(at.markets.get(symbol), opens=opens) or refuse_stale(
        quote, symbol, command.time_ms, command.quote_age_ms_max, at.market_ms
    )
    if refused is not None:
        return refused
    quote = cast(Quote, quote)  # refuse_stale refuses an absent one
    price = quote.ask if buys else quote.bid
    return price_unavailable(symbol, "no_ask" if buys else "no_bid") if price is None else price


def refuse_triggers(
    side: Side, stop_loss: Decimal | None, take_profit: Decimal | None, *, liquidation: Decimal, market: Decimal
) -> Rejection | None:
    """Stop loss between liquidation and market, take profit beyond the market; both strictly.

    market: what the position could be closed at, or the price of a pending order.
    """
    long = side == "long"
    if stop_loss is not None:
        low, high = (liquidation, market) if long else (market, liquidation)
        if not low < stop_loss < high:
            return _invalid_trigger("stopLoss", above=str(low), below=str(high))
    if take_profit is not None and not (take_profit > market if long else take_profit < market):
        bound = "above" if long else "below"
        return _invalid_trigger("takeProfit", **{bound: str(market)})
    return None


def _invalid_trigger(field: str, **allowed: str) -> Rejection:
    return Rejection(RejectionCode.INVALID_TRIGGER, details={"field": field, **allowed})


def refuse_spread(side: Side, leverage: Decimal, *, liquidation: Decimal, mark: Decimal) -> Rejection | None:
    """A leverage at which the spread alone would liquidate what is opened now.

    mark: what it could be closed at. Whether it is so depends on the spread in proportion to the price, and so the
    answer holds for an order that waits for another price, too.
    """
    if liquidation <= ZERO or (mark > liquidation if side == "long" else mark < liquidation):
        return None
    return Rejection(RejectionCode.INVALID_LEVERAGE, details={"field": "leverage", "leverage": str(leverage)})


def is_reached(side: Side, kind: str, price: Decimal, market: Decimal) -> bool:
    """Whether the market is at an order's price or through it; market: what opening costs now."""
    waits_below = (side == "long") == (kind == "limit")
    return price >= market if waits_below else price <= market


def refuse_entry(
    side: Side, kind: str, price: Decimal, market: Decimal, *, at_market: bool = False
) -> Rejection | None:
    """A pending order waits for a price that the market has not reached, unless it may be filled at the market."""
    if at_market or not is_reached(side, kind, price, market):
        return None
    bound = "below" if (side == "long") == (kind == "limit") else "above"
    order = f"{'buy' if side == 'long' else 'sell'} {kind}"
    return _invalid_trigger("price", order=order, **{bound: str(market)})


def refuse_small(quantity: Decimal, price: Decimal, step: Decimal | None) -> Rejection | None:
    """A margin that buys nothing, or less than one step."""
    if quantity > ZERO:
        return None
    smallest = {} if step is None else {"step": str(step)}
    return Rejection(RejectionCode.INVALID_MARGIN, details={"field": "margin", "price": str(price), **smallest})


def refuse_funds(row: AccountRow, needed: Decimal) -> Rejection | None:
    """More margin and fee than free cash."""
    if needed <= row.cash:
        return None
    return Rejection(
        RejectionCode.INSUFFICIENT_MARGIN,
        details={"required": str(needed), "available": str(row.cash)},
    )


def refuse_slippage(command: OpenPosition | ClosePosition, *, buys: bool, fill: Decimal) -> Rejection | None:
    """A fill that is worse than the client's price by more than its tolerance."""
    reference, tolerance = command.reference_price, command.slippage_percent
    if reference is None or tolerance is None:
        return None
    if not formulas.is_beyond_slippage(buys, fill, reference, tolerance):
        return None
    return Rejection(
        RejectionCode.SLIPPAGE_EXCEEDED,
        details={"price": str(fill), "referencePrice": str(reference), "slippage": str(tolerance)},
    )


def refuse_limits(row: AccountRow, limits: Limits, symbol: str, notional: Decimal) -> Rejection | None:
    """One more position or order of `notional` USD (margin × leverage) would be too many, or too much."""
    if len(row.positions) + len(row.orders) >= limits.open_max:
        return Rejection(
            RejectionCode.LIMIT_REACHED,
            details={"limit": "open", "max": limits.open_max},
        )
    exposure = to_money(row.exposure(symbol) + notional)
    if exposure > limits.exposure_max:
        return Rejection(
            RejectionCode.LIMIT_REACHED,
            details={
                "limit": "exposure",
                "max": str(limits.exposure_max),
                "required": str(exposure),
                "symbol": symbol,
            },
        )
    return None
