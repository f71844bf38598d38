"""Settings of a worker on Kafka: as the others, what is wrong is one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exness_streams.settings.kafka import KafkaSettings, load_kafka_settings
from exness_streams.settings.platform import ConfigError
from exness_streams.transport.faults import LogFault


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EXNESS_", "BACKPACK_", "PORT", "KAFKA_")):
            monkeypatch.delenv(name)


WRONG = [
    ("KAFKA_BROKERS", "", "host:port"),
    ("KAFKA_BROKERS", "localhost", "host:port"),
    ("KAFKA_BROKERS", "localhost:9092,other", "host:port"),
    ("KAFKA_BROKERS", "localhost:port", "host:port"),
    ("EXNESS_PARTITIONS", "0", "1 to 256"),
    ("EXNESS_REPLICATION_FACTOR", "0", "1 to 10"),
    ("EXNESS_STANDBY_REPLICAS", "-1", "0 to 10"),
    ("EXNESS_WORKER_ID", "a b", "letters, digits"),
    ("EXNESS_TOPIC_PREFIX", "a b", "letters, digits"),
    ("EXNESS_TOPIC_PREFIX", "p" * 65, "at most 64"),
    ("EXNESS_TOPIC_PREFIX", "größe-", "letters, digits"),
    ("EXNESS_WORKER_ID", "w" * 65, "1 to 64"),
    ("EXNESS_ADVERTISED_URL", "worker:4000", "http://"),
    ("EXNESS_ADVERTISED_URL", "http://worker", "http://"),
    ("EXNESS_SESSION_TIMEOUT_S", "0", "1 to 300"),
    ("EXNESS_KAFKA_TLS", "perhaps", "true or false"),
    ("EXNESS_KAFKA_SASL_MECHANISM", "GSSAPI", "SCRAM-SHA-256"),
]


@pytest.mark.parametrize(("variable", "value", "allowed"), WRONG)
def test_a_wrong_value_is_one_line(variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_kafka_settings()
    message = str(caught.value)
    assert message.startswith(f"{variable}={value} is not allowed; ")
    assert allowed in message
    assert "\n" not in message


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_kafka_settings()
    assert settings.kafka_brokers == ("localhost:9092",)
    assert (settings.partitions, settings.port) == (8, 4000)
    assert settings.worker_name.endswith("-4000")
    assert settings.own_url == "http://127.0.0.1:4000"
    assert settings.security().credentials() is None


def test_brokers_become_the_urls_of_our_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "one:9092, two:9093,[::1]:9094")
    assert (
        load_kafka_settings().broker_url == "fenced-kafka://one:9092;fenced-kafka://two:9093;fenced-kafka://[::1]:9094"
    )


def test_each_worker_has_tables_of_its_own(tmp_path: Path) -> None:
    first, second = (load_kafka_settings(data_dir=tmp_path, worker_id=name) for name in ("w1", "w2"))
    assert first.tables_dir != second.tables_dir
    assert first.tables_dir == load_kafka_settings(data_dir=tmp_path, worker_id="w1").tables_dir


def test_a_password_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_KAFKA_PASSWORD", "geheim")
    settings = load_kafka_settings()
    assert "geheim" not in repr(settings)
    with pytest.raises(LogFault) as caught:  # a password without a mechanism
        settings.security()
    assert "geheim" not in str(caught.value)


def test_every_kafka_setting_with_wrong_values_is_in_the_table() -> None:
    told = {variable for variable, _, _ in WRONG}
    anything_goes = {"kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "kafka_username", "kafka_password"}
    own = set(KafkaSettings.__annotations__) - anything_goes
    assert told == {"KAFKA_BROKERS" if name == "kafka_brokers" else f"EXNESS_{name.upper()}" for name in own}
