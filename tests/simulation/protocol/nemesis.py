"""What goes wrong in a life: processes that crash or stand still, networks that are cut, answers that are lost, clocks
that jump, partitions that move for no reason. Each life has its own mixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from exness_streams.messages import JOURNAL_TOPIC
from protocol.clocks import Clock
from protocol.operators import Operators
from protocol.table import Disk

if TYPE_CHECKING:
    from protocol.worker import Engine
    from protocol.world import Machine, World


AWRY_S = (0.3, -0.3, 0.9, -0.9, 1.5, -1.5, 5.0, -5.0)
"""Two clocks may part by more than what a quote may be of the future (2 s)."""

DRIFTS = (-0.2, -0.01, 0.0, 0.01, 0.2)
RATES = (0.0, 0.0002, -0.0002)

OLD_AWRY_S = (0.3, -0.3, 0.9, -0.9)
OLD_DRIFTS = (-0.01, 0.0, 0.01)
"""Under the first rules a tick's own time decides, so that the framer's clock has to be about right."""


class Nemesis:
    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._ways: tuple[Callable[[Machine], str], ...] = (
            self._crash,
            self._hold,
            self._cut_from_brokers,
            self._cut_from_clients,
            self._slow,
            self._lose_answers,
            self._repeat_answers,
            self._storm,
            self._move_clock,
            self._compact,
            self._lose_directory,
            self._make_a_zombie,
            *Operators(world).ways,
        )
        self._awry_s = OLD_AWRY_S if world.begins_old else AWRY_S
        self._chosen = self._rng.sample(self._ways, self._rng.randint(1, 5))
        self._chosen += self._rng.choice(([], [self._crash, self._hold], [self._make_a_zombie] * 2))
        if world.only:
            self._chosen = [way for way in self._ways if way.__name__ in world.only]

    def clock(self) -> Clock:
        """A worker's, which is never quite right."""
        if not self._world.has_nemesis:
            return Clock()
        rng = self._rng
        offset_s = 0.0 if rng.random() < 0.5 else rng.choice(self._awry_s)
        return Clock(offset_s, rng.choice((0.0, 0.001, -0.001)), rng.choice(RATES))

    async def run(self) -> None:
        rng, world = self._rng, self._world
        if not world.has_nemesis:
            return
        while not world.is_over:
            await asyncio.sleep(rng.choice((0.1, 0.4, 1.0)))
            if not world.is_over:
                name = rng.choice(self._chosen)(rng.choice(world.machines))
                world.counted[name] += 1

    # Each returns what it is called in the figures

    def _crash(self, machine: Machine) -> str:
        engine = machine.engine
        if engine is not None and not engine.is_dead and engine.crash_at is None:
            engine.crash_at = engine.steps + self._rng.choice((1, 5, 30, 100, 300))
        return "crashes planned"

    def _hold(self, machine: Machine) -> str:
        engine = machine.engine
        if engine is not None and not engine.is_dead and not engine.is_held:
            engine.is_held = True
            held_s = round(self._rng.choice((0.1, 1.0, self._rng.uniform(1.0, 3.0), 8.0)), 3)
            self._world.note(f"{engine.name} stands still for {held_s} s")
            self._world.network.later(held_s, self._go_on, machine)
        return "pauses"

    def _make_a_zombie(self, machine: Machine) -> str:
        """Slow, so that much is under way; then it stands still, and goes on just when others take its partitions."""
        world, rng = self._world, self._rng
        framing = [
            one for one in world.machines if one.engine is not None and one.engine.name == world.group.owner("ticks")
        ]
        if framing and rng.random() < 0.6:
            machine = framing[0]
        machine.link.slow_s = rng.choice((0.5, 2.0))
        world.network.later(rng.uniform(0.05, 1.0), self._hold_until_replaced, machine, machine.engine)
        return "zombies"

    def _hold_until_replaced(self, machine: Machine, engine: Engine | None) -> None:
        machine.link.slow_s = 0.004
        if self._world.is_over or engine is None or engine.is_dead or engine.is_held or machine.engine is not engine:
            return
        engine.is_held = True
        self._world.note(f"{engine.name} stands still until it is replaced")
        self._look_whether_replaced(machine, engine)

    def _look_whether_replaced(self, machine: Machine, engine: Engine) -> None:
        world = self._world
        if not engine.is_held or machine.engine is not engine:
            return
        if world.group.is_member(engine.name):
            world.network.later(0.05, self._look_whether_replaced, machine, engine)
        else:
            self._go_on_in_the_middle(machine, engine)

    def _go_on_in_the_middle(self, machine: Machine, engine: Engine) -> None:
        """Once the successors have written so many records, or write none."""

        def go_on() -> None:
            if machine.engine is engine:
                self._go_on(machine)

        journal = self._world.broker.logs[JOURNAL_TOPIC, 0]
        journal.watch(journal.end + self._rng.randint(1, 30), go_on)
        self._world.network.later(2.0, go_on)

    def _go_on(self, machine: Machine) -> None:
        engine = machine.engine
        if engine is not None and engine.is_held:
            self._world.note(f"{engine.name} goes on")
            self._world.loop.release(engine)

    def _cut_from_brokers(self, machine: Machine) -> str:
        machine.link.is_cut = True
        return self._until(machine, "is cut off from the brokers", lambda: setattr(machine.link, "is_cut", False))

    def _cut_from_clients(self, machine: Machine) -> str:
        machine.is_cut_from_clients = True
        return self._until(machine, "is cut off from clients", lambda: setattr(machine, "is_cut_from_clients", False))

    def _slow(self, machine: Machine) -> str:
        machine.link.slow_s = self._rng.choice((0.1, 0.8, 3.0, 6.0))
        return self._until(machine, "has a slow network", lambda: setattr(machine.link, "slow_s", 0.004))

    def _lose_answers(self, machine: Machine) -> str:
        machine.link.lose = self._rng.choice((0.02, 0.1))
        return self._until(machine, "loses answers", lambda: setattr(machine.link, "lose", 0.0))

    def _repeat_answers(self, machine: Machine) -> str:
        machine.link.repeat = 0.3
        return self._until(machine, "hears answers twice", lambda: setattr(machine.link, "repeat", 0.0))

    def _until(self, machine: Machine, what: str, end: Callable[[], None]) -> str:
        for_s = round(self._rng.choice((0.2, 1.0, self._rng.uniform(1.0, 3.0), 4.0)), 3)
        self._world.note(f"{machine.name} {what} for {for_s} s")
        self._world.network.later(for_s, end)
        return what

    def _storm(self, machine: Machine) -> str:
        group = self._world.group
        for _ in range(self._rng.choice((1, 3, 6))):
            self._world.network.later(self._rng.random() * 0.6, group.rebalance)
        return "rebalances for no reason"

    def _move_clock(self, machine: Machine) -> str:
        if self._rng.random() < 0.5:
            offset_s = self._rng.choice(self._awry_s)
            machine.clock.jump_to(offset_s)
            self._world.note(f"the clock of {machine.name} jumps to {offset_s:+g} s")
            return "clocks that jumped"
        drift = self._rng.choice(OLD_DRIFTS if self._world.begins_old else DRIFTS)
        machine.clock.drift_by(drift)
        self._world.note(f"the clock of {machine.name} drifts by {drift:+g}")
        return "clocks that drift"

    def _compact(self, machine: Machine) -> str:
        for (topic, partition), log in self._world.broker.logs.items():
            if topic.endswith("-changelog"):
                kept = [one.disk.of(topic, partition).offset + 1 for one in self._world.machines]
                log.compact(min((end for end in kept if end), default=0))
        return "compactions"

    def _lose_directory(self, machine: Machine) -> str:
        self._world.kill(machine, "and its directory is lost")
        machine.disk = Disk()
        return "directories lost"

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        for machine in self._world.machines:
            machine.link.is_cut = machine.is_cut_from_clients = False
            machine.link.slow_s, machine.link.lose, machine.link.repeat = 0.004, 0.0, 0.0
            if machine.engine is not None:
                machine.engine.crash_at = None
            self._go_on(machine)
