"""An account's history, folded from its events: the trades it closed, and the course of its balance. Pure.

Trades and balance points are numbered from 0, each kind by itself, so that the entries of an account are known
without looking: what is shown, and what has to go.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from exness_streams.domain.codec import encode
from exness_streams.domain.events import AccountReset, CloseReason, Event, PositionClosed
from exness_streams.domain.money import money_arithmetic, to_money
from exness_streams.domain.quotes import Side

TRADES_KEPT = 100_000
"""Trades of an account that are kept: the newest. About 40 MB in the log."""

POINTS_KEPT = 10_000
"""Balance points of an account that are kept: the newest."""

REMOVED_PER_EVENT_MAX = 10
"""Old entries of one kind that an event takes away at most.

More than it adds, so that what a reset has put out of sight is gone in time, and a transaction stays small.
"""


EntryKey = Callable[[str, int], bytes]
"""(account id, number) -> the entry's key."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A position closed, in whole or in part.

    trade_id: the id of the event. fee: USD, of the close and the share of the fee paid at open. opened_ms,
    closed_ms: ms since the epoch.
    """

    trade_id: str
    position_id: str
    asset: str
    symbol: str
    side: Side
    quantity: Decimal
    leverage: Decimal
    entry_price: Decimal
    close_price: Decimal
    realized_pnl: Decimal
    fee: Decimal
    reason: CloseReason
    opened_ms: int
    closed_ms: int


class BalancePoint(msgspec.Struct, frozen=True):
    """The balance (free cash plus held margins, USD) after an event that changed it, at `time_ms`."""

    time_ms: int
    balance: Decimal


class Numbers(msgspec.Struct, frozen=True):
    """Which numbers of a kind there are.

    stored: the first that is not removed yet. since: the first of the history that is shown, which a reset begins
    anew. end: the next one.
    """

    stored: int = 0
    since: int = 0
    end: int = 0

    def first(self, kept: int) -> int:
        """The first that is shown."""
        return max(self.since, self.end - kept)

    def removed(self, kept: int) -> range:
        """Those that may go with the next event."""
        return range(self.stored, min(self.first(kept), self.stored + REMOVED_PER_EVENT_MAX))


class HistoryHead(msgspec.Struct, frozen=True, kw_only=True):
    """How far an account's history has come. sequence: of its newest event. balance: USD then, None at first."""

    sequence: int = 0
    balance: Decimal | None = None
    trades: Numbers = Numbers()
    points: Numbers = Numbers()

    @property
    def trades_from(self) -> int:
        """The number of the oldest trade that is shown; the newest is `trades.end` - 1."""
        return self.trades.first(TRADES_KEPT)

    @property
    def points_from(self) -> int:
        """The number of the oldest balance point that is shown."""
        return self.points.first(POINTS_KEPT)


def missing_before(head: HistoryHead, event: Event) -> int:
    """How many of the account's events are missing between those that a history has and this one."""
    return max(0, event.sequence - head.sequence - 1)


def fold_event(head: HistoryHead, event: Event, entries: dict[bytes, bytes | None]) -> HistoryHead:
    """Take an account's next event; `entries` gets what it changes.

    An event at or below the head's sequence was folded before and changes nothing. One that is not the next is taken as
    it stands, since it says all that there is to say of it: the history lacks what is missing before it, and no more.
    """
    if event.sequence <= head.sequence:
        return head
    trades, points, balance = head.trades, head.points, head.balance
    if isinstance(event, AccountReset):
        trades = msgspec.structs.replace(trades, since=trades.end)
        points = msgspec.structs.replace(points, since=points.end)
        balance = None
    if isinstance(event, PositionClosed):
        entries[trade_key(event.account_id, trades.end)] = encode(trade_of(event))
        trades = msgspec.structs.replace(trades, end=trades.end + 1)
    if event.balance != balance:
        entries[point_key(event.account_id, points.end)] = encode(BalancePoint(event.timestamp, event.balance))
        points = msgspec.structs.replace(points, end=points.end + 1)
    folded = HistoryHead(
        sequence=event.sequence,
        balance=event.balance,
        trades=_without_old(trades, TRADES_KEPT, trade_key, event.account_id, entries),
        points=_without_old(points, POINTS_KEPT, point_key, event.account_id, entries),
    )
    entries[head_key(event.account_id)] = encode(folded)
    return folded


def _without_old(
    numbers: Numbers, kept: int, key_of: EntryKey, account_id: str, entries: dict[bytes, bytes | None]
) -> Numbers:
    removed = numbers.removed(kept)
    for number in removed:
        entries[key_of(account_id, number)] = None
    return msgspec.structs.replace(numbers, stored=removed.stop) if removed else numbers


def trade_of(event: PositionClosed) -> Trade:
    """The trade that an event tells of."""
    with money_arithmetic():
        fee = to_money(event.entry_fee + event.fee)
    return Trade(
        trade_id=event.event_id,
        position_id=event.position_id,
        asset=event.asset,
        symbol=event.symbol,
        side=event.side,
        quantity=event.quantity,
        leverage=event.leverage,
        entry_price=event.entry_price,
        close_price=event.close_price,
        realized_pnl=event.realized_pnl,
        fee=fee,
        reason=event.reason,
        opened_ms=event.opened_at,
        closed_ms=event.timestamp,
    )


# The entries of a history, all in one table. Account ids hold no slash, so no key is a part of another's.
HEAD_PREFIX, TRADE_PREFIX, POINT_PREFIX = PREFIXES = b"head/", b"trade/", b"equity/"


def head_key(account_id: str) -> bytes:
    return b"head/" + account_id.encode()


def trade_key(account_id: str, number: int) -> bytes:
    return b"trade/%s/%012d" % (account_id.encode(), number)


def point_key(account_id: str, number: int) -> bytes:
    return b"equity/%s/%012d" % (account_id.encode(), number)


decode_head = msgspec.json.Decoder(HistoryHead).decode
decode_trade = msgspec.json.Decoder(Trade).decode
decode_point = msgspec.json.Decoder(BalancePoint).decode
