"""A topic that is otherwise than it is wanted: what is said can be done."""

from __future__ import annotations

import re
import shlex

import pytest

from exness_streams.transport.faults import Misconfigured
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, _check

CLUSTER = KafkaCluster(("one:9092", "two:9092"))
SECURED = KafkaCluster(("one:9092",), credentials=object())


def refused(
    cluster: KafkaCluster,
    wanted: KafkaTopic,
    partitions: int = 8,
    copies: int = 1,
    policy: str = "",
    size: int = 1_048_588,
) -> str:
    settings = {"cleanup.policy": policy or wanted.cleanup_policy, "max.message.bytes": str(size)}
    with pytest.raises(Misconfigured) as caught:
        _check(cluster, wanted, [copies] * partitions, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def command_in(said: str) -> list[str]:
    found = re.search(r"(kafka-[a-z]+\.sh .+)$", said)
    assert found is not None, said
    return shlex.split(found[1])


@pytest.mark.parametrize("topic", ["trading-journal", "staging-trading-events", "exness-streams-accounts-changelog"])
@pytest.mark.parametrize("found", [1, 4, 16])
def test_a_number_that_is_a_setting(topic: str, found: int) -> None:
    said = refused(CLUSTER, KafkaTopic(topic, 8), found)
    assert f"topic {topic} has {found} partition" in said
    assert f"set EXNESS_PARTITIONS={found}." in said
    assert "EXNESS_TOPIC_PREFIX" in said
    assert command_in(said) == [
        "kafka-topics.sh", "--bootstrap-server", "one:9092,two:9092", "--delete", "--topic", topic,
    ]  # fmt: skip


@pytest.mark.parametrize("topic", ["backpack-market-updates", "exness-streams-candles-changelog"])
def test_a_number_that_no_setting_changes(topic: str) -> None:
    said = refused(CLUSTER, KafkaTopic(topic, 1, is_one_by_design=True), 3)
    assert f"topic {topic} has 3 partitions, and must have 1" in said
    assert "EXNESS_PARTITIONS" not in said
    assert command_in(said)[-1] == topic


def test_another_cleanup_policy() -> None:
    said = refused(CLUSTER, KafkaTopic("trading-journal", 8), policy="compact")
    assert command_in(said)[3:] == [
        "--alter", "--entity-type", "topics", "--entity-name", "trading-journal",
        "--add-config", "cleanup.policy=delete",
    ]  # fmt: skip


def test_messages_that_would_be_too_small_for_a_large_account() -> None:
    """Else its transaction would fail after its client was told, at each start anew."""
    said = refused(CLUSTER, KafkaTopic("exness-streams-accounts-changelog", 8, compact=True), size=999_999)
    assert "max.message.bytes 999999" in said
    assert command_in(said)[-1] == "max.message.bytes=1048588"
    fits = {"cleanup.policy": "delete", "max.message.bytes": "1000000"}
    _check(CLUSTER, KafkaTopic("trading-events", 8), [1] * 8, fits)


def test_other_copies() -> None:
    said = refused(CLUSTER, KafkaTopic("trading-journal", 8, replication_factor=3))
    assert "set EXNESS_REPLICATION_FACTOR=1," in said


def test_brokers_that_want_credentials_want_them_of_the_tools_too() -> None:
    said = refused(SECURED, KafkaTopic("trading-journal", 8), 4)
    assert command_in(said)[3:5] == ["--command-config", "client.properties"]
