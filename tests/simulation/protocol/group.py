"""The group's coordinator: who is a member, and whose is which partition. A member that is not heard of is put out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from protocol.network import Awaited, Network

SESSION_S = 1.0
JOIN_S_MAX = 1.5
LOOK_S = 0.2


class Assignment(NamedTuple):
    """Of one member in one generation. cells: partitions of journal and events."""

    generation: int
    cells: tuple[int, ...]
    has_ticks: bool


class _Member:
    def __init__(self, now_s: float) -> None:
        self.heard_s = now_s
        self.joining: Awaited | None = None


class Group:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        network: Network,
        rng: random.Random,
        cells: int,
        note: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._network = network
        self._rng = rng
        self._cells = cells
        self._note = note
        self._members: dict[str, _Member] = {}
        self._is_preparing = False
        self._owners: dict[int | str, str] = {}
        self.generation = 0
        self.rebalances = 0
        self.moves = 0.2
        """How often a partition goes to another member than before, for no reason."""
        self._network.later(LOOK_S, self._look)

    def join(self, name: str) -> Awaited:
        """An Assignment comes."""
        member = self._members.setdefault(name, _Member(self._loop.time()))
        member.heard_s = self._loop.time()
        joining = member.joining = Awaited()
        self._prepare()
        self._complete()
        return joining

    def heartbeat(self, name: str, generation: int) -> bool:
        """Whether all is as it was; else the member has to join anew."""
        member = self._members.get(name)
        if member is None:
            return False
        member.heard_s = self._loop.time()
        return generation == self.generation and not self._is_preparing

    def leave(self, name: str) -> None:
        if self._members.pop(name, None) is not None:
            self._prepare()
            self._complete()

    def rebalance(self) -> None:
        """For no reason."""
        if self._members:
            self._prepare()

    def is_member(self, name: str) -> bool:
        return name in self._members

    def owner(self, partition: int | str) -> str | None:
        return self._owners.get(partition)

    def _prepare(self) -> None:
        if not self._is_preparing:
            self._is_preparing = True
            self.rebalances += 1
            self._network.later(JOIN_S_MAX, self._close, self.generation)

    def _complete(self) -> None:
        if self._is_preparing and self._members and all(one.joining for one in self._members.values()):
            self._is_preparing = False
            self.generation += 1
            self._give_out()

    def _close(self, generation: int) -> None:
        """Those who have not come in time are members no more."""
        if self._is_preparing and generation == self.generation:
            for name in [name for name, one in self._members.items() if one.joining is None]:
                self._note(f"{name} did not join in time")
                del self._members[name]
            self._complete()

    def _look(self) -> None:
        now_s = self._loop.time()
        for name in [n for n, one in self._members.items() if one.heard_s < now_s - SESSION_S and not one.joining]:
            self._note(f"{name} was not heard of")
            self.leave(name)
        self._network.later(LOOK_S, self._look)

    def _give_out(self) -> None:
        names = sorted(self._members)
        things: list[int | str] = [*range(self._cells), "ticks"]
        held = dict.fromkeys(names, 0)
        most = -(-len(things) // len(names))
        owners: dict[int | str, str] = {}
        for thing in things:
            before = self._owners.get(thing)
            if before in held and held[before] < most and self._rng.random() >= self.moves:
                owners[thing] = before
                held[before] += 1
        for thing in things:
            if thing not in owners:
                fewest = min(held.values())
                owners[thing] = self._rng.choice([name for name in names if held[name] == fewest])
                held[owners[thing]] += 1
        self._owners = owners
        told = []
        for name in names:
            cells = tuple(one for one in range(self._cells) if owners[one] == name)
            assignment = Assignment(self.generation, cells, owners["ticks"] == name)
            member = self._members[name]
            joining, member.joining, member.heard_s = member.joining, None, self._loop.time()
            told.append(f"{name}: {','.join(map(str, cells)) or '-'}{' ticks' if assignment.has_ticks else ''}")
            if joining is not None:
                joining.comes(assignment)
        self._note(f"generation {self.generation}: {'; '.join(told)}")
