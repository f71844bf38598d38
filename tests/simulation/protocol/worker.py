"""A simulated worker: the engine's hosts, and around them what Faust, engine/agents.py and engine/loading.py do.

Kept thin: it follows those modules, and nothing else does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from exness_streams.domain import rules
from exness_streams.domain.account_history import HistoryHead, Trade
from exness_streams.domain.codec import META_KEY
from exness_streams.domain.commands import Command
from exness_streams.engine.ahead import Bounds
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.cells import CellHost
from exness_streams.engine.frame_times import FrameTimes
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import seen_by
from exness_streams.engine.fresh_cells import FreshCells
from exness_streams.engine.gateway import Gateway, NotWritten, OutcomeUnknown
from exness_streams.engine.history import HistoryHost, NotOwned
from exness_streams.engine.journal_faults import OR_REPAIR, JournalFault, LaterJournal
from exness_streams.engine.known_rules import KnownRules
from exness_streams.engine.loading import Loading
from exness_streams.engine.passed_over import PassedOver
from exness_streams.messages import PLAIN_TOPICS
from exness_streams.transport.faults import LogFault, LogFenced
from exness_streams.transport.freshness import MemberFreshness
from exness_streams.transport.rejoining import Rejoining
from protocol.app import TP, SimApp
from protocol.broker import Stored
from protocol.clocks import Clock
from protocol.group import SESSION_S, Assignment
from protocol.logs import GROUP, Connection, SimCellLog, SimFrameLog, journal_of
from protocol.loop import Process
from protocol.network import Awaited, Link, Unreachable
from protocol.table import Disk, SimTable

if TYPE_CHECKING:
    from protocol.world import World

HEARTBEAT_S = 0.25
FETCH_S_MAX = 1.0
TABLES = ("accounts", "history")


def changelog(table: str) -> str:
    return f"{GROUP}-{table}-changelog"


class Shown(NamedTuple):
    """What a worker showed of an account's history: its head, and the newest trades with their numbers."""

    partition: int
    account_id: str
    head: HistoryHead
    trades: list[tuple[int, Trade]]


