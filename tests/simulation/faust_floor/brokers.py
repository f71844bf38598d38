"""The protocol floor's brokers with what Kafka's clients need: topics, and transactions of several requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from protocol.broker import Broker, Transaction

Record = tuple[bytes | None, bytes | None]
"""key, value"""


class Declared(NamedTuple):
    """A topic."""

    partitions: int
    replication: int
    settings: dict[str, str]


class KafkaBrokers(Broker):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(note)
        self.topics: dict[str, Declared] = {}

    def create(self, name: str, partitions: int, replication: int, settings: dict[str, str]) -> bool:
        """False: it is there already, and stays as it is."""
        if name in self.topics:
            return False
        self.topics[name] = Declared(partitions, replication, settings)
        return True

    def append_to(self, name: str, epoch: int, tp: tuple[str, int], records: Sequence[Record]) -> int:
        """Records in the transaction of `name`, which begins with its first; the first one's offset. Fenced."""
        txn = self._of(name, epoch)
        part = self.logs[tp]
        if part not in txn.parts:
            txn.parts.append(part)
        first = part.end
        for key, value in records:
            part.append(key, value, txn)
        return first

    def offsets_to(self, name: str, epoch: int, offsets: dict[tuple[str, str, int], int]) -> None:
        """Offsets in the transaction of `name`. Fenced."""
        self._of(name, epoch).offsets.update(offsets)

    def _of(self, name: str, epoch: int) -> Transaction:
        self._check(name, epoch)
        if name not in self._open:
            self._open[name] = Transaction(name)
        return self._open[name]

    def begun(self, name: str) -> Transaction | None:
        """The open one."""
        return self._open.get(name)

    def decide(self, name: str, epoch: int, *, commit: bool) -> None:
        """Nothing when there is none: it was decided by an earlier try of the same request. Fenced."""
        self._check(name, epoch)
        if name in self._open:
            self.end(name, epoch, commit=commit)
