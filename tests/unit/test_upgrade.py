"""When the rules of a cluster may be raised, and who says what it knows."""

from __future__ import annotations

import json

import faust
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientMetadata

from exness_streams.domain import rules
from exness_streams.domain.codec import Meta, decode_meta, encode, encode_meta
from exness_streams.processes.upgrade import NotYet, check_members, check_wanted
from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.kafka.assignor import NamedAssignor
from exness_streams.transport.kafka.members import GroupMember, member_of

ONE, TWO = "http://one.example:8000", "http://two.example:8000"


class App(faust.App):  # type: ignore[misc]
    """A worker of a release that knows rules up to this."""

    rules_known = 7


def joined(kind: type[faust.App]) -> ConsumerProtocolMemberMetadata:
    """What a member tells its group when it joins."""
    app = kind("group", broker="memory://", store="memory://", canonical_url=ONE, PartitionAssignor=NamedAssignor)
    told: ConsumerProtocolMemberMetadata = app.assignor.metadata({"journal"})
    return told


def test_a_member_tells_its_group_which_rules_it_knows() -> None:
    assert member_of(joined(App).encode()) == GroupMember(ONE, 7)


def test_one_of_a_release_before_says_nothing_of_rules() -> None:
    assert member_of(joined(faust.App).encode()) == GroupMember(ONE, 0)


def test_a_leader_of_a_release_before_reads_what_a_new_member_tells() -> None:
    """It is Faust's record with a field more, which Faust passes over: nobody keeps the group from its assignment."""
    told, before = joined(App), joined(faust.App)
    assert (told.version, told.subscription) == (before.version, before.subscription)
    assert ClientMetadata.loads(told.user_data).url == ONE
    assert json.loads(told.user_data).items() >= json.loads(before.user_data).items()


def test_a_stranger_in_the_group_is_told_in_words() -> None:
    stranger = ConsumerProtocolMemberMetadata(0, ["journal"], b"")
    with pytest.raises(LogFault, match="no engine worker"):
        member_of(stranger.encode())


def test_rules_are_raised_when_every_worker_knows_them() -> None:
    check_members([GroupMember(ONE, 2), GroupMember(TWO, 3)], 2)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "no worker runs"),
        ([GroupMember(ONE, 2), GroupMember(TWO, 0)], f"not every worker knows rules 2: {TWO} (of a release before"),
        ([GroupMember(ONE, 1), GroupMember(TWO, 2)], f"not every worker knows rules 2: {ONE} (it knows them up to 1)"),
    ],
)
def test_otherwise_one_line_says_who_does_not(members: list[GroupMember], words: str) -> None:
    with pytest.raises(NotYet) as refused:
        check_members(members, 2)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rules_that_are_not_known_here_or_are_over_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 2)
    check_wanted(2, [1, 2])
    check_wanted(2, [])
    with pytest.raises(Misconfigured, match="knows them up to 2"):
        check_wanted(3, [2, 2])
    with pytest.raises(Misconfigured, match="never back to 1"):
        check_wanted(1, [1, 2])


# A release that knows no rules must not go on by the first ones.


def test_a_meta_of_later_rules_is_read_by_no_release_before() -> None:
    meta = Meta(3, 17, 2, 9, rules=2)
    assert decode_meta(encode_meta(meta)) == meta
    assert decode_meta(encode(meta)) == meta  # the other layout
    assert isinstance(json.loads(encode_meta(meta)), list)
    first = Meta(3, 17, 2, 9)
    assert encode_meta(first) == encode(first) == b'{"partition":3,"next_offset":17,"accounts":2,"taken":9}'
