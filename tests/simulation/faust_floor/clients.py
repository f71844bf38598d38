"""In place of aiokafka's clients and RocksDB: to be installed before anything of the engine is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from protocol.loop import process

BROKERS_OWN = {"cleanup.policy": "delete", "max.message.bytes": "1048588", "retention.ms": "604800000"}
"""What a topic is like that says nothing of it."""


def connection_of() -> Any:
    """Of the process that asks."""
    return process.get().connection  # type: ignore[union-attr]


class Admin:
    """aiokafka's admin client, as transport/kafka uses it. KafkaConnectionError when no broker answers."""

    def __init__(self, **_: Any) -> None:
        self._connection = connection_of()

    async def _ask(self, action: Any) -> Any:
        from aiokafka.errors import KafkaConnectionError
        from protocol.network import Unreachable

        try:
            return await self._connection.ask("admin", action)
        except Unreachable as error:
            raise KafkaConnectionError(str(error)) from error

    async def start(self) -> None:
        await self._ask(lambda: None)

    async def close(self) -> None:
        pass

    async def describe_topics(self) -> list[dict[str, Any]]:
        topics = await self._ask(lambda: dict(self._connection.broker.topics))
        return [
            {
                "topic": name,
                "error_code": 0,
                "partitions": [{"replicas": [0] * topic.replication} for _ in range(topic.partitions)],
            }
            for name, topic in topics.items()
        ]

    async def create_topics(self, topics: Sequence[Any]) -> Any:
        from aiokafka.errors import TopicAlreadyExistsError

        create = self._connection.broker.create

        def made() -> list[tuple[str, int, str]]:
            answers = []
            for one in topics:
                is_new = create(one.name, one.num_partitions, one.replication_factor, dict(one.topic_configs))
                answers.append((one.name, 0 if is_new else TopicAlreadyExistsError.errno, ""))
            return answers

        return SimpleNamespace(topic_errors=await self._ask(made))

    async def describe_configs(self, resources: Sequence[Any]) -> list[Any]:
        topics = await self._ask(lambda: dict(self._connection.broker.topics))
        found = [(0, "", 2, one.name, list({**BROKERS_OWN, **topics[one.name].settings}.items())) for one in resources]
        return [SimpleNamespace(resources=found)]

    async def list_consumer_group_offsets(self, group: str, partitions: Sequence[Any]) -> dict[Any, Any]:
        offsets = self._connection.broker.offsets
        found = await self._ask(lambda: {tp: offsets.get((group, *tp), -1) for tp in partitions})
        return {tp: SimpleNamespace(offset=offset) for tp, offset in found.items()}


def install() -> None:
    """For good, in a process that does nothing else."""
    assert not any(name.startswith("exness_streams.transport.kafka") for name in sys.modules), "it is too late"
    import aiokafka
    import aiokafka.admin
    import rocksdict
    from faust.stores import rocksdb

    from faust_floor.consumer import Consumer
    from faust_floor.disk import Handle, WriteBatch
    from faust_floor.producer import Producer

    aiokafka.AIOKafkaConsumer = Consumer
    aiokafka.AIOKafkaProducer = Producer
    aiokafka.admin.AIOKafkaAdminClient = Admin
    rocksdict.WriteBatch = WriteBatch
    rocksdb.RocksDBOptions.open = lambda self, path, *, read_only=False: Handle(str(path))
