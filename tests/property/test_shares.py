"""Shares of partitions are even whoever joins and leaves, and as little as can be moves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.transport.kafka.shares import Share, even_shares

NOTHING = Share(frozenset(), frozenset())
MEMBERS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)
NUMBERS = st.frozensets(st.integers(0, 15))


def dealt(names: str, partitions: int, replicas: int, had: dict[str, Share] | None = None) -> dict[str, Share]:
    return even_shares({name: (had or {}).get(name, NOTHING) for name in names}, partitions, replicas)


def spread(counts: list[int]) -> int:
    return max(counts) - min(counts)


def check(shares: dict[str, Share], partitions: int, replicas: int) -> None:
    copies = min(replicas, len(shares) - 1)
    assert Counter(one for share in shares.values() for one in share.actives) == Counter(range(partitions))
    told = Counter(one for share in shares.values() for one in share.standbys)
    assert told == Counter({one: copies for one in range(partitions) if copies})
    assert all(not share.actives & share.standbys for share in shares.values())
    assert spread([len(share.actives) for share in shares.values()]) <= 1
    assert spread([len(share.standbys) for share in shares.values()]) <= 1


@given(partitions=st.integers(1, 16), replicas=st.integers(0, 3), steps=st.lists(MEMBERS, min_size=1, max_size=8))
def test_whoever_joins_and_leaves_shares_are_even_and_little_moves(
    partitions: int, replicas: int, steps: list[list[str]]
) -> None:
    before: dict[str, Share] = {}
    for names in steps:
        after = dealt("".join(names), partitions, replicas, before)
        check(after, partitions, replicas)
        assert dealt("".join(reversed(names)), partitions, replicas, after) == after
        stayed = [name for name in names if name in before]
        if len(stayed) == len(before) or len(stayed) == len(names):  # some came, or some went, not both
            _check_moves(before, after, stayed, partitions)
        before = after


def _check_moves(before: dict[str, Share], after: dict[str, Share], stayed: list[str], partitions: int) -> None:
    """Nobody gives up a partition to have another, nor more than his share asks for."""
    for name in stayed:
        had, has = before[name].actives, after[name].actives
        assert had <= has or has <= had
        assert len(has) >= min(len(had), partitions // len(after))


@given(
    partitions=st.integers(1, 16),
    replicas=st.integers(0, 3),
    had=st.dictionaries(st.sampled_from("abcdefgh"), st.builds(Share, NUMBERS, NUMBERS), min_size=1),
)
def test_whatever_members_say_they_had_shares_are_even(partitions: int, replicas: int, had: dict[str, Share]) -> None:
    """Two that claim one partition, and copies of what one works on, too."""
    shares = even_shares(had, partitions, replicas)
    check(shares, partitions, replicas)
    assert even_shares(shares, partitions, replicas) == shares


@pytest.mark.parametrize("partitions", range(1, 17))
@pytest.mark.parametrize("members", range(1, 9))
def test_a_member_that_comes_back_gets_its_share_again(partitions: int, members: int) -> None:
    """A rolling restart: each in its turn forgets what it had, and is away while the others are dealt to."""
    names = "abcdefgh"[:members]
    shares = dealt(names, partitions, 1)
    for name in names:
        shares = dealt(names.replace(name, ""), partitions, 1, shares) if members > 1 else shares
        shares = dealt(names, partitions, 1, {other: share for other, share in shares.items() if other != name})
        check(shares, partitions, 1)


@pytest.mark.parametrize("partitions", range(2, 17))
@pytest.mark.parametrize("members", range(2, 9))
def test_what_a_lost_member_had_goes_to_its_copies(partitions: int, members: int) -> None:
    names = "abcdefgh"[:members]
    before = dealt(names, partitions, 1)
    after = dealt(names[1:], partitions, 1, before)
    for one in before[names[0]].actives:
        (copy,) = (name for name in names[1:] if one in before[name].standbys)
        assert one in after[copy].actives or len(after[copy].actives) >= partitions // (members - 1)


def test_of_equals_those_with_less_to_do_get_more() -> None:
    had = dict.fromkeys("abc", NOTHING)
    assert even_shares(had, 1, 0, {"a": 3, "b": 2, "c": 3})["b"].actives == {0}
    assert even_shares({**had, "a": Share(frozenset({0}), frozenset())}, 1, 0, {"a": 3})["a"].actives == {0}
