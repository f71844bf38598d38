"""A life of whole workers: the protocol floor's market, clients, nemesis and checks around them."""

from __future__ import annotations

import random
import tempfile
from typing import Any, cast

from protocol.group import Group
from protocol.loop import Process, process
from protocol.market import Market
from protocol.network import Network
from protocol.world import Knobs, Machine, World

from exness_streams.domain.commands import Command
from exness_streams.transport.table import OWN_KEYS
from faust_floor.brokers import KafkaBrokers
from faust_floor.coordinator import Coordinator
from faust_floor.disk import DISKS
from faust_floor.loop import FaustLoop, Lane
from faust_floor.nemesis import FaustNemesis
from faust_floor.worker import Worker


class FaustGroup(Coordinator):
    """The coordinator, and who has what, as the simulation is asked for it."""

    def __init__(self, world: FaustWorld) -> None:
        super().__init__(world.loop, world.network, world.rng, world.note)
        self._world = world

    def owner(self, thing: int | str) -> str | None:
        """The process that has a cell, or the ticks, as far as it knows; one of the newest generation first."""
        found = [
            worker
            for machine in self._world.machines
            if (worker := cast("Worker | None", machine.engine)) is not None and not worker.is_dead
            if (worker.candles.is_owned if thing == "ticks" else worker.cells.holds_lease(int(thing)))
        ]
        newest = [worker for worker in found if not worker.is_stale]
        return next((worker.name for worker in (*newest, *found)), None)

    def is_member(self, name: str) -> bool:
        return super().is_member(name.split(".")[0])


class FaustWorld(World):
    def __init__(self, seed: int, *, nemesis: bool = True) -> None:
        super().__init__(seed, nemesis=nemesis)
        rng = self.rng
        self.knobs = Knobs(
            workers=rng.choice((1, 2, 3, 3, 3)),
            cells=rng.choice((1, 2, 3)),
            accounts=rng.choice((2, 3, 4)),
            life_s=rng.choice((6.0, 9.0, 12.0)),
            batch=rng.choice((2, 20, 500)),
            slice_max=rng.choice((3, 10, 500)),
        )
        self.cells = self.knobs.cells
        self.begins_old = False  # releases change on the other floor
        self.standbys = rng.choice((0, 1))
        self.frame_ms = rng.choice((10, 50))
        self.loop.close()
        self.loop = FaustLoop(random.Random(f"turns-{seed}"), self._crashed)
        self.network = Network(self.loop, random.Random(f"network-{seed}"))
        self.broker = KafkaBrokers(self.note)
        self.market = Market(self)
        self.catalogue = self.market.terms
        self._files = tempfile.TemporaryDirectory()
        self.directory = self._files.name
        self.told: dict[str, int] = {}
        DISKS.clear()

    def _new_group(self) -> Group:
        return cast(Group, FaustGroup(self))

    def _new_nemesis(self) -> FaustNemesis:
        return FaustNemesis(self)

    def _new_engine(self, name: str, machine: Machine) -> Any:
        worker = Worker(self, name, machine.link, machine.clock)
        process.set(worker)
        return worker

    def _crashed(self, killed: Process, place: str) -> None:
        super()._crashed(killed.owner if isinstance(killed, Lane) else killed, place)

    # -- readers

    async def request(self, partition: int, command: Command, patience_s: float) -> tuple[str, Any]:
        """As a client asks for it; what its account was told is never unseen again, whichever worker is asked."""
        status, told = await super().request(partition, command, patience_s)
        if status == "answered":
            seen = self.told.get(command.account_id, 0)
            self.told[command.account_id] = max(seen, getattr(told.outcome, "sequence", 0))
            for machine in self.machines:
                self._look_at(machine, partition, command.account_id)
        return status, told

    def _look_at(self, machine: Machine, partition: int, account_id: str) -> None:
        worker = cast("Worker | None", machine.engine)
        if worker is None or worker.is_dead or worker.is_held or machine.context is None:
            return
        told = self.told.get(account_id, 0)
        status, found = machine.context.copy().run(worker.read, partition, account_id)
        self.counted[f"looks {status}"] += 1
        if status == "answered" and found < told:
            self.violation(f"{worker.name} shows {found} events of {account_id}, whose client was told of the {told}th")

    def stop(self, machine: Machine) -> None:
        worker = cast("Worker | None", machine.engine)
        if worker is not None and not worker.is_dead and not worker.stopping.is_set():
            self.note(f"{worker.name} is told to stop")
            self.loop.call_soon(worker.stopping.set, context=machine.context)

    def lose_directory(self, machine: Machine) -> None:
        """Of a process that is gone."""
        for path in [path for path in DISKS if path.startswith(f"{self.directory}/{machine.name}/")]:
            del DISKS[path]

    def give_up(self, worker: Worker) -> None:
        """It takes too long to stop."""
        machine = next(one for one in self.machines if one.name == worker.machine)
        if machine.engine is worker and not worker.is_dead:  # type: ignore[comparison-overlap]
            self.counted["stops that took too long"] += 1
            self.kill(machine, "for it does not stop")

    def on_disk(self, engine: Any, table: Any, partition: int) -> dict[bytes, bytes]:
        path = str(table.data.partition_path(partition))
        own = {*OWN_KEYS, table.data.offset_key}
        return {key: value for key, value in DISKS[path].entries.items() if key not in own}


def live(seed: int, *, nemesis: bool = True) -> Any:
    """One life."""
    return FaustWorld(seed, nemesis=nemesis).live()
