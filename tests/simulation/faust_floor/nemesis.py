"""What goes wrong in a life of whole workers: the protocol floor's, in a slower pace, since a takeover takes seconds;
and orderly stops, brokers that nobody reaches, and tables that are slow to recover."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from protocol.nemesis import Nemesis
from protocol.operators import Operators
from protocol.world import Machine

if TYPE_CHECKING:
    from faust_floor.world import FaustWorld


class FaustNemesis(Nemesis):
    def __init__(self, world: FaustWorld) -> None:
        super().__init__(cast(Any, world))
        # What operators do to the ticks' topic, and long absences, are the other floor's.
        ways = [way for way in self._ways if not isinstance(getattr(way, "__self__", None), Operators)]
        self._chosen = self._rng.sample([*ways, *self._more_ways()], self._rng.randint(1, 4))
        moving = [self._crash, self._hold, self._make_a_zombie, self._stop, self._storm, self._slow_takeover]
        moving.append(self._cut_from_brokers)
        if world.seed % 4 == 3:
            moving = [self._cut_takeover, self._storm]
        self._chosen += self._rng.sample(moving, self._rng.randint(1, 2))
        self._pace_s = self._rng.choice(((0.3, 1.0, 2.0), (1.0, 2.0, 4.0)))

    def _more_ways(self) -> list[Any]:
        return [self._stop, self._cut_all_from_brokers, self._slow_takeover]

    async def run(self) -> None:
        rng, world = self._rng, self._world
        if not world.has_nemesis:
            return
        while not world.is_over:
            await asyncio.sleep(rng.choice(self._pace_s))
            if not world.is_over:
                name = rng.choice(self._chosen)(rng.choice(world.machines))
                world.counted[name] += 1

    def _until(self, machine: Machine, what: str, end: Callable[[], None]) -> str:
        """For longer than there: a session is longer, too."""
        for_s = round(self._rng.choice((0.5, 1.0, self._rng.uniform(1.5, 6.0), 7.0)), 3)
        self._world.note(f"{machine.name} {what} for {for_s} s")
        self._world.network.later(for_s, end)
        return what

    def _stop(self, machine: Machine) -> str:
        self._world.stop(machine)
        return "orderly stops"

    def _lose_directory(self, machine: Machine) -> str:
        self._world.kill(machine, "and its directory is lost")
        cast("FaustWorld", self._world).lose_directory(machine)
        return "directories lost"

    def _compact(self, machine: Machine) -> str:
        for (topic, _), log in self._world.broker.logs.items():
            if topic.endswith("-changelog"):
                log.compact(0)
        return "compactions"

    def _cut_all_from_brokers(self, machine: Machine) -> str:
        for one in self._world.machines:
            self._cut_from_brokers(one)
        return "nobody reaches the brokers"

    def _cut_takeover(self, machine: Machine) -> str:
        """Whoever takes partitions over loses the brokers in the middle of it, and hears late of what comes next."""
        self._storm(machine)
        self._world.network.later(self._rng.uniform(0.01, 0.5), self._cut_for_a_while, machine)
        return "takeovers without brokers"

    def _cut_for_a_while(self, machine: Machine) -> None:
        if not self._world.is_over:
            self._cut_from_brokers(machine)

    def _slow_takeover(self, machine: Machine) -> str:
        """Partitions are given out anew, and who takes them over reads slowly."""
        self._slow(machine)
        self._storm(machine)
        return "slow takeovers"
