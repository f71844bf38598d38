"""What a new client finds at the brokers: to tell a process that is cut off from a cluster that is away.

Clients of aiokafka go on trying whatever the brokers say, and say of a failure only that there was one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaError,
    LeaderNotAvailableError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from async_timeout import timeout

from exness_streams.transport.faults import LogFault, first_line
from exness_streams.transport.kafka.topics import IN_SYNC_MIN, SAFE_FROM, KafkaCluster, KafkaUnreachable

CONNECT_S_MAX = 3.0
LOOK_S_MAX = 8.0

REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    ssl.SSLError,
)
"""Of a connection: what waiting does not mend."""

REBALANCING = ("PreparingRebalance", "CompletingRebalance")


class Sky(Enum):
    """AWAY: no broker takes a connection; waiting may help. REFUSED: they refuse this user, password or certificate.
    ASTRAY: one takes it, and sends its clients to addresses where nobody is. GONE: a topic is not there. THIN: a
    partition has no leader, or too few replicas in sync. REBALANCING: the group deals its partitions out. CLEAR:
    nothing is in the way.
    """

    AWAY = "away"
    REFUSED = "refused"
    ASTRAY = "astray"
    GONE = "gone"
    THIN = "thin"
    REBALANCING = "rebalancing"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was found. words: a clause that says it, and what to do; empty when nothing is in the way."""

    sky: Sky
    words: str = ""


async def outlook(cluster: KafkaCluster, group: str = "", topics: Sequence[str] = ()) -> Outlook:
    """Look once, as a client that has just come. group: '' asks for none. topics: those that must be there."""
    found = await _first_connection(cluster)
    if isinstance(found, Outlook):
        return found
    others = (address for address in cluster.addresses if address != found)
    cluster = replace(cluster, addresses=(found, *others))  # the first may hang
    try:
        async with timeout(LOOK_S_MAX):
            return await _look_inside(cluster, group, topics)
    except (KafkaError, LogFault, OSError, asyncio.TimeoutError) as error:
        return Outlook(Sky.AWAY, f"the brokers at {_addresses(cluster)} do not answer in time ({first_line(error)})")


async def explained(cluster: KafkaCluster, failed: BaseException | None) -> BaseException | None:
    """The same fault, or for one that only says that no broker can be used, one that says why."""
    if not isinstance(failed, KafkaUnreachable):
        return failed
    found = await outlook(cluster)
    if not found.words:
        return failed
    return KafkaUnreachable(f"no Kafka broker can be used at {_addresses(cluster)}: {found.words}")


async def _first_connection(cluster: KafkaCluster) -> Outlook | str:
    """The first address that takes a connection, or why none does."""
    refused: list[str] = []
    errors: list[str] = []
    for address in cluster.addresses:
        host, _, port = address.rpartition(":")
        error = await _try(cluster, host.strip("[]"), int(port))
        if error is None:
            return address
        (refused if isinstance(error, REFUSALS) else errors).append(f"{address}: {first_line(error)}")
    if refused:
        return Outlook(
            Sky.REFUSED,
            f"the brokers refuse this client ({'; '.join(refused)}): correct EXNESS_KAFKA_USERNAME, "
            "EXNESS_KAFKA_PASSWORD or the certificate files, and start again",
        )
    return Outlook(
        Sky.AWAY, f"none takes a connection ({'; '.join(errors)}): start the brokers, or correct KAFKA_BROKERS"
    )


async def _try(cluster: KafkaCluster, host: str, port: int) -> BaseException | None:
    """What is in the way of a connection."""
    settings = {name: value for name, value in cluster.client_settings.items() if name != "bootstrap_servers"}
    try:
        async with timeout(CONNECT_S_MAX):
            connection = await create_conn(host, port, request_timeout_ms=int(CONNECT_S_MAX * 1000), **settings)
    except (KafkaError, OSError, asyncio.TimeoutError) as error:
        return error
    connection.close()
    return None


async def _look_inside(cluster: KafkaCluster, group: str, topics: Sequence[str]) -> Outlook:
    client = AIOKafkaClient(**cluster.client_settings, request_timeout_ms=int(LOOK_S_MAX * 1000))
    try:
        await client.bootstrap()
        brokers = client.cluster.brokers()
        tried = await asyncio.gather(*(_try(cluster, broker.host, broker.port) for broker in brokers))
        failed = [error for error in tried if error is not None]
        if failed and len(failed) == len(tried):
            where = ", ".join(f"{broker.host}:{broker.port}" for broker in brokers)
            return Outlook(
                Sky.ASTRAY,
                f"the brokers at {_addresses(cluster)} send their clients to {where}, where none takes a connection "
                f"({first_line(failed[0])}): correct the brokers' advertised.listeners",
            )
    finally:
        await client.close()
    async with cluster.admin() as admin:
        known = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics() if seen(topic)}
        if missing := [topic for topic in topics if topic not in known]:
            return Outlook(Sky.GONE, topic_gone(missing[0]))
        if thin := [words for topic in topics for words in thin_partitions(topic, known[topic])]:
            return Outlook(Sky.THIN, thin[0])
        if group and (state := await _state_of(admin, group)) in REBALANCING:
            return Outlook(Sky.REBALANCING, f"group {group} is dealing its partitions out ({state})")
    return Outlook(Sky.CLEAR)


def seen(topic: Mapping[str, Any]) -> bool:
    """Whether a topic is there, by its metadata; one whose leaders are being elected is."""
    return topic["error_code"] in (0, LeaderNotAvailableError.errno)


def thin_partitions(topic: str, partitions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Those that take no record that must be durable (KafkaTopic.settings), in words."""
    for one in partitions:
        name, replicas, in_sync = f"partition {one['partition']} of {topic}", len(one["replicas"]), len(one["isr"])
        if one["leader"] < 0:
            yield f"{name} has no leader: start its brokers"
        elif replicas >= SAFE_FROM and in_sync < IN_SYNC_MIN:
            yield f"{name} has {in_sync} of {replicas} replicas in sync and takes no records: start the other brokers"


def topic_gone(topic: str) -> str:
    """Of a topic that was there."""
    return (
        f"topic {topic} is not there any more, or this user may no longer see it: it was deleted, or its ACLs were "
        "(docs/operations.md, The weather of Kafka)"
    )


async def _state_of(admin: Any, group: str) -> str:
    (answer,) = await admin.describe_consumer_groups([group])
    error_code, _, state, *_ = answer.groups[0]
    return str(for_code(error_code).__name__ if error_code else state)


def _addresses(cluster: KafkaCluster) -> str:
    return ", ".join(cluster.addresses)
