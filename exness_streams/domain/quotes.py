"""Quotes: the market of one symbol at one moment."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Side = Literal["long", "short"]

AHEAD_MS_MAX = 2_000
"""An event may seem to lie so far in the future: clocks differ. What lies further is not believed."""


def bounded_ms(time_ms: int, now_ms: int) -> int:
    """The time of an event that is known at `now_ms`: one that claims to be of the future has happened now."""
    return now_ms if time_ms > now_ms + AHEAD_MS_MAX else time_ms


def sequence_bound(now_ms: int) -> int:
    """The highest sequence (µs) that an event time of `now_ms` can give. Those above it order, and hold nothing up."""
    return (now_ms + AHEAD_MS_MAX) * 1000


def follows(sequence: int, known: int, sequence_max: int) -> bool:
    """Whether a tick is newer than the newest one known.

    It is also where the known one is of the future, as seen from sequence_max, and this one is not: else a single
    wrong sequence would put aside all that follow.
    """
    return sequence > known or known > sequence_max >= sequence


class Quote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The newest market update of a symbol that a cell has seen.

    sequence: strictly increasing per symbol. time_ms: event time. price: last trade; bid, ask: None when that
    side of the book is empty or unknown; volume: 24 h, base asset.
    """

    sequence: int
    time_ms: int
    price: Decimal
    bid: Decimal | None = None
    ask: Decimal | None = None
    volume: Decimal | None = None

    def opening_price(self, side: Side) -> Decimal | None:
        """What a market order pays to open: a long buys at the ask, a short sells at the bid."""
        return self.ask if side == "long" else self.bid

    def closing_price(self, side: Side) -> Decimal | None:
        """What a market order gets to close: a long sells at the bid, a short buys at the ask."""
        return self.bid if side == "long" else self.ask

    def mark_price(self, side: Side) -> Decimal:
        """What a position is valued at: its closing price, or the last trade while that side is empty."""
        closing = self.closing_price(side)
        return self.price if closing is None else closing

    @property
    def is_two_sided(self) -> bool:
        """Whether there is somebody to buy from, and somebody to sell to."""
        return self.bid is not None and self.ask is not None

    @property
    def aged_from_ms(self) -> int:
        """Since when its age counts."""
        return self.time_ms

    def is_fresh(self, time_ms: int, age_ms_max: int, market_ms: int = 0) -> bool:
        """Whether the quote is young enough to trade on at `time_ms`; one of the future is not.

        market_ms: the same moment by the clock of the ticks' owner, 0: not known. It is as old as either clock says.
        """
        known_ms = self.aged_from_ms
        return known_ms - time_ms <= AHEAD_MS_MAX and max(time_ms, market_ms) - known_ms <= age_ms_max


class ReceivedQuote(Quote, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A quote of a numbered frame. received_ms: when its tick came, by the clock of the ticks' owner.

    Its age counts from then: whoever made the tick has another clock.
    """

    received_ms: int = 0

    @property
    def aged_from_ms(self) -> int:
        """Since when its age counts."""
        return self.received_ms
