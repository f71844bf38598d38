"""The market as the cells of a worker see it. Every cell sees every frame, so one tells for all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from exness_streams.domain.cell import Cell
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.quotes import Quote


class SeenMarket(ABC):
    """Of whoever has cells, perhaps none."""

    @abstractmethod
    def all_cells(self) -> list[Cell]:
        """Those that are owned here."""

    @property
    def quotes(self) -> dict[str, Quote]:
        """The newest of each symbol."""
        return next((cell.quotes for cell in self.all_cells()), {})

    @property
    def market_ms(self) -> int:
        """How far the market's time has come, by frames; 0 when nothing tells."""
        return next((cell.market_ms for cell in self.all_cells()), 0)

    @property
    def days(self) -> dict[str, DayFigures]:
        """The last 24 hours of each symbol that the exchange has told of since the cells are here."""
        return next((cell.days for cell in self.all_cells() if cell.days), {})

    @property
    def source(self) -> str | None:
        """Where the newest prices come from, None before the first frame that says so."""
        return next((cell.source for cell in self.all_cells() if cell.source), None)
