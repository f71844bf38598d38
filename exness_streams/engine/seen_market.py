"""The market as the cells of a worker see it. Every cell sees every frame, so one tells for all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from exness_streams.domain.cell import Cell
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.market_states import MarketTold
from exness_streams.domain.quotes import Quote

FRAME_AGE_S_MAX = 2.5
"""There is one a second, when nothing else is to be told."""


class SeenMarket(ABC):
    """Of whoever has cells, perhaps none."""

    @abstractmethod
    def all_cells(self) -> list[Cell]:
        """Those that are owned here."""

    @abstractmethod
    def frame_age_s(self) -> float | None:
        """Since the last frame came to a cell; None before the first."""

    @property
    def quotes(self) -> dict[str, Quote]:
        """The newest of each symbol."""
        return next((cell.quotes for cell in self.all_cells()), {})

    @property
    def markets(self) -> dict[str, MarketTold]:
        """By symbol, those that are not open."""
        return next((cell.markets for cell in self.all_cells()), {})

    @property
    def market_ms(self) -> int:
        """How far the market's time has come, by frames; 0 when nothing tells."""
        return next((cell.market_ms for cell in self.all_cells()), 0)

    def clock_ahead_ms(self, now_ms: int) -> int | None:
        """How far a clock that says now_ms is ahead of the clock of the ticks' owner, the way of a frame included.

        None when no frame came lately.
        """
        age_s = self.frame_age_s()
        if not self.market_ms or age_s is None or age_s > FRAME_AGE_S_MAX:
            return None
        return now_ms - self.market_ms - int(age_s * 1000)

    @property
    def days(self) -> dict[str, DayFigures]:
        """The last 24 hours of each symbol that the exchange has told of since the cells are here."""
        return next((cell.days for cell in self.all_cells() if cell.days), {})

    @property
    def source(self) -> str | None:
        """Where the newest prices come from, None before the first frame that says so."""
        return next((cell.source for cell in self.all_cells() if cell.source), None)
