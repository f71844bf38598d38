"""Kafka's topics: created as wanted; an existing topic with another configuration is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, TopicAlreadyExistsError, for_code
from async_timeout import timeout
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from exness_streams.messages import PLAIN_TOPICS, Topics
from exness_streams.transport.faults import LogFault, Misconfigured, first_line
from exness_streams.transport.kafka.error_words import FORBIDDEN, words_of

CONNECT_S_MAX = 15.0
METADATA_S_MAX = 15.0

MESSAGE_BYTES_MIN = 1_000_000
"""What a topic has to take in one message: the largest record is some 900 KB, the outcome of a request that closes
1,000 positions (tests/unit/test_largest_records.py). Clients have been told by the time it is written."""


SAFE_FROM, IN_SYNC_MIN = 3, 2
"""From so many replicas on, so many must have a record before it is acknowledged."""


class KafkaUnreachable(LogFault):
    """No broker answers."""


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """Where the brokers are ("host:port", ...), Faust's credentials for them, and the platform's topics there."""

    addresses: tuple[str, ...]
    credentials: Any = None
    topics: Topics = PLAIN_TOPICS

    @property
    def client_settings(self) -> dict[str, Any]:
        """What every aiokafka client of this cluster is made with."""
        return {"bootstrap_servers": list(self.addresses), **credentials_to_aiokafka_auth(self.credentials)}

    def tool(self, name: str, arguments: str) -> str:
        """A command with one of Kafka's own tools for this cluster, as an operator types it."""
        secured = "" if self.credentials is None else " --command-config client.properties"
        return f"{name} --bootstrap-server {','.join(self.addresses)}{secured} {arguments}"

    def unreachable(self, error: BaseException) -> LogFault:
        """The fault when connecting failed; KafkaUnreachable unless the brokers forbid it."""
        if isinstance(error, FORBIDDEN):
            return LogFault(f"the brokers at {', '.join(self.addresses)} refuse it: {words_of(error)}")
        return KafkaUnreachable(
            f"no Kafka broker can be used at {', '.join(self.addresses)}: start it, or correct KAFKA_BROKERS "
            f"and the credentials ({first_line(error)})"
        )

    @asynccontextmanager
    async def connected(self, client: Any, close: Callable[[], Awaitable[object]]) -> AsyncIterator[Any]:
        """One of aiokafka's clients: started, and closed at the end. KafkaUnreachable."""
        try:
            try:
                async with timeout(CONNECT_S_MAX):
                    await client.start()
            except (KafkaError, OSError, asyncio.TimeoutError) as error:
                raise self.unreachable(error) from error
            yield client
        finally:
            await close()

    def admin(self) -> AbstractAsyncContextManager[Any]:
        """A connected aiokafka admin client. KafkaUnreachable."""
        client = AIOKafkaAdminClient(**self.client_settings)
        return self.connected(client, client.close)

    def producer(self) -> AbstractAsyncContextManager[Any]:
        """A connected aiokafka producer that loses and doubles nothing. KafkaUnreachable."""
        client = AIOKafkaProducer(**self.client_settings, acks="all", enable_idempotence=True)
        return self.connected(client, client.stop)


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """A topic as it is wanted. retention_ms: None keeps records for ever (or until they are compacted).

    is_one_by_design: its one partition is no matter of settings.
    """

    name: str
    partitions: int
    replication_factor: int = 1
    compact: bool = False
    retention_ms: int | None = None
    is_one_by_design: bool = False

    @property
    def cleanup_policy(self) -> str:
        return "compact" if self.compact else "delete"

    @property
    def settings(self) -> dict[str, str]:
        """The topic's own settings on the broker."""
        # Brokers refuse a record whose writer's clock is an hour ahead of theirs, and would trim by clocks of others.
        settings = {"cleanup.policy": self.cleanup_policy, "message.timestamp.type": "LogAppendTime"}
        if not self.compact:
            settings["retention.ms"] = str(-1 if self.retention_ms is None else self.retention_ms)
        if self.replication_factor >= SAFE_FROM:
            settings["min.insync.replicas"] = str(IN_SYNC_MIN)  # what was acknowledged survives a broker's disk
        return settings


async def declare_topics(cluster: KafkaCluster, wanted: Sequence[KafkaTopic]) -> None:
    """Make the topics that are missing, and check the others; returns once brokers know all of them.

    An existing topic's retention is the operator's to change. Another number of partitions, replication or
    cleanup policy, or too small a message, is Misconfigured; a topic that the brokers refuse to make is a LogFault.
    KafkaUnreachable.
    """
    async with cluster.admin() as admin:
        try:
            existing = await _describe(admin)
            missing = [topic for topic in wanted if topic.name not in existing]
            await _create(admin, missing)
            found = await _until_known(admin, wanted) if missing else existing
            told = await _settings(admin, [topic.name for topic in wanted])
        except (KafkaConnectionError, NodeNotReadyError, OSError) as error:
            raise cluster.unreachable(error) from error
        except KafkaError as error:
            raise LogFault(f"Kafka's topics can't be declared: {error}") from error
    for topic in wanted:
        _check(cluster, topic, found[topic.name], told[topic.name])


