"""What views need of a worker, each as small as it is used: the parts of an Engine fit, and so do a test's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from exness_streams.domain.account_history import BalancePoint, HistoryHead, Trade
from exness_streams.domain.candle_spans import Told
from exness_streams.domain.candles import Candle
from exness_streams.domain.cell import Cell, Reply
from exness_streams.domain.commands import Command
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.identity import AccessCommand
from exness_streams.domain.instruments import Limits
from exness_streams.domain.market_states import MarketTold
from exness_streams.domain.quotes import Quote
from exness_streams.engine.cell_conditions import CellCondition
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.transport.faults import LogFault


class Owner(Protocol):
    """Which cell an account belongs to, and whether this worker may answer for its cells."""

    def unready_of(self, partition: int) -> str:
        """Why requests of a cell can't be served, as a sentence; empty when they can, or it is not here."""

    def partition_of(self, account_id: str) -> int:
        """The cell of an account, whoever owns it."""


class Quotes(Protocol):
    """The market as the cells see it."""

    @property
    def quotes(self) -> Mapping[str, Quote]:
        """The newest of each symbol."""

    @property
    def days(self) -> Mapping[str, DayFigures]:
        """The last 24 hours of each symbol, as far as the exchange has told of them."""

    @property
    def markets(self) -> Mapping[str, MarketTold]:
        """By symbol, those that are not open."""

    @property
    def market_ms(self) -> int:
        """How far the market's time has come; 0 when nothing tells."""


class Cells(Protocol):
    """The cells that are this worker's, with the rows of their accounts."""

    def cell(self, partition: int) -> Cell | None:
        """None while it is another worker's, or not loaded."""


class Journal(Protocol):
    """Where commands go."""

    def check_room(self, partition: int) -> None:
        """Overloaded while a cell is too far behind to take another command."""

    async def submit(self, partition: int, command: Command | AccessCommand) -> Reply:
        """Append a command to its account's partition and wait for its outcome.

        NotWritten, Overloaded of them, or OutcomeUnknown.
        """


class FrameAges(Protocol):
    """Whether prices come to the cells."""

    def age_s(self, partition: int) -> float | None:
        """Seconds since a cell's last frame; None before its first one here."""


class TradingRules(Protocol):
    """What the platform's settings say of every command."""

    @property
    def starting_balance(self) -> Decimal:
        """USD."""

    @property
    def max_quote_age_ms(self) -> int:
        """A quote that is older fills nothing."""

    def limits(self) -> Limits:
        """What an account may hold."""


class Histories(Protocol):
    """What accounts have done. Each raises NotOwned when the partition is another worker's."""

    async def wait_for(self, partition: int, account_id: str, sequence: int, timeout_s: float) -> bool:
        """Whether an account's history has come up to an event's sequence, at the latest after `timeout_s`."""

    def head(self, partition: int, account_id: str) -> HistoryHead:
        """How far an account's history has come."""

    def trades(self, partition: int, account_id: str, first: int, end: int) -> list[tuple[int, Trade]]:
        """The trades numbered first <= number < end, newest first, with their numbers."""

    def points(self, partition: int, account_id: str, first: int, end: int) -> list[BalancePoint]:
        """The balance points numbered first <= number < end, oldest first."""


class Candles(Protocol):
    """The candles of this worker."""

    async def newest(self, symbol: str, interval: str, limit: int) -> list[Candle]:
        """The newest candles, oldest first. NotOwned when they are another worker's."""

    def told(self, symbol: str) -> Told:
        """The time for which the exchange's history was asked. NotOwned."""

    def begin_s(self, symbol: str, length_s: int) -> int:
        """Before it no candles of this length are kept, seconds since the epoch. NotOwned."""

    async def before(self, symbol: str, interval: str, before_s: int, limit: int) -> list[Candle]:
        """Those that begin before a time, seconds since the epoch; as `newest` else."""


class Stopping(Protocol):
    """A Faust app, as far as long answers look at it."""

    @property
    def should_stop(self) -> bool:
        """Whether the worker was told to end."""


class Ending(Stopping, Protocol):
    """A Faust app, as far as streams that last as long as it does look at it."""

    async def wait_until_stopped(self) -> None:
        """Return once it was told to end."""


class Feed(Protocol):
    """Where prices come from."""

    @property
    def feed_status(self) -> Callable[[], dict[str, Any]]:
        """How it is, for /readyz and /markets."""


class Markets(Feed, Protocol):
    """What is known of the exchange and its markets."""

    @property
    def listed(self) -> Callable[[str], MarketInfo | None]:
        """What the exchange says of a symbol; None when that is not known."""


class Health(Feed, Protocol):
    """What ails a worker."""

    @property
    def fault(self) -> LogFault | None:
        """Why the log takes nothing more."""

    @property
    def cut_off(self) -> str:
        """Why nothing reaches it from its log; empty when something does."""

    def clock_fault(self) -> str:
        """What is wrong with its clock by its log's, as a sentence; empty when nothing is known."""

    @property
    def is_clock_right(self) -> bool:
        """Whether its log's clock is known, and its own agrees with it."""

    @property
    def upkeep_fault(self) -> Callable[[], str]:
        """Why the journal is not trimmed although it should be; empty when it is."""

    @property
    def settings_fault(self) -> Callable[[], str]:
        """Why this worker's settings are not those of the others; empty when they are, as far as it knows."""


class Conditions(Protocol):
    """How the cells of a worker are."""

    def look(self) -> Sequence[CellCondition]:
        """Every one that is assigned to it, by partition."""


class FoldingCells(Quotes, Protocol):
    """How far the cells have come."""

    @property
    def partitions(self) -> Sequence[int]:
        """Those that are here."""

    @property
    def is_ready(self) -> bool:
        """Whether all that was acknowledged before is folded."""

    def clock_ahead_ms(self, now_ms: int) -> int | None:
        """How far this machine's clock is ahead of that of the ticks' owner; None when nothing tells."""

    def standing(self) -> Collection[str]:
        """The symbols in which positions or orders stand in them."""

    @property
    def lag(self) -> int:
        """Records of the journal that are still to be folded before they are ready."""
