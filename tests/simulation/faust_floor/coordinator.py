"""The brokers' part of a consumer group, as Kafka's coordinator plays it with static members: a worker that comes back
under its name within its session gets back what it had, without a rebalance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from protocol.network import Awaited, Network

LOOK_S = 0.25
NO_ERROR, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE_IN_PROGRESS, FENCED_INSTANCE = 0, 22, 25, 27, 82


class Joined(NamedTuple):
    """The answer to a join. members: of the leader, what each has told."""

    error: int
    generation: int = -1
    member: str = ""
    leader: str = ""
    members: Mapping[str, Any] = MappingProxyType({})


class Synced(NamedTuple):
    error: int
    assignment: Any = None


class _Member:
    def __init__(self, instance: str, metadata: Any, session_s: float, rebalance_s: float) -> None:
        self.instance = instance
        self.metadata = metadata
        self.session_s = session_s
        self.rebalance_s = rebalance_s
        self.heard_s = 0.0
        self.joining: Awaited | None = None
        self.syncing: Awaited | None = None
        self.assignment: Any = None

    def refuse(self, error: int) -> None:
        """What it waits for."""
        if self.joining is not None:
            self.joining.comes(Joined(error))
        if self.syncing is not None:
            self.syncing.comes(Synced(error))
        self.joining = self.syncing = None


class Coordinator:
    """States: empty, preparing (members are to join), completing (the leader is to assign), stable."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, network: Network, rng: random.Random, note: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._network = network
        self._rng = rng
        self._note = note
        self._members: dict[str, _Member] = {}
        self._leader = ""
        self._state = "empty"
        self._names = 0
        self.generation = 0
        self.rebalances = 0
        network.later(LOOK_S, self._look)

    # -- requests

    def join(self, member: str, instance: str, metadata: Any, session_s: float, rebalance_s: float) -> Awaited | Joined:
        """The answer comes when all have joined, or it is too late for the rest.

        A member that tells what it told before, and does not lead, is answered with what there is.
        """
        if member and member not in self._members:
            return Joined(UNKNOWN_MEMBER)
        if not member:
            before = next((name for name, one in self._members.items() if one.instance == instance), None)
            self._names += 1
            member = f"{instance}#{self._names}"
            if before is not None:
                return self._replace(before, member, metadata)
            self._members[member] = _Member(instance, metadata, session_s, rebalance_s)
        one = self._members[member]
        is_as_before = one.metadata is not metadata and one.metadata.encode() == metadata.encode()
        one.metadata, one.heard_s = metadata, self._loop.time()
        if self._state == "stable" and is_as_before and member != self._leader:
            return Joined(NO_ERROR, self.generation, member, self._leader)
        one.refuse(REBALANCE_IN_PROGRESS)
        joining = one.joining = Awaited()
        if self._state != "preparing":
            self._prepare()
        self._complete()
        return joining

    def _replace(self, before: str, member: str, metadata: Any) -> Awaited | Joined:
        """A static member is back, with nothing in its memory."""
        one = self._members[member] = self._members.pop(before)
        one.metadata, one.heard_s = metadata, self._loop.time()
        one.refuse(FENCED_INSTANCE)
        leader, self._leader = self._leader, member if self._leader == before else self._leader
        if self._state == "stable":
            self._note(f"{member} is back, and has what it had")
            return Joined(NO_ERROR, self.generation, member, leader)
        joining = one.joining = Awaited()
        if self._state != "preparing":
            self._prepare()
        self._complete()
        return joining

    def sync(self, member: str, generation: int, given: dict[str, Any] | None) -> Awaited | Synced:
        """The assignment, once the leader has given it."""
        one = self._members.get(member)
        if one is None:
            return Synced(UNKNOWN_MEMBER)
        one.heard_s = self._loop.time()
        if generation != self.generation:
            return Synced(ILLEGAL_GENERATION)
        if self._state == "preparing":
            return Synced(REBALANCE_IN_PROGRESS)
        if self._state == "stable":
            return Synced(NO_ERROR, one.assignment)
        syncing = one.syncing = Awaited()
        if given:
            self._give_out(given)
        return syncing

    def heartbeat(self, member: str, generation: int) -> int:
        one = self._members.get(member)
        if one is None:
            return UNKNOWN_MEMBER
        one.heard_s = self._loop.time()
        if self._state == "preparing":
            return REBALANCE_IN_PROGRESS
        return NO_ERROR if generation == self.generation else ILLEGAL_GENERATION

    def check(self, member: str, generation: int) -> int:
        """Whether offsets may be committed."""
        if member not in self._members:
            return UNKNOWN_MEMBER
        if generation != self.generation:
            return ILLEGAL_GENERATION
        return REBALANCE_IN_PROGRESS if self._state == "completing" else NO_ERROR

    def leave(self, member: str) -> int:
        if member not in self._members:
            return UNKNOWN_MEMBER
        self._remove(member)
        return NO_ERROR

    # -- asked by others of the simulation

    def rebalance(self) -> None:
        """For no reason."""
        if self._members and self._state in ("stable", "completing"):
            self._prepare()

    def is_member(self, name: str) -> bool:
        """By the name that it joined under."""
        return any(one.instance == name for one in self._members.values())

    # -- the round

    def _prepare(self) -> None:
        self._state = "preparing"
        self.rebalances += 1
        for one in self._members.values():
            if one.syncing is not None:
                one.syncing.comes(Synced(REBALANCE_IN_PROGRESS))
            one.syncing = None
        wait_s = max((one.rebalance_s for one in self._members.values()), default=0.0)
        self._network.later(wait_s, self._close, self.generation)

    def _complete(self) -> None:
        if self._state != "preparing" or not self._members:
            return
        if any(one.joining is None for one in self._members.values()):
            return
        self._state = "completing"
        self.generation += 1
        if self._leader not in self._members:
            self._leader = next(iter(self._members))
        told = {name: one.metadata for name, one in self._members.items()}
        for name, one in self._members.items():
            joining, one.joining, one.heard_s = one.joining, None, self._loop.time()
            if joining is not None:
                members = told if name == self._leader else MappingProxyType({})
                joining.comes(Joined(NO_ERROR, self.generation, name, self._leader, members))

    def _close(self, generation: int) -> None:
        """Those who have not come in time are members no more."""
        if self._state == "preparing" and generation == self.generation:
            for name in [name for name, one in self._members.items() if one.joining is None]:
                self._note(f"{name} did not join in time")
                del self._members[name]
            self._state = "preparing" if self._members else "empty"
            self._complete()

    def _give_out(self, given: dict[str, Any]) -> None:
        self._state = "stable"
        for name, one in self._members.items():
            one.assignment = given.get(name)
            syncing, one.syncing = one.syncing, None
            one.heard_s = self._loop.time()
            if syncing is not None:
                syncing.comes(Synced(NO_ERROR, one.assignment))

    def _remove(self, name: str) -> None:
        one = self._members.pop(name)
        one.refuse(UNKNOWN_MEMBER)
        if not self._members:
            self._state = "empty"
        elif self._state != "preparing":
            self._prepare()
        self._complete()

    def _look(self) -> None:
        now_s = self._loop.time()
        for name, one in list(self._members.items()):
            if one.heard_s < now_s - one.session_s and one.joining is None:
                self._note(f"{name} was not heard of")
                self._remove(name)
        self._network.later(LOOK_S, self._look)
