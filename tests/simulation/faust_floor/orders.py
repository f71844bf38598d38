"""Faust and mode keep services, topics and handlers in sets, whose order is that of memory addresses. Here they hash by
a number, so that the same seed is the same life in each process."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, MutableSet
from typing import Any

_numbers = itertools.count(1)


def _numbered(self: Any) -> int:
    number = self.__dict__.get("_number_of_simulation")
    if number is None:
        number = self.__dict__["_number_of_simulation"] = next(_numbers)
    return int(number)


class InsertionOrdered(MutableSet[Any]):
    """A set in the order in which its members came."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._members = dict.fromkeys(members)

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def __contains__(self, one: Any) -> bool:
        return one in self._members

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def add(self, one: Any) -> None:
        self._members[one] = None

    def discard(self, one: Any) -> None:
        self._members.pop(one, None)

    def update(self, members: Iterable[Any]) -> None:
        self._members.update(dict.fromkeys(members))

    def difference_update(self, members: Iterable[Any]) -> None:
        for one in members:
            self.discard(one)


def install() -> None:
    """For good."""
    from faust.agents.manager import AgentManager
    from faust.channels import Channel
    from faust.stores.base import Store
    from faust.tables.base import Collection
    from faust.tables.manager import TableManager
    from faust.transport.conductor import Conductor
    from mode import signals
    from mode.services import ServiceBase
    from mode.utils.queues import FlowControlQueue

    kinds = (ServiceBase, Channel, Store, Collection, TableManager, AgentManager, Conductor, FlowControlQueue)
    for kind in kinds:
        kind.__hash__ = _numbered  # type: ignore[method-assign,assignment]
    signals.set = InsertionOrdered  # type: ignore[attr-defined]
