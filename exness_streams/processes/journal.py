"""`exness-streams journal`: what a partition of the journal holds, as a person and `jq` can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from exness_streams.audit.kafka import cell_count
from exness_streams.domain import codec, rules
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.repairs import Unreadable, read_record
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader
from exness_streams.transport.faults import Misconfigured
from exness_streams.transport.kafka.reader import kafka_reader
from exness_streams.transport.kafka.topics import KafkaCluster

SHOWN_BYTES = 200


class Wanted(NamedTuple):
    """Which records. first: an offset, None: so that the last is the newest. most: how many."""

    partition: int
    first: int | None
    most: int

    def within(self, start: int, end: int) -> tuple[int, int]:
        """From which offset to before which, of a journal from `start` to before `end`. Misconfigured."""
        if self.first is None:
            return max(start, end - self.most), end
        if start <= self.first < end:
            return self.first, min(end, self.first + self.most)
        there = f"has records {start} to {end - 1}" if start < end else "has no record"
        raise Misconfigured(f"--from {self.first}: partition {self.partition} of the journal {there}")

    def check(self, partitions: int) -> None:
        """Misconfigured for a partition that there is not."""
        if self.partition >= partitions:
            there = f"the highest of the journal's is {partitions - 1}" if partitions else "there is no journal yet"
            raise Misconfigured(f"--partition {self.partition}: {there}")


def line_of(partition: int, offset: int, value: bytes | None) -> str:
    """A record as one JSON object: as it stands in the journal, unpacked, or why it can't be read."""
    told: dict[str, Any] = {"partition": partition, "offset": offset}
    try:
        read_record(partition, rules.NEWEST, offset, value)
        told["record"] = msgspec.Raw(codec.as_json(value or b""))
    except Unreadable as fault:
        told |= {"unreadable": fault.why, "bytes": None if value is None else in_one_line(value, SHOWN_BYTES)}
    return codec.encode(told).decode()


def embedded_records(log_dir: Path, wanted: Wanted) -> list[str]:
    """LogFault, Misconfigured."""
    tp = JOURNAL_TOPIC, wanted.partition
    with LogReader(log_dir).snapshot() as snapshot:
        wanted.check(snapshot.topics().get(JOURNAL_TOPIC, 0))
        first, end = wanted.within(snapshot.start(tp), snapshot.end(tp))
        found: list[str] = []
        for record in snapshot.records(tp, first):
            if record.offset >= end:
                break
            found.append(line_of(wanted.partition, record.offset, record.value))
        return found


async def cluster_records(cluster: KafkaCluster, wanted: Wanted) -> list[str]:
    """LogFault, Misconfigured."""
    found: list[str] = []

    def take(record: Any) -> bool:
        found.append(line_of(wanted.partition, record.offset, record.value))
        return False

    async with kafka_reader(cluster) as reader:
        wanted.check(await cell_count(reader, cluster))
        first, end = wanted.within(*await reader.bounds(cluster.topics.journal, wanted.partition))
        await reader.read(cluster.topics.journal, wanted.partition, first, end, take)
    return found
