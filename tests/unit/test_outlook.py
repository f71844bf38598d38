"""What a client that has just come finds where no broker lets it in; inside, the tests on a real one look."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from ports import free_port

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka import outlook as module
from exness_streams.transport.kafka.outlook import Sky, explained, outlook, seen, thin_partitions
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaUnreachable


@pytest.fixture
def nobody() -> KafkaCluster:
    """Two addresses, and no broker at either."""
    return KafkaCluster((f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"))


async def test_brokers_that_are_away(nobody: KafkaCluster) -> None:
    found = await outlook(nobody, "group", ["topic"])
    assert found.sky is Sky.AWAY
    assert all(address in found.words for address in nobody.addresses)
    assert found.words.endswith("start the brokers, or correct KAFKA_BROKERS")


@pytest.mark.parametrize("error", [SaslAuthenticationFailed("invalid credentials"), ssl.SSLError("unknown authority")])
async def test_one_that_refuses_tells_more_than_one_that_is_away(
    nobody: KafkaCluster, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    errors = iter([KafkaConnectionError("nobody"), error])

    async def refuse(host: str, port: int, **_: Any) -> None:
        raise next(errors)

    monkeypatch.setattr(module, "create_conn", refuse)
    found = await outlook(nobody)
    assert found.sky is Sky.REFUSED
    assert nobody.addresses[1] in found.words
    assert nobody.addresses[0] not in found.words
    assert "EXNESS_KAFKA_PASSWORD" in found.words


async def test_a_fault_that_says_no_more_than_that_is_explained(nobody: KafkaCluster) -> None:
    told = await explained(nobody, KafkaUnreachable("no broker (TimeoutError)"))
    assert isinstance(told, KafkaUnreachable)
    assert str(told).startswith(
        f"no Kafka broker can be used at {', '.join(nobody.addresses)}: none takes a connection"
    )


async def test_other_faults_are_left_as_they_are(nobody: KafkaCluster) -> None:
    for failed in (None, LogFault("the disk is full"), OSError(98, "Address already in use")):
        assert await explained(nobody, failed) is failed


def partition(leader: int, replicas: int, in_sync: int) -> dict[str, Any]:
    return {"partition": 4, "leader": leader, "replicas": [*range(replicas)], "isr": [*range(in_sync)]}


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (partition(1, 3, 3), ""),
        (partition(1, 3, 2), ""),
        (partition(1, 1, 1), ""),
        (partition(-1, 1, 1), "partition 4 of journal has no leader"),
        (partition(1, 3, 1), "partition 4 of journal has 1 of 3 replicas in sync"),
    ],
)
def test_partitions_that_take_no_record(known: dict[str, Any], words: str) -> None:
    found = list(thin_partitions("journal", [known]))
    assert bool(found) == bool(words)
    assert not words or found[0].startswith(words)


@pytest.mark.parametrize(("error_code", "is_seen"), [(0, True), (5, True), (3, False), (29, False)])
def test_topics_that_are_there(error_code: int, is_seen: bool) -> None:
    assert seen({"error_code": error_code}) == is_seen
