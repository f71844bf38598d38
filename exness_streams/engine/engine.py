"""An engine worker: its Faust app, and the parts that views, commands and agents work with. build.py makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import faust

from exness_streams.audit.checkpoints import candles_changelog_of
from exness_streams.domain import rules
from exness_streams.domain.instruments import Catalogue
from exness_streams.engine.candle_reader import CandleReader
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.cell_conditions import CellConditions
from exness_streams.engine.cells import CellHost
from exness_streams.engine.framer import Framer
from exness_streams.engine.fresh_cells import FreshCells
from exness_streams.engine.gateway import Gateway, Overloaded
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.kept_markets import KeptMarkets
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.messages import PLAIN_TOPICS, Topics
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import Settings
from exness_streams.transport.faults import LogFault
from exness_streams.transport.freshness import Freshness
from exness_streams.transport.table import CellTable
from exness_streams.transport.web_server import WebServer

APP_ID = "exness-streams"
REFUSED_FOR = ("overload", "no_prices", "stale")
"""Its cell is behind; no prices come to it; another worker may own it by now."""

ACCOUNTS_KNOWN_MAX = 100_000
"""Accounts whose partition need not be computed again."""

STOP_ANSWER_S_MAX = 1.0
"""How long a stop waits for the outcomes of the commands under way."""


class EngineApp(faust.App):  # type: ignore[misc]
    """A Faust app whose agents commit through the cells' own transactions (transport/batching.py)."""

    named_topics = PLAIN_TOPICS
    """The inputs; set before anything starts, when they are named otherwise."""

    @property
    def topics_of_one_partition(self) -> tuple[str, ...]:
        """Whatever the settings say (transport/kafka/topics.py)."""
        return (self.named_topics.market_updates, candles_changelog_of(self.conf.id))

    @property
    def batched_topics(self) -> Topics:
        return self.named_topics

    rules_known = rules.NEWEST
    """Told to the workers' group: which rules of the journal this worker can go on by."""

    @property
    def rejoins(self) -> int:
        """Told, too: how often this worker has asked the group to deal out anew."""
        rejoining = getattr(self.transport, "rejoining", None)  # a log that is one process's has none
        return 0 if rejoining is None else int(rejoining.count)

    metrics = WorkMetrics()
    before_stop: Callable[[float], Awaitable[None]] | None = None

    @property
    def self_committed_topics(self) -> Topics:
        return self.named_topics

    def on_rebalance_start(self) -> None:
        """Faust's."""
        self.metrics.rebalancing()
        super().on_rebalance_start()

    async def on_stop(self) -> None:
        """Faust's; first the clients that wait are answered."""
        if self.before_stop is not None:
            await self.before_stop(0.0 if self.crashed else STOP_ANSWER_S_MAX)
        await super().on_stop()

    def _new_web(self) -> WebServer:
        return WebServer(self)


@dataclass
class Engine:
    """The parts of one worker that views and commands need."""

    settings: Settings
    app: EngineApp
    table: CellTable
    cells: CellHost
    gateway: Gateway
    framer: Framer
    catalogue: Catalogue
    history: HistoryHost
    candles: CandleHost
    candle_reader: CandleReader
    markets: KeptMarkets
    feed_status: Callable[[], dict[str, Any]] = field(default=lambda: {"status": "unknown", "source": "unknown"})

    listed: Callable[[str], MarketInfo | None] = field(default=lambda symbol: None)
    """What the exchange says of a symbol, None until it has answered: each worker asks for itself."""

    upkeep_fault: Callable[[], str] = field(default=lambda: "")
    """Why the journal is not trimmed although it should be; empty when it is."""

    refused: Counter[str] = field(default_factory=Counter)
    """Requests that were refused before a record was written, by REFUSED_FOR."""

    settings_fault: Callable[[], str] = field(default=lambda: "")
    """Why this worker's settings are not those of the others; empty when they are, as far as it knows."""

    _partitions: dict[str, int] = field(default_factory=dict)

    @cached_property
    def freshness(self) -> Freshness:
        """Whether what this worker owns is certainly its own."""
        freshness: Freshness = self.app.transport.freshness
        return freshness

    @cached_property
    def conditions(self) -> CellConditions:
        """How each of its cells is."""
        return CellConditions(self.cells, self.assigned_cells, self._behind)

    def assigned_cells(self) -> list[int]:
        """The partitions of the journal that are this worker's, loaded or not."""
        return [tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == self.topics.journal]

    def _behind(self, partition: int) -> str:
        try:
            self.gateway.check_room(partition)
        except Overloaded as behind:
            return str(behind)
        return ""

    @cached_property
    def fresh_cells(self) -> FreshCells:
        """What reads go through."""
        return FreshCells(self.cells, self.freshness, self.refused)

    @property
    def topics(self) -> Topics:
        """The platform's topics."""
        return self.settings.topics

    @property
    def is_shared(self) -> bool:
        """Whether other workers may have accounts, too."""
        return isinstance(self.settings, KafkaSettings)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served: tables recovered, all that was acknowledged folded, and the log works."""
        return bool(self.app.tables.actives_ready) and self.cells.is_ready and self.fault is None

    def unready_of(self, partition: int) -> str:
        """As `unready`, for requests of one cell: another that is still loading or folding is no reason."""
        serves = self.fault is None and self.cells.is_caught_up(partition)
        return "" if serves else self.unready

    @property
    def unready(self) -> str:
        """Why requests can't be served, as a sentence; empty when they can."""
        if self.is_ready:
            return ""
        if self.fault is not None:
            return "the platform is ending, for its log takes nothing more: /readyz and its last line say why"
        if self.app.should_stop:
            return "the platform is stopping"
        return "the platform is starting: it is still reading its journal"

    @property
    def cut_off(self) -> str:
        """Why nothing reaches this worker from its log; empty when something does. From any thread."""
        transport = self.app.transport
        if lacking := [topic for topic in self.topics if transport.lacks_topic(topic)]:
            return f"the brokers have no topic {lacking[0]} any more, or do not show it"
        if not self.freshness.is_fresh():
            return "the brokers have not confirmed for a session timeout that this worker is in its group"
        return str(transport.unanswered())

    def clock_fault(self) -> str:
        """What is wrong with this machine's clock by that of its log, as a sentence; empty when nothing is known."""
        return str(self.app.transport.broker_clock.fault())

    @property
    def is_clock_right(self) -> bool:
        """Whether the brokers' clock is known, and this machine's agrees with it."""
        clock = self.app.transport.broker_clock
        return clock.ahead_ms() is not None and not clock.fault()

    @property
    def fault(self) -> LogFault | None:
        """Why the log takes nothing more; the worker is ending then."""
        fault: LogFault | None = self.app.transport.fault
        return fault

    def partition_of(self, account_id: str) -> int:
        """The cell of an account."""
        partition = self._partitions.get(account_id)
        if partition is None:
            partition = self.app.transport.key_partition(self.topics.journal, account_id.encode())
            if len(self._partitions) >= ACCOUNTS_KNOWN_MAX:
                self._partitions.clear()
            self._partitions[account_id] = partition
        return partition
