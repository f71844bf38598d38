"""One process of a worker, with all that is real in it: the engine as build.py makes it, Faust, and the transport."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.clocks import Clock
from protocol.logs import Connection
from protocol.loop import Process
from protocol.network import Link

from exness_streams.domain import rules
from exness_streams.domain.cell import Cell, Reply
from exness_streams.domain.commands import Command
from exness_streams.domain.instruments import Terms
from exness_streams.domain.outcomes import repeat_of
from exness_streams.engine.build import build_engine
from exness_streams.engine.gateway import NotWritten, OutcomeUnknown
from exness_streams.engine.journal_faults import JournalFault
from exness_streams.processes.engine_worker import run_app
from exness_streams.processes.stopping import GRACE_S
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.transport.faults import LogFault, LogFenced
from faust_floor.loop import Lane

if TYPE_CHECKING:
    from faust_floor.world import FaustWorld

SESSION_S = 2.0


class WorkerConnection(Connection):
    """Beside the brokers the coordinator of the group, and how many records a fetch brings."""

    def __init__(self, world: FaustWorld, link: Link, owner: Process) -> None:
        super().__init__(world.broker, world.network, link, owner)
        self.world = world

    @property
    def coordinator(self) -> Any:
        return self.world.group

    @property
    def batch(self) -> int:
        return self.world.rng.randint(1, self.world.knobs.batch)

    def listener_failed(self, error: Exception) -> None:
        """aiokafka logs it and goes on."""
        self.world.note(f"{self.owner.name}: a listener failed: {error!r}")


class Worker(Process):
    """From its start to its end."""

    def __init__(self, world: FaustWorld, name: str, link: Link, clock: Clock) -> None:
        super().__init__(name)
        self.world = world
        self.machine = name.split(".")[0]
        self.clock = clock
        self.connection = WorkerConnection(world, link, self)
        self.stopping = asyncio.Event()
        self.rules_known = rules.NEWEST
        self.refused: Counter[str] = Counter()
        self.consumer_lane = Lane(self, "consumer")

    def start(self) -> None:
        self.engine = build_engine(settings_of(self.world, self.machine))
        self.engine.app.conf.web_enabled = False
        self.engine.app.transport.first_value = self.connection.first_value  # the reader's client is not simulated
        self.refused = self.engine.refused
        self.cells = self.engine.cells
        self.gateway = self.engine.gateway
        self.history = self.engine.history
        self.candles = self.engine.candles
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            failed = await run_app(self.engine.app, list, self.stopping, self._on_ending)
        except Exception as error:
            failed = error
        self._ended(failed)

    def _on_ending(self, failed: BaseException | None) -> None:
        """processes/stopping.py ends a process that takes too long to stop."""
        self.world.network.later(GRACE_S, self.world.give_up, self)

    def _ended(self, failed: BaseException | None) -> None:
        if self.is_dead or self.world.is_buried:
            return
        if failed is None:
            self.world.left(self)
            return
        # What the brokers do to a worker ends it, and it is started again. Whatever else ends it is a defect.
        if not isinstance(failed, LogFault) or isinstance(failed, JournalFault | LogFenced):
            self.world.violation(f"{self.name} ends by {type(failed).__name__}: {failed}")
        anew = ("ticks' topics made anew", "events' topics made anew")
        if "the topic was made anew" in str(failed) and not any(self.world.counted[what] for what in anew):
            self.world.violation(f"{self.name} ends by what nobody did: {failed}")
        self.world.note(f"{self.name} ends: {type(failed).__name__} {failed}")
        self.world.ended(self)

    @property
    def is_stale(self) -> bool:
        """Whether others may have gone on with its partitions."""
        app = self.engine.app
        return bool(app.consumer_generation_id != self.world.group.generation)

    # -- clients

    def _cell(self, partition: int) -> Cell | None:
        """As api/accounts.py."""
        return None if self.engine.unready_of(partition) else self.engine.fresh_cells.cell(partition)

    async def answer(self, partition: int, command: Command) -> tuple[str, Any]:
        """As api/commands.py answers: ("answered", reply), ("refused", why): nothing happens; ("unknown", why)."""
        cell = self._cell(partition)
        if cell is None:
            return "refused", "the account is moving to another worker"
        keyed = command.idempotency
        known = None if keyed is None else cell.remembered(command.account_id, keyed.key)
        if known is not None and keyed is not None:
            return "answered", Reply(command.command_id, repeat_of(known, keyed), repeated=True)
        try:
            return "answered", await self.gateway.submit(partition, command)
        except NotWritten as fault:
            return "refused", str(fault)
        except OutcomeUnknown as fault:
            return "unknown", str(fault)

    def read(self, partition: int, account_id: str) -> tuple[str, Any]:
        """As the API reads: ("answered", how many events the account has had), or refused."""
        cell = self._cell(partition)
        if cell is None:
            return "refused", "the account is moving to another worker"
        row = cell.account(account_id)
        return "answered", 0 if row is None else row.sequence


def settings_of(world: FaustWorld, machine: str) -> KafkaSettings:
    """Of one worker."""
    return KafkaSettings(
        data_dir=Path(world.directory) / machine,
        worker_id=machine,
        port=4_000 + int(machine[1:]),
        host="127.0.0.1",
        partitions=world.cells,
        standby_replicas=world.standbys,
        session_timeout_s=SESSION_S,
        frame_pace_ms=world.frame_ms,
        price_band=Decimal(0),  # its market jumps
        instruments=tuple(terms.symbol for terms in world.catalogue),
        terms=json.dumps({terms.symbol: _told(terms) for terms in world.catalogue}),
    )


def _told(terms: Terms) -> dict[str, str]:
    return {
        "feeRate": str(terms.fee_rate),
        "maintenanceMarginRate": str(terms.maintenance_margin_rate),
        "spreadRate": str(terms.spread_rate),
        "maxLeverage": str(terms.leverage_max),
        "minMargin": str(terms.margin_min),
    }
