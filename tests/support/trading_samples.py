"""Commands, quotes and frames for the tests of the domain, and a cell with the store it is committed to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType

from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell, Folded
from exness_streams.domain.codec import (
    ACCESS_PREFIX,
    QUOTE_PREFIX,
    ROW_PREFIX,
    JournalRecord,
    Meta,
    Outcome,
    RulesChanged,
    decode_access_row,
    decode_quote,
    decode_row,
)
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    CommandBase,
    Deposit,
    IdempotencyKey,
    ModifyPosition,
    OpenPosition,
    OrderKind,
    PlaceOrder,
    ResetAccount,
)
from exness_streams.domain.events import Event, OrderPlaced, PositionClosed, PositionOpened
from exness_streams.domain.frames import FrameBuilder, PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits, Terms
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.domain.quotes import Quote, Side
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.rules import FIRST, NEWEST
from exness_streams.domain.state_hash import state_hash

NOW_MS = 1_790_000_000_000
SOL = "SOL_USDC"


def dec(text: str | int | None) -> Decimal:
    assert text is not None
    return Decimal(text)


def optional(text: str | int | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def terms(
    symbol: str = SOL,
    *,
    fee_rate: str = "0",
    maintenance: str = "0",
    leverage_max: str = "100",
    margin_min: str = "1",
    spread: str = "0",
) -> Terms:
    return Terms(
        symbol=symbol,
        leverage_max=Decimal(leverage_max),
        margin_min=Decimal(margin_min),
        fee_rate=Decimal(fee_rate),
        maintenance_margin_rate=Decimal(maintenance),
        spread_rate=Decimal(spread),
    )


def quote(
    bid: str | int | None, ask: str | int | None, sequence: int = 1, *, price: str = "150", time_ms: int = NOW_MS
) -> Quote:
    return Quote(sequence, time_ms, Decimal(price), optional(bid), optional(ask))


def flat(price: str | int, sequence: int = 1) -> Quote:
    """A market without a spread."""
    return quote(price, price, sequence, price=str(price))


def frame(last: Quote, symbol: str = SOL) -> PriceFrame:
    return PriceFrame(NOW_MS, (SymbolFrame(symbol, last),))


def open_command(
    side: Side = "long",
    margin: str | int = 1000,
    leverage: str | int = 2,
    *,
    account: str = "demo",
    on: Terms | None = None,
    reference: str | None = None,
    slippage: str | None = None,
    key: str | None = None,
    fingerprint: str = "body",
    limits: Limits | None = None,
    time_ms: int = NOW_MS,
    starting_balance: str = "10000",
    stop: str | None = None,
    take: str | None = None,
) -> OpenPosition:
    return OpenPosition(
        command_id="c-1",
        account_id=account,
        time_ms=time_ms,
        starting_balance=Decimal(starting_balance),
        quote_age_ms_max=5000,
        limits=limits or Limits(),
        idempotency=None if key is None else IdempotencyKey(key, fingerprint),
        asset="SOL",
        terms=on or terms(),
        stop_loss=optional(stop),
        take_profit=optional(take),
        side=side,
        margin=Decimal(margin),
        leverage=Decimal(leverage),
        reference_price=optional(reference),
        slippage_percent=optional(slippage),
    )


def close_command(
    position_id: str,
    *,
    account: str = "demo",
    reference: str | None = None,
    slippage: str | None = None,
    key: str | None = None,
    fingerprint: str = "body",
    time_ms: int = NOW_MS,
    quantity: str | None = None,
    percentage: str | None = None,
    margin_min: str = "1",
) -> ClosePosition:
    return ClosePosition(
        command_id="c-2",
        account_id=account,
        time_ms=time_ms,
        starting_balance=Decimal(10_000),
        quote_age_ms_max=5000,
        idempotency=None if key is None else IdempotencyKey(key, fingerprint),
        position_id=position_id,
        reference_price=optional(reference),
        slippage_percent=optional(slippage),
        quantity=optional(quantity),
        percentage=optional(percentage),
        margin_min=Decimal(margin_min),
    )


def common(account: str = "demo", key: str | None = None, time_ms: int = NOW_MS) -> dict[str, Any]:
    """What every command carries."""
    command = close_command("", account=account, key=key, time_ms=time_ms)
    return {name: getattr(command, name) for name in CommandBase.__struct_fields__}


def place_command(
    side: Side = "long",
    kind: OrderKind = "limit",
    price: str | int = 90,
    margin: str | int = 1000,
    leverage: str | int = 2,
    *,
    on: Terms | None = None,
    stop: str | None = None,
    take: str | None = None,
    expires_ms: int | None = None,
    limits: Limits | None = None,
    **base: Any,
) -> PlaceOrder:
    return PlaceOrder(
        **common(**base) | {"limits": limits or Limits()},
        asset="SOL",
        terms=on or terms(),
        side=side,
        kind=kind,
        price=Decimal(price),
        margin=Decimal(margin),
        leverage=Decimal(leverage),
        stop_loss=optional(stop),
        take_profit=optional(take),
        expires_ms=expires_ms,
    )


def cancel_command(order_id: str, **base: Any) -> CancelOrder:
    return CancelOrder(**common(**base), order_id=order_id)


def modify_command(
    position_id: str, *, stop: str | UnsetType | None = UNSET, take: str | UnsetType | None = UNSET, **base: Any
) -> ModifyPosition:
    return ModifyPosition(
        **common(**base),
        position_id=position_id,
        stop_loss=UNSET if isinstance(stop, UnsetType) else optional(stop),
        take_profit=UNSET if isinstance(take, UnsetType) else optional(take),
    )


def close_all_command(**base: Any) -> CloseAllPositions:
    return CloseAllPositions(**common(**base))


def deposit_command(amount: str | int = 500, **base: Any) -> Deposit:
    return Deposit(**common(**base), amount=Decimal(amount))


def reset_command(**base: Any) -> ResetAccount:
    return ResetAccount(**common(**base))


def batch(*quotes: Quote, symbol: str = SOL, time_ms: int = NOW_MS) -> PriceFrame:
    """Several ticks in one frame."""
    builder = FrameBuilder()
    for each in quotes:
        builder.add(symbol, each)
    made = builder.cut(time_ms)
    assert made is not None
    return made


def told(symbol: str, state: MarketState, price: int | str | None = None) -> MarketTold:
    """As an operator decided it."""
    return MarketTold(symbol, state, StateReason.OPERATOR, NOW_MS, None if price is None else dec(price))


def states(*markets: MarketTold, time_ms: int = NOW_MS) -> PriceFrame:
    """A frame without ticks, that tells which markets are not open."""
    return PriceFrame(time_ms, (), epoch=1, from_offset=0, to_offset=0, markets=markets)


def settled(symbol: str, price: int | str | None) -> PriceFrame:
    """A frame that settles a market."""
    return states(told(symbol, MarketState.SETTLED, price))


class StoredCell:
    """A cell, the entries committed so far, and the offset of the next record. by_rules: with which it begins."""

    def __init__(self, *quotes: Quote, by_rules: int = FIRST) -> None:
        self.store: dict[bytes, bytes] = {}
        self.cell = Cell(0, self.store.get)
        if by_rules != FIRST:
            self.cell.load(0, [], [], meta=Meta(0, 0, rules=by_rules))
        for last in quotes:
            self.fold(frame(last))

    def raise_rules(self, to: int = NEWEST) -> None:
        for number in range(self.cell.rules + 1, to + 1):
            self.fold(RulesChanged(NOW_MS, number))

    def fold(self, record: JournalRecord) -> Folded:
        return self.cell.fold(self.cell.next_offset, record)

    def opened(self, command: OpenPosition) -> PositionOpened:
        outcome = self.outcome(command)
        assert isinstance(outcome, PositionOpened), outcome
        return outcome

    def closed(self, command: ClosePosition) -> PositionClosed:
        outcome = self.outcome(command)
        assert isinstance(outcome, PositionClosed), outcome
        return outcome

    def rejected(self, command: Command) -> Rejection:
        outcome = self.outcome(command)
        assert isinstance(outcome, Rejection), outcome
        return outcome

    def outcome(self, command: Command) -> Outcome:
        reply = self.fold(command).reply
        assert reply is not None
        return reply.outcome

    def placed(self, command: PlaceOrder) -> OrderPlaced:
        outcome = self.outcome(command)
        assert isinstance(outcome, OrderPlaced), outcome
        return outcome

    def events(self, record: Command | PriceFrame) -> list[Event]:
        """What a record did. Money is conserved in every account that it touched."""
        events = self.fold(record).events
        for event in events:
            assert self.row(event.account_id).is_conserved, event
        return events

    def liquidated(self, last: Quote) -> PositionClosed:
        """The one event of a frame."""
        (event,) = self.fold(frame(last)).events
        assert isinstance(event, PositionClosed)
        return event

    def row(self, account: str = "demo") -> AccountRow:
        row = self.cell.account(account)
        assert row is not None
        return row

    def commit(self) -> None:
        for key, value in self.cell.pending.items():
            if value is None:
                self.store.pop(key, None)
            else:
                self.store[key] = value
        self.cell.committed()

    def restart(self) -> None:
        """A new process: only what was committed is left."""
        self.commit()
        next_offset, meta = self.cell.next_offset, self.cell.meta
        self.cell = Cell(0, self.store.get)
        rows = [decode_row(value) for key, value in self.store.items() if key.startswith(ROW_PREFIX)]
        quotes = [
            (key[len(QUOTE_PREFIX) :].decode(), decode_quote(value))
            for key, value in self.store.items()
            if key.startswith(QUOTE_PREFIX)
        ]
        access = [decode_access_row(value) for key, value in self.store.items() if key.startswith(ACCESS_PREFIX)]
        self.cell.load(next_offset, rows, quotes, access, meta)

    def entries(self) -> dict[bytes, bytes]:
        """Committed and pending together."""
        merged: dict[bytes, bytes | None] = {**self.store, **self.cell.pending}
        return {key: value for key, value in merged.items() if value is not None}

    def hash(self) -> str:
        return state_hash(self.entries().items())
