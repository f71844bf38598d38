"""What a command or a crossed trigger does: a new row and the event that says so, at one place in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from exness_streams.domain.account import AccountRow
from exness_streams.domain.events import Cause, Event
from exness_streams.domain.market_states import MarketTold


class Transition(NamedTuple):
    """A row after one event."""

    row: AccountRow
    event: Event


class JournalPlace(NamedTuple):
    """Where in the journal something happens: ids are made of it. nth: of the record's events, from 0.

    caused_by: the id of the request that did it; None when prices or the time did, unset when the record does not say.
    market_ms: how far the market's time has come there; 0 where the rules do not say. markets: those that are not open.
    """

    partition: int
    offset: int
    nth: int
    time_ms: int
    caused_by: Cause = None
    market_ms: int = 0
    markets: Mapping[str, MarketTold] = MappingProxyType({})

    @property
    def event_id(self) -> str:
        return f"{self.partition}-{self.offset}-{self.nth}"

    @property
    def position_id(self) -> str:
        return f"pos_{self.partition}_{self.offset}"

    @property
    def order_id(self) -> str:
        return f"ord_{self.partition}_{self.offset}"

    def head(self, row: AccountRow) -> dict[str, object]:
        """The fields that every event of an account's next change carries."""
        return {
            "event_id": self.event_id,
            "account_id": row.account_id,
            "sequence": row.sequence + 1,
            "timestamp": self.time_ms,
            "caused_by": self.caused_by,
        }
