"""CellLog, FrameLog and the gateway's journal on the simulated brokers, as transport/kafka/commits.py behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from async_timeout import timeout

from exness_streams.transport.faults import CellReleased, LogFault, LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from exness_streams.transport.rejoining import Rejoining
from protocol.broker import Broker, Fenced
from protocol.loop import Process
from protocol.network import Link, Network, Unreachable

GROUP = "exness"
TRANSACTION_S = 10.0
COMMIT_S_MAX = 30.0
RELEASE_S_MAX = 3.0
ANSWER_S_MAX = 8.0
APPEND_S_MAX = 5.0
HEARD_S = 0.5


class Connection:
    """One process' way to the brokers."""

    def __init__(self, broker: Broker, network: Network, link: Link, owner: Process) -> None:
        self.broker = broker
        self.network = network
        self.link = link
        self.owner = owner

    def ask(self, channel: str, action: Callable[[], Any], timeout_s: float = ANSWER_S_MAX) -> asyncio.Future[Any]:
        return self.network.send(self.owner, self.link, channel, action, timeout_s)

    async def first_value(
        self, topic: str, partition: int, first: int, is_wanted: Callable[[bytes | None], bool]
    ) -> bytes | None:
        """As the transport's."""
        log = self.broker.logs[topic, partition]

        def look() -> bytes | None:
            found, _ = log.read(first, 1_000_000)
            return next((record.value for record in found if is_wanted(record.value)), None)

        try:
            value: bytes | None = await self.ask(f"journal-{partition}", look)
        except Unreachable as error:
            raise LogFault(f"the brokers can't be reached: {error}") from error
        return value


