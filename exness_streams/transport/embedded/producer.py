"""Faust's producer on the embedded log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any

from faust.transport import base
from faust.types import TP, FutureMessage, RecordMetadata
from mode import Service

from exness_streams.transport.embedded.open_log import OpenLog
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord


class Producer(base.Producer):  # type: ignore[misc]
    """Appends to the log. It starts before the consumer and stops after it, so it opens and closes it."""

    @property
    def _held(self) -> OpenLog:
        held: OpenLog = self.transport.held
        return held

    async def on_start(self) -> None:
        self._held.open()
        await super().on_start()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        self._held.close()

    @Service.task  # type: ignore[untyped-decorator]
    async def _crash_on_log_fault(self) -> None:
        fault = await self._held.log.wait_for_fault()
        await self.app.crash(fault)

    async def create_topic(self, topic: str, partitions: int, replication: int, **terms: Any) -> None:
        self._held.declare(topic, partitions, **terms)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        return self._append(topic, key, value, partition, timestamp, headers)

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> RecordMetadata:
        return await (await self.send(*args, **kwargs))

    def send_soon(self, fut: FutureMessage) -> None:
        # What Topic.publish_message does, but now instead of in the buffer's task: so tables' changes and
        # events are on their way in the order of the calls, and `flush` has nothing to give up on.
        if not self._held.is_open:
            super().send_soon(fut)
            return
        message = fut.message
        channel = message.channel
        topic = channel.get_topic_name()
        state = self.app.sensors.on_send_initiated(
            self, topic, message=message, keysize=len(message.key or b""), valsize=len(message.value or b"")
        )
        sent = self._append(topic, message.key, message.value, message.partition, message.timestamp, message.headers)
        sent.add_done_callback(partial(self._on_sent_soon, fut, state))

    def _on_sent_soon(self, fut: FutureMessage, state: Any, sent: asyncio.Future[RecordMetadata]) -> None:
        fault = sent.exception()
        if fault is None:
            fut.message.channel._on_published(sent, message=fut, producer=self, state=state)
            return
        # The app crashes with the log's fault: it is not reported again for each message nobody awaits.
        fut.set_exception(fault)
        fut.exception()
        self.app.sensors.on_send_error(self, fault, state)

    def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> asyncio.Future[RecordMetadata]:
        if headers:
            raise LogFault(f"the embedded log keeps no headers, and a record for {topic} has some")
        count = self._held.partitions(topic)
        if partition is None:
            partition = self._held.partitioner(key, list(range(count)), list(range(count)))
        timestamp_s = time.time() if timestamp is None else timestamp
        tp = TP(topic, partition)
        return self._held.log.submit(
            [LogRecord(topic, key, value, partition, int(timestamp_s * 1000))],
            result=lambda offsets: RecordMetadata(topic, partition, tp, offsets[0], timestamp_s, 0),
        )

    async def flush(self) -> None:
        """Wait until everything sent before is durable."""
        await self.buffer.flush()
        # When the log has failed, each record's own future says so.
        with suppress(LogFault):
            await self._held.log.drained()

    def key_partition(self, topic: str, key: bytes) -> TP:
        return TP(topic, self._held.key_partition(topic, key))
