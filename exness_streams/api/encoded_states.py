"""The states of accounts as JSON, encoded once for each change of an account or of its market.

A state is made of the account's stored row and the quotes of its symbols, so while these are the same its bytes are.
Many readers of a large account cost as much as one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from exness_streams.api import presenter
from exness_streams.api.accounts import Accounts
from exness_streams.domain.account import AccountRow
from exness_streams.domain.cell import Cell
from exness_streams.domain.plain_numbers import Form, encoders
from exness_streams.domain.quotes import Quote

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

    __slots__ = ("contents", "quotes", "sequence", "stored")

    def __init__(self, stored: bytes, row: AccountRow, quotes: Mapping[str, Quote]) -> None:
        symbols = {position.symbol for position in row.positions.values()}
        self.stored = stored
        self.quotes = {symbol: quotes.get(symbol) for symbol in symbols}
        self.sequence = row.sequence
        self.contents: dict[Form, bytes] = {}

    def still_holds(self, stored: bytes, quotes: Mapping[str, Quote]) -> bool:
        return self.stored == stored and all(quotes.get(symbol) is quote for symbol, quote in self.quotes.items())

    @property
    def size(self) -> int:
        return OVERHEAD_BYTES + len(self.stored) + sum(map(len, self.contents.values()))


class EncodedStates:
    """Those of one worker's accounts, the most recently read ones kept. margin_call_level: percent.

    encoded: how often one was made, so far.
    """

    def __init__(self, accounts: Accounts, margin_call_level: Decimal, bytes_max: int = BYTES_MAX) -> None:
        self.encoded = 0
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
        kept = self._kept.get(account_id)
        if kept is not None and kept.still_holds(stored, quotes) and form in kept.contents:
            self._kept.move_to_end(account_id)
            return EncodedState(kept.contents[form], kept.sequence)
        row = self._accounts.row_of(cell, account_id)
        if kept is None or not kept.still_holds(stored, quotes):
            kept = _Kept(stored, row, quotes)
        self._forget(account_id)
        kept.contents[form] = self._encode(row, quotes, form)
        self._keep(account_id, kept)
        return EncodedState(kept.contents[form], kept.sequence)

    def _encode(self, row: AccountRow, quotes: Mapping[str, Quote], form: Form) -> bytes:
        self.encoded += 1
        return encoders[form].encode(presenter.state_message(row, quotes, self._margin_call_level))

    def _keep(self, account_id: str, kept: _Kept) -> None:
        self._kept[account_id] = kept
        self._bytes += kept.size
        while self._bytes > self._bytes_max and self._kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, account_id: str) -> None:
        kept = self._kept.pop(account_id, None)
        if kept is not None:
            self._bytes -= kept.size
