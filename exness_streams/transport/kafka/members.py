"""Who is in a consumer group, and by which rules of the journal each can go on."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError, for_code

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.offsets import ANSWER_S_MAX
from exness_streams.transport.kafka.topics import KafkaCluster

RULES_FIELD = "rules_known"
"""Of what an assignor tells the group of its member, beside Faust's own; a release before there were rules has none."""

REJOINS_FIELD = "rejoins"

POLL_S = 0.2


class GroupMember(NamedTuple):
    """A worker. url: its own. rules_known: the highest, 0 for one that says nothing."""

    url: str
    rules_known: int


def told_of_member(user_data: bytes, rules_known: int, rejoins: int = 0) -> bytes:
    """What Faust tells of a member, and the rules that it knows. Faust, of any release, passes over what it lacks.

    rejoins: how often it asked for another deal, since it started.
    """
    told = {**json.loads(user_data), RULES_FIELD: rules_known}
    return json.dumps({**told, REJOINS_FIELD: rejoins} if rejoins else told).encode()


async def group_members(cluster: KafkaCluster, group: str) -> list[GroupMember]:
    """The members as the group's coordinator knows them. Waits for a rebalance under way. LogFault."""
    deadline_s = time.monotonic() + ANSWER_S_MAX
    async with cluster.admin() as admin:
        while True:
            found = await _described(admin, group)
            if isinstance(found, list):
                return sorted(found)
            if time.monotonic() > deadline_s:
                raise LogFault(f"Kafka does not tell the members of group {group}: {found}. Try again")
            await asyncio.sleep(POLL_S)


async def _described(admin: Any, group: str) -> list[GroupMember] | str:
    """The members, or why they are not known now."""
    try:
        responses = await admin.describe_consumer_groups([group])
    except KafkaError as error:
        return str(error) or type(error).__name__
    error_code, _, state, _, _, members, *_ = responses[0].groups[0]
    if error_code:
        return str(for_code(error_code)())
    if state in ("Empty", "Dead"):
        return []
    if state != "Stable":
        return f"it is being rebalanced ({state})"
    return [member_of(metadata) for _, _, _, metadata, *_ in members]


def member_of(metadata: bytes) -> GroupMember:
    """A member by what it told when it joined. LogFault when it is none of ours."""
    try:
        told = json.loads(ConsumerProtocolMemberMetadata.decode(metadata).user_data)
        return GroupMember(str(told["url"]), int(told.get(RULES_FIELD, 0)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogFault(f"a member of the group is no engine worker: {error!r}") from error
