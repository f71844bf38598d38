"""What a client of the live stream asks for."""

from __future__ import annotations

from typing import NamedTuple

from exness_streams.api.stream.market import Symbols
from exness_streams.api.stream.messages import Form


class StreamRequest(NamedTuple):
    """symbols: of the market data; None: all."""

    account_id: str
    form: Form
    symbols: Symbols = None

    @property
    def query(self) -> str:
        """The same as a query for another worker, but for the account."""
        wanted = "" if self.symbols is None else f"&symbols={','.join(sorted(self.symbols))}"
        return f"numbers={self.form}{wanted}"
