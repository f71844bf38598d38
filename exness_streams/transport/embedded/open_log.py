"""The log of a directory, open while its app runs, with the topics as Faust describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from aiokafka.partitioner import DefaultPartitioner
from mode.utils.times import Seconds, want_seconds

from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import LogFault


class OpenLog:
    """What an app's consumer and producer share. conf: Faust's settings of the app."""

    def __init__(self, directory: Path, conf: Any) -> None:
        self.directory = directory
        self._conf = conf
        self._log: EmbeddedLog | None = None

    def open(self) -> None:
        """Raises LogLocked when another process has the directory, LogFault when it cannot be opened."""
        if self._log is None:
            self._log = EmbeddedLog.open(self.directory)

    def close(self) -> None:
        """Give the directory back."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    @property
    def fault(self) -> LogFault | None:
        """Why the log no longer works, if so."""
        return self._log.fault if self._log is not None else None

    @property
    def is_open(self) -> bool:
        """Whether records can be appended."""
        return self._log is not None

    @property
    def log(self) -> EmbeddedLog:
        """The log, while the app's producer runs."""
        if self._log is None:
            raise LogFault(f"the log in {self.directory} is not open: start the app first")
        return self._log

    @cached_property
    def partitioner(self) -> Callable[..., int]:
        """(key, all partitions, available ones) -> partition: Kafka's murmur2, unless the app has its own."""
        chosen: Callable[..., int] = self._conf.producer_partitioner or DefaultPartitioner()
        return chosen

    def partitions(self, topic: str) -> int:
        """A topic's number of partitions; a topic that nobody declared gets `topic_partitions` of them."""
        count = self.log.partitions(topic)
        if count is None:
            count = self._conf.topic_partitions
            self.log.declare(topic, count)
        return count

    def key_partition(self, topic: str, key: bytes | None) -> int:
        """The partition of a key, as Kafka's clients choose it (murmur2)."""
        partitions = list(range(self.partitions(topic)))
        return self.partitioner(key, partitions, partitions)

    def declare(
        self,
        topic: str,
        partitions: int,
        *,
        config: Mapping[str, Any] | None = None,
        retention: Seconds | None = None,
        compacting: bool | None = None,
        **_: Any,
    ) -> None:
        """Make a topic as Faust describes it. What Faust leaves open stays as it was."""
        known = self.log.topic_terms(topic)
        compact = compacting if compacting is not None else known is not None and known.compact
        if retention is not None:
            retention_ms: int | None = int(want_seconds(retention) * 1000)
        elif config and "retention.ms" in config:
            given = int(config["retention.ms"])
            retention_ms = None if given < 0 else given
        else:
            retention_ms = known.retention_ms if known is not None else None
        self.log.declare(topic, partitions, compact=compact, retention_ms=retention_ms)
