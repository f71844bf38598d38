"""The states of accounts as JSON, encoded once for each change of an account or of its market.

A state is made of the account's stored row and the quotes of its symbols, and of whether these are stale by now: while
all that is the same, its bytes are.
Many readers of a large account cost as much as one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from exness_streams.api import presenter
from exness_streams.api.accounts import Accounts
from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell
from exness_streams.domain.market_states import is_traded
from exness_streams.domain.plain_numbers import Form, encoders
from exness_streams.domain.quotes import Quote

IsStale = Callable[[str], bool]

BYTES_MAX = 32 * 1024 * 1024
"""Of rows and states that are kept, of all accounts together: several hundred of the largest."""

OVERHEAD_BYTES = 1024
"""What an account takes beside them, about."""


class EncodedState(NamedTuple):
    """A StateMessage as JSON, and its sequence."""

    content: bytes
    sequence: int


class _Kept:
    """What was encoded of an account, and from what."""

    __slots__ = ("contents", "quotes", "sequence", "stale", "stored")

    def __init__(self, stored: bytes, row: AccountRow, quotes: Mapping[str, Quote], is_stale: IsStale) -> None:
        symbols = {position.symbol for position in row.positions.values()}
        self.stored = stored
        self.stale = {symbol for symbol in symbols if is_stale(symbol)}
        self.quotes = {symbol: quotes.get(symbol) for symbol in symbols}
        self.sequence = row.sequence
        self.contents: dict[Form, bytes] = {}

    def still_holds(self, stored: bytes, quotes: Mapping[str, Quote], is_stale: IsStale) -> bool:
        return self.stored == stored and all(
            quotes.get(symbol) is quote and is_stale(symbol) == (symbol in self.stale)
            for symbol, quote in self.quotes.items()
        )

    @property
    def size(self) -> int:
        return OVERHEAD_BYTES + len(self.stored) + sum(map(len, self.contents.values()))


class EncodedStates:
    """Those of one worker's accounts, the most recently read ones kept. margin_call_level: percent.

    quote_age_ms_max: a position whose market has an older quote is stale. encoded: how often one was made, so far.
    """

    def __init__(
        self,
        accounts: Accounts,
        margin_call_level: Decimal,
        bytes_max: int = BYTES_MAX,
        *,
        quote_age_ms_max: int,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self.encoded = 0
        self._quote_age_ms_max, self._clock_ms = quote_age_ms_max, clock_ms
        self._accounts, self._margin_call_level, self._bytes_max = accounts, margin_call_level, bytes_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Of what is kept."""
        return self._bytes

    def state(self, cell: Cell, account_id: str, form: Form) -> EncodedState:
        """The account as it is at the newest quotes."""
        stored, quotes = cell.stored(account_id), cell.quotes
        if stored is None:  # one that is not there yet, as there are any number of: nothing to keep
            row = self._accounts.row_of(cell, account_id)
            return EncodedState(self._encode(row, quotes, form), row.sequence)
        is_stale = partial(self._is_stale, cell, self._clock_ms())
        kept = self._kept.get(account_id)
        if kept is not None and not kept.still_holds(stored, quotes, is_stale):
            kept = None
        if kept is not None and form in kept.contents:
            self._kept.move_to_end(account_id)
            return EncodedState(kept.contents[form], kept.sequence)
        row = self._accounts.row_of(cell, account_id)
        if kept is None:
            kept = _Kept(stored, row, quotes, is_stale)
        self._forget(account_id)
        kept.contents[form] = self._encode(row, quotes, form, kept.stale)
        self._keep(account_id, kept)
        return EncodedState(kept.contents[form], kept.sequence)

    def _is_stale(self, cell: Cell, now_ms: int, symbol: str) -> bool:
        """Whether nothing can be closed at a symbol's quote now."""
        quote = cell.quotes.get(symbol)
        is_fresh = quote is not None and quote.is_fresh(now_ms, self._quote_age_ms_max, cell.market_ms)
        return not is_fresh or not is_traded(cell.markets.get(symbol))

    def _encode(self, row: AccountRow, quotes: Mapping[str, Quote], form: Form, stale: Collection[str] = ()) -> bytes:
        self.encoded += 1
        return encoders[form].encode(presenter.state_message(row, quotes, self._margin_call_level, stale))

    def _keep(self, account_id: str, kept: _Kept) -> None:
        self._kept[account_id] = kept
        self._bytes += kept.size
        while self._bytes > self._bytes_max and self._kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, account_id: str) -> None:
        kept = self._kept.pop(account_id, None)
        if kept is not None:
            self._bytes -= kept.size
