"""What operators and time do to a cluster: releases change, workers are stopped in good order, all of them are away for
longer than the brokers remember, ticks are trimmed by age, their topic is made anew, and so is that of the events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from exness_streams.domain import rules
from exness_streams.domain.codec import JournalRepaired, encode
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.engine.framer_state import FRAMER_KEY, FramerState, decode_framer_state
from exness_streams.engine.raising import changes
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC
from protocol.broker import PartitionLog, Transaction
from protocol.logs import GROUP

if TYPE_CHECKING:
    from protocol.world import Machine, World

TICKS = (MARKET_UPDATES_TOPIC, 0)
AWAY_S = 2.5
EACH = 4
"""Some ways are those of one life in so many."""

GARBAGE = (b"", b"\xff", b"{}", b'{"type":"Deposit"}', b"[[[[", b'{"type":"RulesChanged","time_ms":1,"rules":99}')
MADE_ANEW_AT_LEAST = 40
"""A topic that held fewer ticks may outgrow what was framed of it before anybody looks."""


class Operators:
    """ways: what they may do in this life. A life that begins by the first rules is one of an upgrade."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng: random.Random = world.rng
        self.ways: list[Callable[[Machine], str]] = [self._stop, self._be_away, self._write_by_transaction]
        if not world.begins_old:
            self.ways += [self._trim_ticks, self._make_ticks_anew]
            if world.seed % EACH == 1:
                self.ways.append(self._write_garbage)
        if world.seed % (2 * EACH) == EACH + 1:
            self.ways += [self._set_market] * 3
        if world.seed % EACH == 3:
            self.ways += [self._trim_events, self._make_events_anew]

    def _set_market(self, machine: Machine) -> str:
        """An operator says what may be done in a market; once in a while, that it is over."""
        world, rng = self._world, self._rng
        symbol = rng.choice(world.market.terms).symbol
        state = rng.choice((*MarketState, MarketState.OPEN, MarketState.CLOSE_ONLY))
        price = Decimal(rng.randint(700, 1300)) / 10 if state is MarketState.SETTLED else None
        world.markets.pop(symbol, None)
        if state is not MarketState.OPEN:
            world.markets[symbol] = MarketTold(symbol, state, StateReason.OPERATOR, 1, price)
        world.note(f"{symbol} is {state.value}")
        return f"markets {state.value}"

    def _stop(self, machine: Machine) -> str:
        self._world.stop(machine)
        return "orderly stops"

    def _be_away(self, machine: Machine) -> str:
        """Everybody: some in good order, some not."""
        world = self._world
        if world.closed_until_s > world.loop.time():
            return "absences, once more"
        world.closed_until_s = world.loop.time() + AWAY_S
        world.note("everybody goes away")
        for one in world.machines:
            (world.stop if self._rng.random() < 0.5 else world.kill)(one)
        world.network.later(AWAY_S - 0.2, self._forget_offsets)
        return "absences with all offsets expired"

    def _forget_offsets(self) -> None:
        """Whoever is still there stands still, or was too slow to leave: it is none of the group by then."""
        world = self._world
        for machine in world.machines:
            world.kill(machine, "too late to leave")
        world.broker.forget_group()
        world.note("the brokers forget the group's offsets")

    def _write_by_transaction(self, machine: Machine) -> str:
        """Somebody who has no business there writes to the journal in a transaction, and rolls it back."""
        world, rng = self._world, self._rng
        log = world.broker.logs[JOURNAL_TOPIC, rng.randrange(world.cells)]
        txn = Transaction("stranger")
        for _ in range(rng.choice((0, 1, 3))):
            log.append(b"anybody", b"not for us", txn)

        def roll_back() -> None:
            txn.is_open = False
            log.append(None, None, txn, marker=True)

        if rng.random() < 0.5:
            roll_back()
        else:
            world.network.later(rng.choice((0.05, 0.5)), roll_back)
        world.note("a stranger's transaction in the journal is rolled back")
        return "strangers' transactions in the journal"

    def _write_garbage(self, machine: Machine) -> str:
        """Somebody writes to the journal what nobody can read; after a while an operator gives it up."""
        world, rng = self._world, self._rng
        partition = rng.randrange(world.cells)
        log, spoilt = world.broker.logs[JOURNAL_TOPIC, partition], world.garbage[partition]
        offsets = [log.append(b"anybody", rng.choice(GARBAGE), None) for _ in range(rng.choice((1, 1, 3)))]
        spoilt.update(offsets)
        world.note(f"garbage in the journal of {partition}, from {offsets[0]} on")

        def give_up() -> None:
            repair = JournalRepaired(1, offsets[0], offsets[-1] + 1, "an operator", "garbage")
            log.append(None, encode(repair), None)
            world.note(f"an operator gives up {offsets[0]} to {offsets[-1]} of {partition}")

        world.network.later(rng.choice((0.0, 0.3, 1.5)), give_up)
        return "garbage in the journal, given up by an operator"

    # -- events

    def _trim_events(self, machine: Machine) -> str:
        """By age: what nobody has read goes, too."""
        world = self._world
        tp = EVENTS_TOPIC, self._rng.randrange(world.cells)
        log = world.broker.logs[tp]
        world.gone_events[tp[1]] += log.trim(self._rng.randint(log.start, log.stable_end()))
        world.note(f"events of {tp[1]} before {log.start} are trimmed")
        return "events trimmed"

    def _make_events_anew(self, machine: Machine) -> str:
        """While workers write and read them. The group's offsets go with the topic."""
        world = self._world
        for partition in range(world.cells):
            tp = EVENTS_TOPIC, partition
            former, world.broker.logs[tp] = world.broker.logs[tp], PartitionLog()
            world.gone_events[partition] += former.records
            world.events_made_anew.add(partition)
            former.wake()
            world.broker.forget_offset((GROUP, *tp))
        world.note("the events' topic is made anew")
        return "events' topics made anew"

    # -- ticks

    def _trim_ticks(self, machine: Machine) -> str:
        """By age: those that were read, or some that nobody has read since the ticks' owner is gone."""
        world, log = self._world, self._world.broker.logs[TICKS]
        committed = world.broker.offsets.get((GROUP, *TICKS), log.start)
        if self._rng.random() < 0.3 or committed > log.end:
            self._trim(min(committed, log.end))
            return "ticks trimmed that were framed"
        self._end_of_readers("when its ticks are trimmed")
        self._trim(self._rng.randint(min(committed, log.end), log.end))
        return "ticks trimmed that nobody has framed"

    def _trim(self, offset: int) -> None:
        log, world = self._world.broker.logs[TICKS], self._world
        log.trim(min(offset, log.end))
        world.market.trimmed_to(log.start)
        world.note(f"ticks before {log.start} are trimmed")

    def _end_of_readers(self, why: str) -> None:
        world = self._world
        for one in world.machines:
            engine = one.engine
            is_owner = engine is not None and engine.name == world.group.owner("ticks")
            if engine is not None and (is_owner or engine.is_with_ticks):
                world.kill(one, why)

    def _make_ticks_anew(self, machine: Machine) -> str:
        """The feed is stopped, the topic deleted and made anew; its offsets in the group go with it."""
        world, broker = self._world, self._world.broker
        committed = broker.offsets.get((GROUP, *TICKS), 0)
        if broker.logs[TICKS].end < MADE_ANEW_AT_LEAST or committed < MADE_ANEW_AT_LEAST or world.market.is_paused:
            return "too few ticks to make their topic anew"
        self._end_of_readers("when the ticks' topic is deleted")
        broker.delete(TICKS, GROUP)
        broker.logs[TICKS] = PartitionLog()
        world.market.made_anew()
        world.note("the ticks' topic is made anew")
        world.network.later(0.1, self._look_whether_framed, self._restarts())
        return "ticks' topics made anew"

    def _look_whether_framed(self, restarts: int) -> None:
        """The feed goes on once a framer has committed that the topic is another one."""
        if self._restarts() > restarts:
            self._world.market.is_paused = False
        else:
            self._world.network.later(0.1, self._look_whether_framed, restarts)

    def _restarts(self) -> int:
        state = self._framer_state()
        return 0 if state is None else state.restarts

    def _framer_state(self) -> FramerState | None:
        """Of the ticks' owner, as committed."""
        records = self._world.broker.logs[f"{GROUP}-candles-changelog", 0].records
        for record in reversed(records):
            is_decided = record.txn is not None and record.txn.is_committed
            if is_decided and record.key == FRAMER_KEY and record.value is not None:
                return decode_framer_state(record.value)
        return None

    # -- a rolling upgrade

    async def upgrade(self) -> None:
        """Workers change their release one by one while all goes on; then the rules, in some partitions at first."""
        world, rng = self._world, self._rng
        await asyncio.sleep(rng.random() * 0.3 * world.knobs.life_s)
        for machine in rng.sample(world.machines, len(world.machines)):
            machine.rules_known = rules.NEWEST
            (world.stop if rng.random() < 0.7 else world.kill)(machine)
            await asyncio.sleep(rng.choice((0.1, 0.5)))
        # The command refuses until then.
        while any(one.engine is not None and one.engine.rules_known < rules.NEWEST for one in world.machines):  # noqa: ASYNC110 - operators look again
            await asyncio.sleep(0.1)
        world.counted["rolling upgrades"] += 1
        for partition in rng.sample(range(world.cells), world.cells):
            for _ in range(rng.choice((1, 1, 2))):  # an operator's command that is run twice
                self._raise(partition)
            await asyncio.sleep(rng.choice((0.0, 0.0, 0.3, 1.0)))
        if rng.random() < 0.2:
            await self._go_back()

    def _raise(self, partition: int) -> None:
        world = self._world
        world.rules_raised = True
        world.note(f"the rules of {partition} are raised")
        state = self._framer_state()
        for value in changes(world.rules_before, rules.NEWEST, 0 if state is None else state.epoch):
            world.broker.logs[JOURNAL_TOPIC, partition].append(None, value, None)
        world.counted["rules changed in the middle"] += 1

    async def _go_back(self) -> None:
        """A worker of the release before comes back: it has to stop, and say why."""
        machine: Any = self._rng.choice(self._world.machines)
        machine.rules_known = self._world.rules_before
        self._world.kill(machine, "and the release before is started")
        await asyncio.sleep(1.5)
        machine.rules_known = rules.NEWEST
        if machine.engine is not None and machine.engine.rules_known < rules.NEWEST:
            self._world.stop(machine)
