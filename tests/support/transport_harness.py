"""What the transport tests share: a harness that gives them a log and apps on it, and agents that collect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Sized
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import faust

from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import CellLog

GIVE_UP_S = 60.0


class RecordRead(Protocol):
    """A driver's record."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Harness(Protocol):
    """One log for one test, which apps come and go on."""

    directory: Path

    def app(self, app_id: str, **settings: Any) -> faust.App:
        """A new app on this log: its tables in memory; it does not wait for agents, and crashes with them."""

    def cell_log(self, app: faust.App, topic: str) -> CellLog: ...
    async def declare(self, topic: str, partitions: int, *, compact: bool = False) -> None: ...
    async def produce(self, records: Sequence[LogRecord]) -> list[int]:
        """Write records (each with its partition); their offsets, once all are durable."""

    async def read(self, topic: str, partition: int) -> list[RecordRead]:
        """All there is, compacted where the topic is."""

    async def committed(self, group: str, topic: str, partition: int) -> int | None: ...
    async def trim(self, topic: str, partition: int, before_offset: int) -> None: ...
    async def restart(self) -> None:
        """End the log and start it again; no app is running."""


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true; TimeoutError when it does not."""

    async def look() -> bool:
        return bool(condition())

    await asyncio.wait_for(_poll(look), GIVE_UP_S)


async def until_committed(harness: Harness, group: str, topic: str, offset: int, partition: int = 0) -> None:
    async def look() -> bool:
        return await harness.committed(group, topic, partition) == offset

    await asyncio.wait_for(_poll(look), GIVE_UP_S)


async def _poll(look: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await look():
            return
        await asyncio.sleep(0.002)


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[faust.App]:
    await app.start()
    try:
        await until(lambda: app.tables.actives_ready and not app.rebalancing)
        yield app
    finally:
        await app.stop()


def raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    return app.topic(
        name,
        key_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        internal=True,
    )


def collect_single(app: faust.App, topic: str, partitions: int = 1) -> list[tuple[int, int, bytes | None]]:
    """An agent that keeps (partition, offset, value) of what it sees, in a list that is returned."""
    seen: list[tuple[int, int, bytes | None]] = []

    @app.agent(raw_topic(app, topic, partitions), name=f"single-{topic}")  # type: ignore[untyped-decorator]
    async def single(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            seen.append((message.partition, message.offset, event.value))

    return seen


def collect_batches(
    app: faust.App,
    topic: str,
    partitions: int = 1,
    on_batch: Callable[[Any], Awaitable[None]] | None = None,
) -> list[tuple[int, list[RecordRead]]]:
    """An agent that keeps (partition, records) of each batch, and acknowledges it after `on_batch`."""
    batches: list[tuple[int, list[RecordRead]]] = []
    app.batched_topics = {*getattr(app, "batched_topics", ()), topic}

    @app.agent(raw_topic(app, topic, partitions), name=f"batch-{topic}", isolated_partitions=True)  # type: ignore[untyped-decorator]
    async def batched(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            batches.append((event.message.partition, event.value))
            if on_batch is not None:
                await on_batch(event)
            await manual.ack(event)

    return batches


def offsets_in(batches: Sequence[tuple[int, Sequence[RecordRead]]], partition: int = 0) -> list[int]:
    return [record.offset for number, records in batches if number == partition for record in records]


async def until_count(items: Sized, count: int) -> None:
    await until(lambda: len(items) == count)


async def until_offsets(batches: Sequence[tuple[int, Sequence[RecordRead]]], count: int, partition: int = 0) -> None:
    """Until the batches of a partition hold `count` records."""
    await until(lambda: len(offsets_in(batches, partition)) == count)


def numbered(topic: str, first: int, end: int, partition: int = 0) -> list[LogRecord]:
    return [LogRecord(topic, b"key", b"%d" % n, partition) for n in range(first, end)]