class Engine(Process):
    """One process of a worker, from its start to its end. rules_known: by its release."""

    def __init__(self, world: World, name: str, disk: Disk, link: Link, clock: Clock, rules_known: int) -> None:
        super().__init__(name)
        self.rules_known = rules_known
        self.is_leaving = False
        self.refused: Counter[str] = Counter()
        self.freshness = MemberFreshness(SESSION_S, clock.monotonic)
        self.world = world
        self.clock = clock
        self.connection = Connection(world.broker, world.network, link, self)
        self.assignment: Assignment | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._framing = asyncio.Lock()
        topics = PLAIN_TOPICS
        self.rejoining = Rejoining(clock.monotonic)
        self.rejoining.rejoin = self._rejoin
        self._is_rejoining = False
        logs = {topic: SimCellLog(self.connection, topic, self.rejoining) for topic in topics}
        self.logs = logs
        self.frame_log = SimFrameLog(self.connection, topics.market_updates)
        journal = journal_of(self.connection, topics.journal)
        self.gateway = Gateway(journal, is_fresh=self.freshness.is_fresh, clock_s=clock.monotonic)
        self.cells = CellHost(
            SimTable(changelog("accounts"), disk),  # type: ignore[arg-type]
            logs[topics.journal],
            self.gateway.on_reply,
            bounds=Bounds(world.knobs.slice_max, 1 << 16, 1 << 14),
        )
        self.cells.passed_over = PassedOver(partial(self.connection.first_value, topics.journal))
        self.fresh_cells = FreshCells(self.cells, self.freshness, self.refused)
        self.cells.frame_times = FrameTimes(clock.monotonic)
        self.history = HistoryHost(
            SimTable(changelog("history"), disk),  # type: ignore[arg-type]
            logs[topics.events],
            bounds=Bounds(10 * world.knobs.slice_max, 1 << 16, 1 << 14),
        )
        self.cells.tell(self.history)
        symbols = [terms.symbol for terms in world.catalogue]
        self.candles = CandleHost(
            SimTable(changelog("candles"), disk),  # type: ignore[arg-type]
            logs[topics.market_updates],
            symbols,
            clock_s=clock.time,
        )
        known = KnownRules(self._metas, world.cells, clock_s=clock.monotonic)
        self.framer = Framer(
            self.frame_log,
            world.cells,
            10,
            self.candles,
            world.catalogue,
            clock_ms=lambda: int(clock.time() * 1000),
            monotonic_s=clock.monotonic,
            seen=lambda: seen_by(self.cells.all_cells(), world.cells),
            markets=world.markets_told,
            told=known.seen,
            rules=known.look,
        )
        self.app = SimApp(self.connection, self.fail)
        self.app.transport = SimpleNamespace(first_value=self.connection.first_value)
        self._loading = Loading(self.app, self.cells, self.history, self.candles, Path("nowhere"))

    # -- its life

    def start(self) -> None:
        for work in (self._be_member(), self.cells.run(), self.candles.run(), self.framer.run(), self.history.run()):
            self.spawn(work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except Exception as error:
            await self.fail(error)

    async def _metas(self) -> dict[int, bytes | None]:
        """Those of all cells, as committed in their changelog."""
        logs = self.world.broker.logs

        def read() -> dict[int, bytes | None]:
            found: dict[int, bytes | None] = {}
            for partition in range(self.world.cells):
                records, _ = logs[changelog("accounts"), partition].read(0, 1_000_000)
                for record in records:
                    if record.key == META_KEY:
                        found[partition] = record.value
            return found

        try:
            metas: dict[int, bytes | None] = await self.connection.ask("metas", read)
        except Unreachable as error:
            raise LogFault(f"the brokers can't be reached: {error}") from error
        return metas

    def _rejoin(self) -> None:
        self._is_rejoining = True
        self.world.counted["rejoins"] += 1
        self.world.note(f"{self.name} asks the group anew")

    async def fail(self, error: BaseException) -> None:
        """What the log does to a worker ends it, and it is started again. Whatever else ends it is a defect."""
        if self.is_dead:
            return
        is_of_log = isinstance(error, (LogFault, Unreachable)) and not isinstance(error, JournalFault | LogFenced)
        is_of_before = isinstance(error, LaterJournal) and self.rules_known < rules.NEWEST and self.world.rules_raised
        self.world.counted["ends of a release before, by the rules"] += is_of_before
        met_garbage = isinstance(error, JournalFault) and OR_REPAIR in str(error) and any(self.world.garbage.values())
        self.world.counted["ends over garbage in the journal"] += met_garbage
        expected = is_of_log or is_of_before or met_garbage
        if not expected:
            self.world.violation(f"{self.name} ends by {type(error).__name__}: {error}")
        self.world.note(f"{self.name} ends: {type(error).__name__} {error}")
        self.world.ended(self)

    # -- partitions come and go, as Faust's consumer does it

    async def _be_member(self) -> None:
        group = self.world.group
        while not self.is_leaving:
            assignment = await self._ask_group(lambda: group.join(self.name), 20.0)
            if assignment is None:
                continue
            await self._assigned(assignment)
            await self._stay(assignment)
            await self._revoked(assignment)
        for log in self.logs.values():
            await log.take_over([])
        await self._ask_group(lambda: group.leave(self.name), 1.0)
        self.world.left(self)

    async def _stay(self, assignment: Assignment) -> None:
        """Until it is heard that partitions are given out anew. A worker that hears nothing goes on."""
        group = self.world.group
        is_member = True
        while is_member and not self._is_rejoining and not self.is_leaving:
            await asyncio.sleep(HEARTBEAT_S)
            asked_s = self.freshness.clock_s()
            heard = await self._ask_group(lambda: group.heartbeat(self.name, assignment.generation), 1.0)
            is_member = heard is not False
            if heard:
                self.freshness.confirmed(asked_s)

    async def _ask_group(self, action: Callable[[], Any], timeout_s: float) -> Any:
        """None: no answer; it is asked again."""
        try:
            return await self.connection.ask("group", action, timeout_s)
        except Unreachable:
            return None

    async def _revoked(self, assignment: Assignment) -> None:
        topics = PLAIN_TOPICS
        ticks = [0] if assignment.has_ticks else []
        await self.logs[topics.market_updates].quiesce(ticks)
        await self.logs[topics.journal].quiesce(assignment.cells)
        await self.logs[topics.events].quiesce(assignment.cells)
        if ticks:
            self.framer.drop()
            self.candles.drop()
        self.assignment = None

    async def _assigned(self, assignment: Assignment) -> None:
        topics = PLAIN_TOPICS
        ticks = [0] if assignment.has_ticks else []
        self._is_rejoining = False
        self.rejoining.dealt_out()
        await self.logs[topics.market_updates].take_over(ticks)
        await self.logs[topics.journal].take_over(assignment.cells)
        await self.logs[topics.events].take_over(assignment.cells)
        self.gateway.abandon(self.cells.take_leases())
        self.history.drop_lost()
        self.assignment = assignment
        self.app.consumer_generation_id = assignment.generation
        self.app.assigned = [TP(topic, one) for topic in (topics.journal, topics.events) for one in assignment.cells]
        self.app.assigned += [TP(changelog(table), one) for table in TABLES for one in assignment.cells]
        if ticks:
            self.app.assigned += [TP(topics.market_updates, 0), TP(changelog("candles"), 0)]
        self.spawn(self._take_over(assignment))

    def _has(self, assignment: Assignment) -> bool:
        return self.assignment is assignment

    async def _take_over(self, assignment: Assignment) -> None:
        """Recovery, loading, and the flow begins."""
        for table in (self.cells.table, self.history.table, self.candles.table):
            for tp in self.app.assigned:
                if table.is_changelog(tp):
                    await self._recover(table, tp, assignment)
        if not self._has(assignment):
            return
        await self._loading.load()
        if not self._has(assignment) or self.app.consumer_generation_id != assignment.generation:
            return
        self.world.note(f"{self.name} has loaded {assignment.cells}{' and ticks' if assignment.has_ticks else ''}")
        topics = PLAIN_TOPICS
        for partition in assignment.cells:
            self.spawn(self._consume(TP(topics.journal, partition), assignment, self.cells.fold))
            self.spawn(self._consume(TP(topics.events, partition), assignment, self.history.fold))
        if assignment.has_ticks:
            self.spawn(self._consume(TP(topics.market_updates, 0), assignment, self._frame))

    async def _recover(self, table: Any, tp: TP, assignment: Assignment) -> None:
        log = self.world.broker.logs[tp]
        start, end = await self.connection.ask("recovery", lambda: (log.start, log.data_end()))
        table.take_doubts(tp.partition, start)
        position = table.on_disk(tp.partition).offset + 1
        while position < end and self._has(assignment):
            read = self.world.rng.choice((2, 20, 500))
            records, position = await self.connection.ask("recovery", lambda at=position, n=read: log.read(at, n))
            if not self._has(assignment):
                return
            for record in (one for one in records if one.offset > table.on_disk(tp.partition).offset):
                table.write(tp.partition, {record.key: record.value}, record.offset)

    # -- records come

    async def _consume(
        self, tp: TP, assignment: Assignment, take: Callable[[int, list[Stored]], Awaitable[None]]
    ) -> None:
        log, broker = self.world.broker.logs[tp], self.world.broker
        channel = f"fetch-{tp.topic}-{tp.partition}"
        committed = await self.connection.ask(channel, lambda: broker.offsets.get((GROUP, *tp)))
        position = log.start if committed is None else committed
        fetched_to = 0
        while self._has(assignment):
            try:
                batch, position = await self.connection.ask(channel, lambda at=position: self._fetched(tp, at))
            except Unreachable:
                continue
            if not batch or not self._has(assignment):
                continue
            if batch[0].offset < fetched_to:
                raise LogFault(f"{tp} begins again at {batch[0].offset}")
            fetched_to = batch[-1].offset + 1
            await take(tp.partition, batch)

    def _fetched(self, tp: TP, position: int) -> Any:
        """Records, or what becomes of waiting for them."""
        log = self.world.broker.logs[tp]
        limit = 1 + int(self.world.rng.random() * self.world.knobs.batch)
        if position > log.end:
            position = log.start  # as clients do, without a word
        found, after = log.read(position, limit)
        if found or after > position:
            return found, after
        later, answer = self.world.network.later, Awaited()

        def read() -> None:
            log.waiters.remove(wake)
            answer.comes(log.read(position, limit))

        def wake() -> None:
            timer.cancel()
            later(0.0, lambda: answer.comes(log.read(position, limit)))

        log.waiters.append(wake)
        timer = later(FETCH_S_MAX, read)
        return answer

    async def _frame(self, partition: int, batch: list[Stored]) -> None:
        async with self._framing:
            await self.framer.frame(partition, batch)

    @property
    def is_with_ticks(self) -> bool:
        """Whether it reads ticks, or is about to."""
        return self.candles.is_owned or (self.assignment is not None and self.assignment.has_ticks)

    # -- clients

    def read(self, partition: int, account_id: str) -> tuple[str, Any]:
        """As the API reads: ("answered", how many events the account has had), or refused."""
        cell = self.fresh_cells.cell(partition)
        if cell is None or not self.cells.is_caught_up(partition):
            return "refused", "the account is moving to another worker"
        row = cell.account(account_id)
        return "answered", 0 if row is None else row.sequence

    async def answer(self, partition: int, command: Command) -> tuple[str, Any]:
        """What a client is told: ("answered", reply), ("refused", why): nothing happens; ("unknown", why)."""
        if self.fresh_cells.cell(partition) is None:
            return "refused", "the account is moving to another worker"
        try:
            reply = await self.gateway.submit(partition, command)
            await self._look_at_history(partition, command.account_id)
            return "answered", reply
        except NotWritten as fault:
            return "refused", str(fault)
        except OutcomeUnknown as fault:
            return "unknown", str(fault)

    async def _look_at_history(self, partition: int, account_id: str) -> None:
        """As a client does who was just answered. Nothing waits for the topic."""
        cell = self.cells.cell(partition)
        row = None if cell is None else cell.account(account_id)
        with suppress(NotOwned):
            has_come = await self.history.wait_for(partition, account_id, 0 if row is None else row.sequence, 0.0)
            head = self.history.head(partition, account_id)
            newest = self.history.trades(
                partition, account_id, max(head.trades_from, head.trades.end - 3), head.trades.end
            )
            self.world.shown.append(Shown(partition, account_id, head, newest))
            self.world.counted["histories at once" if has_come else "histories later"] += 1