class Transactions:
    """Those of one fenced cell, by the producer that was started for it."""

    def __init__(self, connection: Connection, topic: str, partition: int, epoch: int) -> None:
        self.connection = connection
        self.name = f"{topic}-{partition}"
        self.epoch = epoch
        self._topic = topic
        self._partition = partition
        self._fault: LogFault | None = None

    async def __call__(self, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        if self._fault is not None:
            raise self._fault.for_waiter(False)
        try:
            async with timeout(COMMIT_S_MAX):
                return await self._transact(records, next_offset)
        except asyncio.TimeoutError as error:
            raise LogFault(f"{self.name} was not committed in time", written=None) from error

    async def _transact(self, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        deciding = False
        try:
            written = await self._write(records, next_offset)
            deciding = True
            await self._end(commit=True)
        except BaseException as error:
            fault = self._fault_of(error, None if deciding else False)
            if deciding or not await self._rolled_back():
                self._fault = fault
            if isinstance(error, (Fenced, Unreachable)):
                raise fault from error
            raise
        return written

    async def _write(self, records: Sequence[LogRecord], next_offset: int) -> list[int]:
        broker, network = self.connection.broker, self.connection.network

        def write() -> list[int]:
            offsets = {(GROUP, self._topic, self._partition): next_offset}
            txn, written = broker.write(self.name, self.epoch, records, self._partition, offsets)
            network.later(TRANSACTION_S, broker.expire, self.name, txn)
            return written

        found: list[int] = await self.connection.ask(self.name, write)
        return found

    async def _end(self, *, commit: bool) -> None:
        await self.connection.ask(self.name, lambda: self.connection.broker.end(self.name, self.epoch, commit=commit))

    async def _rolled_back(self) -> bool:
        try:
            async with timeout(RELEASE_S_MAX):
                await self._end(commit=False)
        except (Fenced, Unreachable, KeyError, asyncio.TimeoutError):
            return False
        return True

    def _fault_of(self, error: BaseException, written: bool | None) -> LogFault:
        if isinstance(error, Fenced):
            return LogFenced(f"{self.name} was taken over by another worker", written=written)
        return LogFault(f"{self.name} could not be committed: {error}", written=written)


class Ownership:
    """Of one partition, by the group."""

    def __init__(self, log: SimCellLog, partition: int, rejoining: Rejoining) -> None:
        self._log, self._partition = log, partition
        self.asks_again_in_s, self.ask_again = rejoining.asks_again_in_s, rejoining.ask_again

    async def committed(self) -> int | None:
        try:
            committed: int | None = await self._log.ask_committed(self._partition)
        except Unreachable as error:
            raise LogFault(f"the brokers can't be reached: {error}") from error
        return committed

    async def holds_nothing(self, first: int, end: int) -> bool:
        log, topic = self._log, self._log.topic
        part = log.connection.broker.logs[topic, self._partition]

        def look() -> bool:
            found, _ = part.read(first, 1)
            return part.start <= first and part.stable_end() >= end and (not found or found[0].offset >= end)

        try:
            is_hole: bool = await log.connection.ask(f"{topic}-{self._partition}", look)
        except Unreachable as error:
            raise LogFault(f"the brokers can't be reached: {error}") from error
        return is_hole


class SimCellLog:
    """CellLog of one process and one input topic."""

    def __init__(self, connection: Connection, topic: str, rejoining: Rejoining) -> None:
        self.connection = connection
        self.topic = topic
        self._rejoining = rejoining
        self._leases: dict[int, Lease] = {}

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        wanted = sorted(set(partitions))
        await self.release(wanted)
        for partition in wanted:
            self._leases[partition] = await self._take(partition)
        return {partition: self._leases[partition] for partition in wanted}

    async def _take(self, partition: int) -> Lease:
        broker, name = self.connection.broker, f"{self.topic}-{partition}"
        try:
            epoch = await self.connection.ask(name, lambda: broker.start_producer(name))
            committed = await self.ask_committed(partition)
        except Unreachable as error:
            raise LogFault(f"the brokers can't be reached: {error}") from error
        return self.lease_of(partition, committed, Transactions(self.connection, self.topic, partition, epoch))

    async def ask_committed(self, partition: int) -> Any:
        place, offsets = (GROUP, self.topic, partition), self.connection.broker.offsets
        return await self.connection.ask(f"{self.topic}-{partition}", lambda: offsets.get(place))

    def lease_of(self, partition: int, committed: int | None, transactions: Transactions) -> Lease:
        ownership = Ownership(self, partition, self._rejoining)
        name = transactions.name
        return Lease(partition, name, committed, transactions, fenced_wait_s=HEARD_S, ownership=ownership)

    async def take_over(self, partitions: Iterable[int]) -> None:
        assigned = set(partitions)
        await self.release(sorted(self._leases.keys() - assigned))
        await self.fence(assigned)

    def lease(self, partition: int) -> Lease:
        lease = self._leases.get(partition)
        if lease is None:
            raise CellReleased(f"partition {partition} of {self.topic} is not this worker's (any more)")
        return lease

    async def quiesce(self, partitions: Iterable[int]) -> None:
        await asyncio.gather(*(_quiesce(self._leases[one]) for one in partitions if one in self._leases))

    async def release(self, partitions: Iterable[int]) -> None:
        released = [self._leases.pop(partition) for partition in partitions if partition in self._leases]
        for lease in released:
            lease.end()
        await asyncio.gather(*(_quiesce(lease) for lease in released))


async def _quiesce(lease: Lease) -> None:
    with suppress(asyncio.TimeoutError):  # the next owner's fence decides the transaction
        async with timeout(RELEASE_S_MAX):
            await lease.quiesce()


class SimFrameLog:
    """FrameLog of one process: records of each partition in order, but partitions each in their own time."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self.topic = topic

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        broker = self._connection.broker
        by_partition: dict[tuple[str, int], list[LogRecord]] = {}
        for record in records:
            assert record.partition is not None
            by_partition.setdefault((record.topic, record.partition), []).append(record)

        def write(tp: tuple[str, int]) -> None:
            for record in by_partition[tp]:
                broker.logs[tp].append(record.key, record.value, None)

        sent = [
            self._connection.ask(f"frames-{tp[1]}", lambda tp=tp: write(tp), COMMIT_S_MAX)  # type: ignore[misc]
            for tp in by_partition
        ]
        failed = [one for one in await asyncio.gather(*sent, return_exceptions=True) if one is not None]
        if failed:
            raise LogFault(f"frames could not be written: {failed[0]}", written=None)

    def framed_end(self, partition: int) -> None:
        return None


def journal_of(connection: Connection, topic: str) -> Callable[..., Any]:
    """The gateway's: appends, and the future that is done once it is durable."""

    async def append(partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        def write() -> int:
            return connection.broker.logs[topic, partition].append(account_id.encode(), value, None)

        async def durable() -> object:
            try:
                return await connection.ask(f"journal-{partition}", write, APPEND_S_MAX)
            except Unreachable as error:
                raise LogFault(f"a record was not acknowledged: {error}", written=None) from error

        return asyncio.ensure_future(durable())

    return append
