"""Reading the topic of market updates, for whoever reads it: what is no market update is named, and never raises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec

from exness_streams.domain.ticks import BOOK_FAULTS, TickFault, sane
from exness_streams.messages import MarketDataMessage

TICK_BYTES_MAX = 4_096
"""A market update is a few hundred bytes."""

_decode = msgspec.json.Decoder(MarketDataMessage).decode


class TickRecord(Protocol):
    """A record of the topic. value None: a tombstone. A log's records have a `key`, too: None when none is."""

    @property
    def value(self) -> bytes | None: ...


def read_tick(record: TickRecord) -> tuple[MarketDataMessage | None, TickFault | None]:
    """The market update of a record, and what is wrong with it.

    Of a crossed book, or one with a side that is no price, nobody knows what is right: such an update comes without bid
    and ask, and with its fault, so that the book before it is not the market any more.
    All else that is wrong leaves no update.
    """
    value = record.value
    if value is None or len(value) > TICK_BYTES_MAX:
        return None, TickFault.NO_UPDATE
    try:
        tick = _decode(value)
        symbol = tick.symbol.encode()
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return None, TickFault.NO_UPDATE
    if getattr(record, "key", symbol) != symbol:
        return None, TickFault.WRONG_KEY
    fault = sane(tick)
    if fault is None:
        return tick, None
    if fault in BOOK_FAULTS:
        return msgspec.structs.replace(tick, bid=None, ask=None), fault
    return None, fault


def note_sources(records: Iterable[TickRecord], counted: Counter[str]) -> None:
    """Count the updates of each source; those that name none do not count."""
    for record in records:
        tick, _ = read_tick(record)
        if tick is not None and tick.source is not None:
            counted[tick.source] += 1


def note_sequences(records: Iterable[TickRecord], newest: dict[str, int], sequence_max: int) -> None:
    """Raise the newest sequence of each symbol to those of the records; one above sequence_max counts for nothing."""
    for record in records:
        tick, _ = read_tick(record)
        if tick is not None and tick.sequence <= sequence_max:
            newest[tick.symbol] = max(tick.sequence, newest.get(tick.symbol, 0))
