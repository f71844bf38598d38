"""The newest prices in an embedded log: where a simulated market continues after a restart."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path

from exness_streams.market_data.ticks import read_tick
from exness_streams.messages import MARKET_UPDATES_TOPIC
from exness_streams.simulator.market import PRICE_MAX
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.embedded.reader import LogReader, Snapshot
from exness_streams.transport.embedded.sqlite_file import TP, Record

WINDOW_TICKS = 10_000
"""So many are looked through at once, from the end backwards, until every symbol has been found."""


def newest_prices(log_dir: Path, symbols: Collection[str]) -> dict[str, Decimal]:
    """Symbol -> its newest bid, or its last trade where that side was empty; a symbol without a tick is absent.

    Records that are no ticks are passed over. A log that is not there is not made: a first start must be told from
    another one. LogFault: in use elsewhere, or unreadable.
    """
    found: dict[str, Decimal] = {}
    if not log_dir.exists():
        return found
    log = EmbeddedLog.open(log_dir)  # for its lock, and so that a log whose making was cut short is whole
    try:
        with LogReader(log_dir).snapshot() as snapshot:
            for number in range(snapshot.topics().get(MARKET_UPDATES_TOPIC, 0)):
                missing = set(symbols) - found.keys()
                found.update(_of_partition(snapshot, (MARKET_UPDATES_TOPIC, number), missing))
    finally:
        log.close()
    return found


def _of_partition(snapshot: Snapshot, tp: TP, missing: set[str]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    start, end = snapshot.start(tp), snapshot.end(tp)
    while missing and end > start:
        first = max(start, end - WINDOW_TICKS)
        wanted = {symbol.encode() for symbol in missing}
        newest: dict[str, Decimal] = {}
        for record in snapshot.records(tp, first):
            if record.offset >= end:
                break
            if record.key in wanted:
                newest.update(_price(record))
        found.update(newest)
        missing = missing - newest.keys()
        end = first
    return found


def _price(record: Record) -> dict[str, Decimal]:
    """The price of its symbol; none when it is no tick, or one that no simulated market can have."""
    tick, _ = read_tick(record)
    if tick is None:
        return {}
    price = tick.price if tick.bid is None else tick.bid
    return {tick.symbol: price} if price <= PRICE_MAX else {}
