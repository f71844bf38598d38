"""What a worker on Kafka needs beyond the settings of every platform."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import NoDecode

from exness_streams.messages import Topics
from exness_streams.settings.platform import Settings, read_settings
from exness_streams.transport.kafka.security import KafkaSecurity

_ADDRESS = re.compile(r"[A-Za-z0-9_.\-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_WORKER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class KafkaSettings(Settings):
    """A worker's cluster, its name there, and how it is reached by the other workers."""

    kafka_brokers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("localhost:9092",),
        validation_alias=AliasChoices("KAFKA_BROKERS"),
        description="a comma-separated list of host:port",
    )
    partitions: int = Field(8, ge=1, le=256, description="a whole number from 1 to 256")
    topic_prefix: str = Field("", description="at most 64 letters, digits, dots, underscores or hyphens")
    replication_factor: int = Field(1, ge=1, le=10, description="a whole number from 1 to 10")
    standby_replicas: int = Field(1, ge=0, le=10, description="a whole number from 0 to 10")
    worker_id: str = Field("", description="1 to 64 letters, digits, dots, underscores or hyphens")
    advertised_url: str = Field("", description="the http:// or https:// URL under which other workers reach this one")
    session_timeout_s: float = Field(6.0, ge=1, le=300, description="a number of seconds from 1 to 300")
    kafka_tls: bool = Field(False, description="true or false")
    kafka_ca_file: Path | None = Field(None, description="a PEM file")
    kafka_certificate_file: Path | None = Field(None, description="a PEM file")
    kafka_key_file: Path | None = Field(None, description="a PEM file")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(None, description="a user name")
    kafka_password: str | None = Field(None, repr=False, description="a password")

    @field_validator("kafka_brokers", mode="before")
    @classmethod
    def _split_brokers(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("kafka_brokers")
    @classmethod
    def _check_brokers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(_ADDRESS.fullmatch(address) for address in value):
            raise ValueError("not an address")
        return value

    @field_validator("worker_id")
    @classmethod
    def _check_worker(cls, value: str) -> str:
        if value and not _WORKER.fullmatch(value):
            raise ValueError("not a name")
        return value

    @field_validator("topic_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if value and not _WORKER.fullmatch(value):
            raise ValueError("not a part of a name")
        return value

    @field_validator("advertised_url")
    @classmethod
    def _check_advertised(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/\s]+:\d{1,5}/?", value):
            raise ValueError("not a URL")
        return value.rstrip("/")

    @property
    def worker_name(self) -> str:
        """The same after each restart of the same worker: its static membership and its directory hang on it."""
        return self.worker_id or f"{socket.gethostname()}-{self.port}"

    @property
    def own_url(self) -> str:
        """Where other workers forward requests to."""
        return self.advertised_url or super().own_url

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """Hosts that requests may name: those of other workers come to the advertised one."""
        return (*super().own_hosts, urlsplit(self.own_url).hostname or self.host)

    @property
    def tables_dir(self) -> Path:
        """Faust's data directory; each worker has its own."""
        return self.data_dir.absolute() / "workers" / self.worker_name

    @property
    def topics(self) -> Topics:
        """The platform's topics."""
        return Topics.of(self.topic_prefix)

    def named(self, app_id: str) -> str:
        """An app's id: its consumer group, changelogs and transactional ids begin with it."""
        return self.topic_prefix + app_id

    @property
    def broker_url(self) -> str:
        """The brokers, as our transport for Faust takes them."""
        return ";".join(f"fenced-kafka://{address}" for address in self.kafka_brokers)

    def security(self) -> KafkaSecurity:
        """TLS and SASL. LogFault when its parts do not fit together."""
        return KafkaSecurity(
            tls=self.kafka_tls,
            ca_file=self.kafka_ca_file,
            certificate_file=self.kafka_certificate_file,
            key_file=self.kafka_key_file,
            sasl_mechanism=self.kafka_sasl_mechanism,
            username=self.kafka_username,
            password=self.kafka_password,
        )


def load_kafka_settings(**overrides: Any) -> KafkaSettings:
    """Read the environment; `overrides` win. ConfigError in one line."""
    return read_settings(KafkaSettings, overrides)
