"""Histories of a partition of which events were deleted: what they hold is true, in order and once, though not all of
it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from exness_streams.domain import account_history
from exness_streams.domain.account_history import BalancePoint, HistoryHead, Trade
from exness_streams.domain.codec import decode_event
from exness_streams.domain.events import Event, PositionClosed
from exness_streams.messages import EVENTS_TOPIC
from protocol.broker import Stored

if TYPE_CHECKING:
    from protocol.world import World


def events_of(world: World, partition: int) -> list[Stored]:
    """All that were ever told, those that are gone among them."""
    log = world.broker.logs[EVENTS_TOPIC, partition]
    told = [*world.gone_events[partition], *log.records]
    return [one for one in told if not one.is_marker and one.txn is not None and one.txn.is_committed]


def check_lossy_history(world: World, partition: int, events: list[Event]) -> None:
    """Tells the world of each violation. events: as the journal gives them."""
    of_account = defaultdict[str, list[Event]](list)
    for event in events:
        of_account[event.account_id].append(event)
    owner = world.owner(partition)
    assert owner is not None
    kept = world.on_disk(owner, owner.history.table, partition)
    heads = 0
    for account_id, told in of_account.items():
        stored = kept.get(account_history.head_key(account_id))
        if stored is not None:
            heads += 1
            _check_account(world, partition, kept, account_history.decode_head(stored), told)
    if heads != sum(key.startswith(account_history.HEAD_PREFIX) for key in kept):
        world.violation(f"histories of {partition} are of accounts that have no events")
    for shown in world.shown:
        if shown.partition == partition:
            trades = [trade for _, trade in reversed(shown.trades)]
            if not _is_part(trades, _trades(of_account[shown.account_id])):
                world.violation(f"{shown.account_id} was shown trades that are not its own, in their order")
    world.counted["histories that lack events"] += 1


def _check_account(
    world: World, partition: int, kept: dict[bytes, bytes], head: HistoryHead, told: list[Event]
) -> None:
    account_id = told[0].account_id
    newest = next((event for event in told if event.sequence == head.sequence), None)
    if newest is None or newest.balance != head.balance:
        world.violation(f"the history of {account_id} ends with no event of it: {head}")
    trades = [
        account_history.decode_trade(kept[account_history.trade_key(account_id, number)])
        for number in range(head.trades.stored, head.trades.end)
    ]
    points = [
        account_history.decode_point(kept[account_history.point_key(account_id, number)])
        for number in range(head.points.stored, head.points.end)
    ]
    if not _is_part(trades, _trades(told)):
        world.violation(f"the history of {account_id} holds trades that are not its own, once and in their order")
    if not _is_part(points, [BalancePoint(event.timestamp, event.balance) for event in told]):
        world.violation(f"the history of {account_id} holds balances that it never had, in their order")
    lacking = {trade.trade_id for trade in _trades(told)} - {trade.trade_id for trade in trades}
    gone = {decode_event(one.value).event_id for one in world.gone_events[partition] if one.value}
    if partition in world.events_made_anew:
        # A small topic may outgrow what was read of the former one before anybody looks.
        world.counted["trades that histories passed over in a topic made anew"] += len(lacking - gone)
    elif lacking - gone:
        world.violation(f"the history of {account_id} lacks {len(lacking - gone)} trades whose events nobody deleted")
    world.counted["trades that histories lack"] += len(lacking)


def _trades(events: list[Event]) -> list[Trade]:
    return [account_history.trade_of(event) for event in events if isinstance(event, PositionClosed)]


def _is_part(found: list[Trade] | list[BalancePoint], told: list[Trade] | list[BalancePoint]) -> bool:
    """Whether all that was found was told, once and in this order."""
    rest = iter(told)
    return all(any(one == other for other in rest) for one in found)
