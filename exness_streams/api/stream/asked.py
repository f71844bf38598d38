"""What a client of the live stream asks for."""

from __future__ import annotations

from typing import NamedTuple

from exness_streams.api.access.caller import NOBODY, Caller
from exness_streams.api.stream.market import Symbols
from exness_streams.api.stream.messages import Form


class StreamRequest(NamedTuple):
    """account_id: empty for a guest, who sees the market alone. symbols: of the market data; None: all."""

    account_id: str
    form: Form
    symbols: Symbols = None
    caller: Caller = NOBODY

    @property
    def query(self) -> str:
        """The same as a query for another worker, but for the account."""
        wanted = "" if self.symbols is None else f"&symbols={','.join(sorted(self.symbols))}"
        return f"numbers={self.form}{wanted}"