async def _describe(admin: Any) -> dict[str, list[int]]:
    """The replication of each partition, by topic. All topics: to ask for one by name could make it."""
    described = await admin.describe_topics()
    return {
        topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]]
        for topic in described
        if topic["error_code"] == 0
    }


async def _create(admin: Any, topics: Sequence[KafkaTopic]) -> None:
    if not topics:
        return
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=topic.settings)
         for topic in topics]
    )  # fmt: skip
    for name, code, reason, *_ in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another worker may have been faster
            kind = for_code(code)
            words = words_of(kind()) if issubclass(kind, FORBIDDEN) else reason or kind.__name__
            raise LogFault(f"Kafka refuses to make topic {name}: {words}")


async def _until_known(admin: Any, wanted: Sequence[KafkaTopic]) -> dict[str, list[int]]:
    waited_s = 0.0
    while True:
        found = await _describe(admin)
        unknown = [topic.name for topic in wanted if not found.get(topic.name)]
        if not unknown:
            return found
        if waited_s > METADATA_S_MAX:
            raise LogFault(f"Kafka created topic {unknown[0]}, but its brokers do not know it: check their logs")
        await asyncio.sleep(0.05)
        waited_s += 0.05


async def _settings(admin: Any, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Of each topic, those that are checked."""
    checked = dict.fromkeys(("cleanup.policy", "max.message.bytes"))
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, checked) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, reason, _, name, entries, *_ in response.resources:
            if code:
                raise LogFault(
                    f"Kafka did not return the settings of topic {name}: {reason or for_code(code).__name__}"
                )
            found[name] = {key: value for key, value, *_ in entries}
    return found


def _check(cluster: KafkaCluster, wanted: KafkaTopic, replication: Sequence[int], settings: Mapping[str, str]) -> None:
    if len(replication) != wanted.partitions:
        raise Misconfigured(_other_partitions(cluster, wanted, len(replication)))
    differing = next((count for count in replication if count != wanted.replication_factor), None)
    if differing is not None:
        raise Misconfigured(
            f"topic {wanted.name} has replication factor {differing}, not {wanted.replication_factor}: set "
            f"EXNESS_REPLICATION_FACTOR={differing}, or give the topic other replicas (kafka-reassign-partitions.sh)"
        )
    policy = settings["cleanup.policy"]
    if policy != wanted.cleanup_policy:
        raise Misconfigured(
            f"topic {wanted.name} has cleanup.policy {policy}, not {wanted.cleanup_policy}, so records that are needed "
            "will be deleted. Correct it and start again: "
            f"{_altered(cluster, wanted, f'cleanup.policy={wanted.cleanup_policy}')}"
        )
    size = int(settings["max.message.bytes"])
    if size < MESSAGE_BYTES_MIN:
        raise Misconfigured(
            f"topic {wanted.name} has max.message.bytes {size}, below {MESSAGE_BYTES_MIN}, so large accounts could not "
            f"be saved. Correct it and start again: {_altered(cluster, wanted, 'max.message.bytes=1048588')}"
        )


def _altered(cluster: KafkaCluster, topic: KafkaTopic, setting: str) -> str:
    alter = f"--alter --entity-type topics --entity-name {topic.name}"
    return cluster.tool("kafka-configs.sh", f"{alter} --add-config {setting}")


def _other_partitions(cluster: KafkaCluster, wanted: KafkaTopic, found: int) -> str:
    """What is wrong, and each way out with what it costs."""
    has = f"topic {wanted.name} has {found} partition{'s' if found > 1 else ''}"
    delete = cluster.tool("kafka-topics.sh", f"--delete --topic {wanted.name}")
    others = (
        "set EXNESS_TOPIC_PREFIX, such as EXNESS_TOPIC_PREFIX=exness-, and this platform makes topics of its own; or "
        f"delete it with all that it holds, and start again, which makes it as it has to be: {delete}"
    )
    if wanted.is_one_by_design:
        return (
            f"{has}, and must have 1: it was made by hand, or by a broker that makes topics by itself. Either {others}"
        )
    return (
        f"{has}, not {wanted.partitions} (EXNESS_PARTITIONS), and the number is fixed once data exists. If it is this "
        f"platform's, set EXNESS_PARTITIONS={found}. If it is not, either {others}"
    )
