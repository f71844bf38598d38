"""A life: brokers, workers, a market and clients, from one seed; at its end all is healed, and looked at."""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from exness_streams.domain import codec, rules
from exness_streams.domain.commands import Command
from exness_streams.domain.market_states import Markets, MarketTold
from exness_streams.engine.raising import changes
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC
from protocol.broker import Broker, Stored
from protocol.clients import Client
from protocol.clocks import Clock, virtual_clocks
from protocol.group import Group
from protocol.loop import Process, VirtualLoop, process
from protocol.market import Market
from protocol.network import Link, Network
from protocol.table import Disk
from protocol.worker import Engine, Shown

if TYPE_CHECKING:
    from protocol.nemesis import Nemesis

QUIET_S_MAX = 180.0
RESTART_S = 0.7
STOP_S_MAX = 5.0
OLD_SHARE = 0.25
"""So many lives begin by the first rules, or those before the newest, with workers that know no later ones, and are
upgraded in the middle."""

HEALED_PATIENCE_S = 2.0
"""How long clients still wait for what they asked before all was healed: an answer that was lost never comes."""


class Knobs(NamedTuple):
    """What a life is like."""

    workers: int
    cells: int
    accounts: int
    life_s: float
    batch: int
    slice_max: int


class Machine:
    """Where one process after the other runs: its directory and its network outlive them."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.disk = Disk()
        self.link = Link()
        self.is_cut_from_clients = False
        self.engine: Engine | None = None
        self.rules_known = rules.NEWEST
        self.context: Context | None = None
        self.starts = 0


class Outcome(NamedTuple):
    """What came of a life. trace: one line each, with virtual seconds. known: faults that are known, and not mended."""

    seed: int
    violations: list[str]
    known: list[str]
    trace: list[str]
    counted: Counter[str]
    crash_points: Counter[str]
    steps: int


class World:
    """only: names of the nemesis' methods, when nothing else is to go wrong."""

    def __init__(self, seed: int, *, nemesis: bool = True, only: Collection[str] = ()) -> None:
        self.seed = seed
        self.only = only
        self.rng = random.Random(f"life-{seed}")
        self.garbage: defaultdict[int, set[int]] = defaultdict(set)
        rng = self.rng
        self.knobs = Knobs(
            workers=rng.choice((1, 2, 2, 3, 3)),
            cells=rng.choice((1, 2, 2, 3)),
            accounts=rng.choice((2, 3, 4)),
            life_s=rng.choice((5.0, 8.0, 11.0)),
            batch=rng.choice((2, 5, 20, 20, 500)),
            slice_max=rng.choice((1, 3, 10, 500)),
        )
        self.has_nemesis = nemesis
        self.begins_old = nemesis and rng.random() < OLD_SHARE
        self.rules_before = rules.NEWEST - 1 if seed % 2 else rules.FIRST
        self.markets: dict[str, MarketTold] = {}
        self.rules_raised = False
        self.closed_until_s = 0.0
        self.cells = self.knobs.cells
        self.violations: list[str] = []
        self.known: list[str] = []
        self.trace: list[str] = []
        self.counted: Counter[str] = Counter()
        self.crash_points: Counter[str] = Counter()
        self.is_over = self.is_healed = self.is_buried = False
        self.loop = VirtualLoop(random.Random(f"turns-{seed}"), self._crashed)
        self.network = Network(self.loop, random.Random(f"network-{seed}"))
        self.broker = Broker(self.note)
        self.market = Market(self)
        self.catalogue = self.market.terms
        self.machines: list[Machine] = []
        self.clients: list[Client] = []
        self.engines: list[Engine] = []
        self._asked: list[asyncio.Future[tuple[str, Any]]] = []
        self.shown: list[Shown] = []
        self.gone_events: defaultdict[int, list[Stored]] = defaultdict(list)  # by partition
        self.events_made_anew: set[int] = set()
        self.group: Group

    # -- told by others

    def note(self, line: str) -> None:
        if self.is_buried:
            return  # by what is closed in the middle of something
        self.trace.append(f"{self.loop.time():9.4f} {line}")

    def violation(self, line: str) -> None:
        if self.is_buried:
            return
        self.violations.append(line)
        self.note(f"VIOLATION: {line}")

    def known_fault(self, kind: str, line: str) -> None:
        self.known.append(f"{kind}: {line}")
        self.counted[f"known faults met: {kind}"] += 1
        self.note(f"KNOWN FAULT: {kind}: {line}")

    def ended(self, engine: Engine) -> None:
        """A process is over; its machine starts another one."""
        engine.is_dead = True
        self.counted["ends by a fault"] += 1
        self._start_again(engine)

    def stop(self, machine: Machine) -> None:
        """In good order (SIGTERM); a worker that takes too long is killed."""
        engine = machine.engine
        if engine is None or engine.is_dead or engine.is_leaving:
            return
        engine.is_leaving = True
        self.note(f"{engine.name} is told to stop")
        self.network.later(STOP_S_MAX, self._kill_late, machine, engine)

    def _kill_late(self, machine: Machine, engine: Engine) -> None:
        if machine.engine is engine:
            self.kill(machine, "too late to leave")

    def left(self, engine: Engine) -> None:
        """It has stopped in good order."""
        engine.is_dead = True
        self.note(f"{engine.name} has left")
        self.counted["ends in good order"] += 1
        self._start_again(engine)

    def _crashed(self, killed: Process, place: str) -> None:
        self.crash_points[place] += 1
        self.counted["crashes"] += 1
        self.note(f"{killed.name} crashes at {place}")
        self._start_again(cast(Engine, killed))

    def kill(self, machine: Machine, place: str = "") -> None:
        if machine.engine is not None and not machine.engine.is_dead:
            machine.engine.is_dead = True
            self.note(f"{machine.engine.name} is killed {place}")
            self._start_again(machine.engine)

    def _start_again(self, engine: Engine) -> None:
        machine = next(one for one in self.machines if one.engine is engine)
        self.network.later(self.rng.choice((0.2, RESTART_S, 4.0)), self.start, machine)

    def start(self, machine: Machine) -> None:
        if machine.engine is not None and not machine.engine.is_dead:
            return
        if self.closed_until_s > self.loop.time():
            self.network.later(self.closed_until_s - self.loop.time(), self.start, machine)
            return
        machine.starts += 1
        context = copy_context()
        name = f"{machine.name}.{machine.starts}"
        engine: Engine = context.run(self._new_engine, name, machine)
        machine.engine, machine.context = engine, context
        self.engines.append(engine)
        self.note(f"{name} starts")
        context.run(engine.start)

    def _new_engine(self, name: str, machine: Machine) -> Engine:
        engine = Engine(self, name, machine.disk, machine.link, machine.clock, machine.rules_known)
        process.set(engine)
        return engine

    # -- clients' requests

    async def request(self, partition: int, command: Command, patience_s: float) -> tuple[str, Any]:
        """From a client to the worker that seems to have its account, and back. ("unknown", None) in silence."""
        return await self._ask(partition, command, patience_s, astray=0.03)

    async def read(self, partition: int, account_id: str, patience_s: float) -> tuple[str, Any]:
        """("answered", an account's events so far), by whichever worker says so."""
        return await self._ask(partition, account_id, patience_s, astray=0.6)

    async def _ask(self, partition: int, asked: Command | str, patience_s: float, astray: float) -> tuple[str, Any]:
        owner = self.group.owner(partition)
        names = [one for one in self.machines if one.engine is not None and one.engine.name == owner]
        machine = names[0] if names and self.rng.random() >= astray else self.rng.choice(self.machines)
        answer: asyncio.Future[tuple[str, Any]] = self.loop.create_future()
        self.network.later(self.rng.random() * 0.003, self._arrive, machine, partition, asked, answer)
        timer = self.network.later(patience_s, _give_up, answer)
        self._asked = [one for one in self._asked if not one.done()] + [answer]
        told = await answer
        timer.cancel()
        return told

    def _arrive(self, machine: Machine, partition: int, asked: Command | str, answer: asyncio.Future[Any]) -> None:
        engine = machine.engine
        if machine.is_cut_from_clients:
            return
        if engine is None or engine.is_dead:
            if not answer.done():
                answer.set_result(("refused", "nobody is there"))
            return
        assert machine.context is not None
        machine.context.copy().run(self.loop.create_task, self._serve(engine, machine, partition, asked, answer))

    async def _serve(
        self, engine: Engine, machine: Machine, partition: int, asked: Command | str, answer: asyncio.Future[Any]
    ) -> None:
        if isinstance(asked, str):
            told = engine.read(partition, asked)
            self.counted[f"reads {told[0]}"] += 1
        else:
            stamped = msgspec.structs.replace(asked, time_ms=int(engine.clock.time() * 1000))
            told = await engine.answer(partition, stamped)

        def back() -> None:
            if not answer.done() and not machine.is_cut_from_clients:
                answer.set_result(told)

        self.network.later(self.rng.random() * 0.003, back)

    # -- the life

    def _new_group(self) -> Group:
        return Group(self.loop, self.network, self.rng, self.cells, self.note)

    def _new_nemesis(self) -> Nemesis:
        from protocol.nemesis import Nemesis

        return Nemesis(self)

    def on_disk(self, engine: Engine, table: Any, partition: int) -> dict[bytes, bytes]:
        """The entries of a table of a process."""
        entries: dict[bytes, bytes] = table.on_disk(partition).entries
        return entries

    def markets_told(self) -> Markets:
        """Those that are not open, as a framer has it from operators."""
        return tuple(told for _, told in sorted(self.markets.items()))

    async def _live(self) -> None:
        from protocol.operators import Operators

        self.group = self._new_group()
        nemesis = self._new_nemesis()
        self.machines = [Machine(f"w{number}", nemesis.clock()) for number in range(self.knobs.workers)]
        self.clients = [Client(self, f"acc{number}", number % self.cells) for number in range(self.knobs.accounts)]
        for machine in self.machines:
            machine.rules_known = self.rules_before if self.begins_old else rules.NEWEST
            self.start(machine)
        if self.begins_old and self.rules_before > rules.FIRST:
            for partition in range(self.cells):
                for value in changes(rules.FIRST, self.rules_before):
                    self.broker.logs[JOURNAL_TOPIC, partition].append(None, value, None)
        work = [asyncio.create_task(self.market.run())]
        for client in self.clients:
            work += [asyncio.create_task(client.run()), asyncio.create_task(client.watch())]
        if self.begins_old:
            work.append(asyncio.create_task(Operators(self).upgrade()))
        if self.has_nemesis:
            work.append(asyncio.create_task(nemesis.run()))
        await asyncio.sleep(self.knobs.life_s)
        self.is_over = True
        self.note("it is over: all is healed")
        nemesis.heal()
        self.markets.clear()
        self.is_healed = True
        for asked in self._asked:
            self.network.later(HEALED_PATIENCE_S, _give_up, asked)
        await asyncio.wait_for(asyncio.gather(*work), QUIET_S_MAX)
        await self._settle()

    async def _settle(self) -> None:
        """The market moves once more, each account is asked once more, and all comes to rest."""
        end = self.loop.time() + QUIET_S_MAX
        while self.market.is_paused:
            if self.loop.time() > end:
                self.violation("nobody frames the ticks of the topic that was made anew")
                return
            await asyncio.sleep(0.1)
        for terms in self.market.terms:
            self.market.tick(terms, 1001, 1)
            self.market.tick(terms, 1003, 1)
        for client in self.clients:
            await client.act(client.last_word())
        while (why := self.unsettled()) is not None:
            if self.loop.time() > end:
                self.violation(f"it does not come to rest: {why}")
                return
            await asyncio.sleep(0.5)

    def unsettled(self) -> str | None:
        """What is not done yet."""
        newest = {tick.symbol: tick.quote.sequence for tick in self.market.ticks}
        for partition in range(self.cells):
            owner = self.owner(partition)
            if owner is None:
                return f"cell {partition} is nobody's"
            cell = owner.cells.cell(partition)
            journal_end = self.broker.logs[JOURNAL_TOPIC, partition].end
            if cell is None or cell.next_offset < journal_end or any(not _is_quote(key) for key in cell.pending):
                return f"cell {partition} is not committed up to {journal_end}"
            if owner.cells.ahead_of(partition)[0]:
                return f"what cell {partition} has folded is not committed"
            table = owner.cells.table
            if self.broker.logs[table.changelog_name, partition].data_end() - 1 > (table.position(partition) or 0):
                return f"the owner of {partition} lacks what one has committed that finished its takeover late"
            if {symbol: quote.sequence for symbol, quote in cell.quotes.items()} != newest:
                return f"cell {partition} has not seen the newest ticks"
            events = self.broker.logs[EVENTS_TOPIC, partition]
            seen = {number: next_offset for number, next_offset, _ in owner.history.progress()}
            if seen.get(partition, -1) < events.data_end() and events.data_end():
                return f"histories of {partition} are not committed up to {events.data_end()}"
        ticks = self.broker.logs[MARKET_UPDATES_TOPIC, 0]
        if not any(m.engine is not None and m.engine.candles.is_owned for m in self.machines):
            return "the ticks are nobody's"
        return None if ticks.end else "there are no ticks"

    def owner(self, partition: int) -> Engine | None:
        """The process that has a cell, when it is one."""
        name = self.group.owner(partition)
        found = [m.engine for m in self.machines if m.engine is not None and m.engine.name == name]
        return found[0] if found and found[0].cells.cell(partition) is not None and not found[0].is_dead else None

    def live(self) -> Outcome:
        from protocol.checks import check
        from protocol.variety import varied

        with virtual_clocks(), varied(self), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            logging.disable(logging.CRITICAL)  # what workers say of it is of no use here
            try:
                self.loop.run_until_complete(self._live())
                if not self.violations:
                    check(self)
            except asyncio.TimeoutError:
                self.violation("clients never learn what became of their requests")
            except Exception as error:
                *_, where = traceback.extract_tb(error.__traceback__)
                self.violation(f"the life ends by {error!r} in {where.name}, line {where.lineno} of {where.filename}")
            finally:
                self.violations += self.loop.faults
                self.is_buried = True
                self.loop.bury()
                logging.disable(logging.NOTSET)
        counted = self.counted + Counter(self._figures())
        return Outcome(self.seed, self.violations, self.known, self.trace, counted, self.crash_points, self.loop.steps)

    def _figures(self) -> dict[str, int]:
        attempts = [attempt for client in self.clients for attempt in client.attempts]
        return {
            "commands": len(attempts),
            "answered": sum(one.status == "answered" for one in attempts),
            "unknown": sum(one.status == "unknown" for one in attempts),
            "ticks": len(self.market.ticks),
            "reads refused, for its membership may be over": sum(one.refused["stale"] for one in self.engines),
            "rebalances": self.group.rebalances,
            "answers lost": self.network.lost,
            "answers repeated": self.network.repeated,
        }


def _give_up(answer: asyncio.Future[tuple[str, Any]]) -> None:
    if not answer.done():
        answer.set_result(("unknown", None))


def _is_quote(key: bytes) -> bool:
    """Quotes alone wait for the next commit."""
    return key.startswith(codec.QUOTE_PREFIX)


def live(seed: int, *, nemesis: bool = True, fault: str | None = None, only: Collection[str] = ()) -> Outcome:
    """One life. fault: put in by hand. only: what may go wrong, by names of the nemesis' methods; else anything."""
    from protocol.faults import put_in

    with put_in(fault):
        return World(seed, nemesis=nemesis, only=only).live()
