"""Who of a consumer group gets which partitions: even shares, of what each had already, with copies elsewhere.

Faust's own fills members up to the ceiling of the average where copies are wanted: of 4 partitions 3 members got 2, 2
and 0, for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple


class Share(NamedTuple):
    """A member's. actives: partitions that it works on. standbys: those whose tables it keeps a copy of."""

    actives: frozenset[int]
    standbys: frozenset[int]


def even_shares(
    had: Mapping[str, Share], partitions: int, replicas: int, load: Mapping[str, int] | None = None
) -> dict[str, Share]:
    """Shares of partitions 0 to partitions - 1, of which any two differ by one partition at most, and by one copy.

    had: by member, what it had; it keeps as much of it as it can. What must move goes where a copy is, if it can.
    replicas: copies of each partition, on members other than its own; fewer where there are too few members.
    load: what members have besides; of equals those with less get more.
    """
    names = sorted(had, key=lambda name: ((load or {}).get(name, 0), name))
    actives = _actives(names, had, partitions)
    standbys = _standbys(names, had, actives, partitions, min(replicas, len(names) - 1))
    return {name: Share(frozenset(actives[name]), frozenset(standbys[name])) for name in had}


def _actives(names: list[str], had: Mapping[str, Share], partitions: int) -> dict[str, set[int]]:
    held: dict[str, set[int]] = {name: set() for name in names}
    for partition in range(partitions):
        claimed_by = [name for name in names if partition in had[name].actives]  # by several, where one is a zombie
        if claimed_by:
            held[min(claimed_by, key=lambda name: len(held[name]))].add(partition)
    base, extra = divmod(partitions, len(names))
    by_held = sorted(names, key=lambda name: -len(held[name]))
    room = {name: base + (nth < extra) - len(held[name]) for nth, name in enumerate(by_held)}

    def with_copy(partition: int) -> list[str]:
        return [name for name in names if room[name] > 0 and partition in had[name].standbys]

    for name in names:
        for partition in sorted(held[name], key=lambda one: (not with_copy(one), one))[: max(0, -room[name])]:
            held[name].remove(partition)
    left = set(range(partitions)).difference(*held.values())
    for name in names:
        room[name] = max(0, room[name])
    while left:
        # One that few have copies of first: else another takes its place there.
        partition = min(left, key=lambda one: (len(with_copy(one)) or len(names), one))
        wanted = max(with_copy(partition) or names, key=lambda name: room[name])
        held[wanted].add(partition)
        room[wanted] -= 1
        left.remove(partition)
    return held


def _standbys(
    names: list[str], had: Mapping[str, Share], actives: Mapping[str, set[int]], partitions: int, copies: int
) -> dict[str, set[int]]:
    kept: dict[str, set[int]] = {name: set() for name in names}
    warm = {name: (had[name].standbys | had[name].actives) - actives[name] for name in names}
    for partition in range(partitions):
        others = [name for name in names if partition not in actives[name]]
        others.sort(
            key=lambda name: (
                partition not in had[name].standbys,
                partition not in warm[name],
                len(kept[name]),
                len(actives[name]),  # where there is room for it, should it be lost
            )
        )
        for name in others[:copies]:
            kept[name].add(partition)
    while (path := _path_to_balance(names, kept, actives)) is not None:
        for giver, taker in pairwise(path):
            movable = kept[giver] - kept[taker] - actives[taker]
            partition = min(movable, key=lambda one: (one not in warm[taker], one in warm[giver], one))
            kept[giver].remove(partition)
            kept[taker].add(partition)
    return kept


def _path_to_balance(
    names: list[str], kept: Mapping[str, set[int]], actives: Mapping[str, set[int]]
) -> list[str] | None:
    """Along which one copy each is to be handed on; None when no two differ by more than one, or nothing helps."""
    for most in sorted(names, key=lambda name: -len(kept[name])):
        came_from: dict[str, str] = {most: most}
        reached = [most]
        for name in reached:
            if len(kept[name]) <= len(kept[most]) - 2:
                return list(_back(came_from, name))[::-1]
            for other in names:
                if other not in came_from and kept[name] - kept[other] - actives[other]:
                    came_from[other] = name
                    reached.append(other)
    return None


def _back(came_from: Mapping[str, str], name: str) -> Iterator[str]:
    while True:
        yield name
        if came_from[name] == name:
            return
        name = came_from[name]


def within(partitions: int, had: Collection[int]) -> frozenset[int]:
    """Those of them that there are."""
    return frozenset(number for number in had if 0 <= number < partitions)
