"""aiokafka as the engine uses it beside confluent-kafka, and a mixture: orders and ticks on one broker, in turns.

An order here: a record is appended to a journal (acks=all), a read_committed consumer gets it, and its cell commits
{changelog row, event, meta, the journal's next offset} in one transaction, behind the engine's lease; a cell that is
busy takes what has gathered with its next one. Nothing is folded. docs/decisions/0027 says what follows from it. Four
minutes; `--quick`, two. Needs Java and Maven, and confluent-kafka from the dev extra.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Producer
from figures import circumstances, shown
from kafka_bare_path import make_topics, run_on_uvloop
from kafka_confluent import SETTINGS, ConfluentAppender, ConfluentCellLog, ConfluentReader
from order_latency import CLIENTS
from running_cluster import PARTITIONS, RunningBroker

from exness_streams.transport.faults import LogFenced
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog
from exness_streams.transport.kafka.consumer_thread import FETCH_WAIT_MS_MAX
from exness_streams.transport.kafka.topics import KafkaCluster
from exness_streams.transport.leases import Lease

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 4
WARM_UP_S, DURATION_S = 1.0, 3.0 if QUICK else 6.0
TICKS = 150_000 if QUICK else 500_000

COMMAND, ROW, META, EVENT, TICK = b"c" * 300, b"r" * 600, b"m" * 300, b"e" * 400, b"t" * 170
"""About as long as the engine's are."""


class Record(NamedTuple):
    """As it was fetched."""

    partition: int
    offset: int
    key: bytes
    value: bytes


Take = Callable[[list[Record]], None]


class Reader(Protocol):
    """A read_committed consumer that hands over what it has, in the event loop."""

    async def close(self) -> None:
        """Fetch no more."""


class Client(Protocol):
    """One of the two."""

    async def append(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        """Returns once it is acknowledged."""

    async def read(self, topic: str, partitions: int, take: Take) -> Reader:
        """From the beginning."""

    async def fence(self, topic: str, group: str, partitions: Iterable[int]) -> Mapping[int, Lease]:
        """Anew each time, as another worker would."""

    async def close(self) -> None:
        """Connections, threads."""


class Aiokafka:
    """As the engine's transport uses it."""

    def __init__(self, brokers: str, producer: Any) -> None:
        self._cluster, self._producer = KafkaCluster((brokers,)), producer
        self._logs: list[KafkaCellLog] = []

    @classmethod
    async def start(cls, brokers: str) -> Client:
        """Connected."""
        producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True, acks="all", linger_ms=0)
        await producer.start()
        return cls(brokers, producer)

    async def append(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        await self._producer.send_and_wait(topic, value, key, partition)

    async def read(self, topic: str, partitions: int, take: Take) -> Reader:
        consumer = AIOKafkaConsumer(
            **self._cluster.client_settings,
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        return _AiokafkaReader(consumer, take)

    async def fence(self, topic: str, group: str, partitions: Iterable[int]) -> Mapping[int, Lease]:
        self._logs.append(KafkaCellLog(self._cluster, topic, group))
        return await self._logs[-1].fence(partitions)

    async def close(self) -> None:
        await self._producer.stop()
        for log in self._logs:
            await log.close()


class _AiokafkaReader:
    def __init__(self, consumer: Any, take: Take) -> None:
        self._consumer, self._take = consumer, take
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=1_000, max_records=500)).items():
                self._take([Record(tp.partition, one.offset, one.key, one.value) for one in records])

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._consumer.stop()


class Confluent:
    """By kafka_confluent.py."""

    def __init__(self, brokers: str) -> None:
        self._brokers, self._appender = brokers, ConfluentAppender(brokers)
        self._logs: list[ConfluentCellLog] = []

    @classmethod
    async def start(cls, brokers: str) -> Client:
        """It connects by itself."""
        return cls(brokers)

    async def append(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        await self._appender.append(topic, partition, key, value)

    async def read(self, topic: str, partitions: int, take: Take) -> Reader:
        def convert(messages: list[Any]) -> None:
            take([Record(one.partition(), one.offset(), one.key(), one.value()) for one in messages])

        return ConfluentReader(self._brokers, topic, dict.fromkeys(range(partitions), 0), convert)

    async def fence(self, topic: str, group: str, partitions: Iterable[int]) -> Mapping[int, Lease]:
        self._logs.append(ConfluentCellLog(self._brokers, topic, group))
        return await self._logs[-1].fence(partitions)

    async def close(self) -> None:
        await self._appender.close()
        for log in self._logs:
            await log.close()


class Mixed(Aiokafka):
    """aiokafka, but for the cells' transactions: how a worker would be whose group stays Faust's."""

    def __init__(self, brokers: str, producer: Any) -> None:
        super().__init__(brokers, producer)
        self._brokers = brokers
        self._fenced: list[ConfluentCellLog] = []

    async def fence(self, topic: str, group: str, partitions: Iterable[int]) -> Mapping[int, Lease]:
        self._fenced.append(ConfluentCellLog(self._brokers, topic, group))
        return await self._fenced[-1].fence(partitions)

    async def close(self) -> None:
        await super().close()
        for log in self._fenced:
            await log.close()


CLIENTS_BY_NAME: dict[str, Callable[[str], Awaitable[Client]]] = {
    "aiokafka": Aiokafka.start,
    "confluent-kafka": Confluent.start,
    "mixed": Mixed.start,
}
"""The first is what the others are held against."""


class Cell:
    """Commits what has come for one partition, one transaction at a time."""

    def __init__(self, lease: Lease, topics: Topics) -> None:
        self._lease, self._topics = lease, topics
        self._came = asyncio.Event()
        self._records: list[tuple[Record, asyncio.Future[None]]] = []
        self.durations_ms: list[float] = []
        self.running = asyncio.ensure_future(self._run())

    def add(self, record: Record, committed: asyncio.Future[None]) -> None:
        """Wait for the next transaction."""
        self._records.append((record, committed))
        self._came.set()

    async def _run(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            taken, self._records = self._records, []
            entries = [LogRecord(self._topics.changelog, record.key, ROW) for record, _ in taken]
            events = [LogRecord(self._topics.events, record.key, EVENT) for record, _ in taken]
            meta = LogRecord(self._topics.changelog, b"meta", META)
            begun_s = time.monotonic()
            await self._lease.commit([*entries, meta, *events], taken[-1][0].offset + 1)
            self.durations_ms.append((time.monotonic() - begun_s) * 1000)
            for _, committed in taken:
                committed.set_result(None)


class Topics(NamedTuple):
    """Of one round."""

    journal: str
    changelog: str
    events: str


class Orders:
    """Some clients, each of which appends its next order once the one before is committed."""

    def __init__(self, client: Client, topics: Topics, clients: int) -> None:
        self._client, self._topics, self._clients = client, topics, clients
        self._read: dict[bytes, asyncio.Future[Record]] = {}
        self.read_ms: list[float] = []
        self.committed_ms: list[float] = []

    async def run(self, broker: RunningBroker) -> dict[str, float]:
        """Figures by name."""
        leases = await self._client.fence(self._topics.journal, self._topics.journal, range(PARTITIONS))
        self._cells = {number: Cell(lease, self._topics) for number, lease in leases.items()}
        reader = await self._client.read(self._topics.journal, PARTITIONS, self._take)
        failing = asyncio.gather(*(cell.running for cell in self._cells.values()))
        trading = asyncio.gather(*(self._trade(number) for number in range(self._clients)), self._watch(broker))
        try:
            await asyncio.wait({failing, trading}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
            await trading
        finally:
            trading.cancel()
            failing.cancel()
            await asyncio.gather(trading, failing, return_exceptions=True)
            await reader.close()
        return self._figures()

    def _take(self, records: list[Record]) -> None:
        for record in records:
            self._read.pop(record.key).set_result(record)

    async def _watch(self, broker: RunningBroker) -> None:
        self._begin_s = time.monotonic() + WARM_UP_S
        await asyncio.sleep(WARM_UP_S)
        self._threads = threads()
        cpu_s, broker_s, count = time.process_time(), broker.cpu_s(), self._transactions()
        await asyncio.sleep(DURATION_S)
        self._count = self._transactions() - count
        self._cpu_s, self._broker_s = time.process_time() - cpu_s, broker.cpu_s() - broker_s

    def _transactions(self) -> int:
        return sum(len(cell.durations_ms) for cell in self._cells.values())

    async def _trade(self, number: int) -> None:
        partition, count, loop = number % PARTITIONS, 0, asyncio.get_running_loop()
        end_s = time.monotonic() + WARM_UP_S + DURATION_S
        while (begun_s := time.monotonic()) < end_s:
            count += 1
            key = b"%d-%d" % (number, count)
            read = self._read[key] = loop.create_future()
            appended = asyncio.ensure_future(self._client.append(self._topics.journal, partition, key, COMMAND))
            record = await read
            read_s = time.monotonic()
            committed = loop.create_future()
            self._cells[partition].add(record, committed)
            await committed
            await appended
            if self._begin_s <= begun_s and (now_s := time.monotonic()) < end_s:
                self.read_ms.append((read_s - begun_s) * 1000)
                self.committed_ms.append((now_s - begun_s) * 1000)

    def _figures(self) -> dict[str, float]:
        durations = [one for cell in self._cells.values() for one in cell.durations_ms]
        orders = len(self.committed_ms)
        return {
            "append → read, p50, ms": percentile(self.read_ms, 50),
            "append → read, p99, ms": percentile(self.read_ms, 99),
            "a transaction, p50, ms": percentile(durations, 50),
            "append → committed, p50, ms": percentile(self.committed_ms, 50),
            "append → committed, p99, ms": percentile(self.committed_ms, 99),
            "orders/s": orders / DURATION_S,
            "transactions an order": self._count / orders,
            "threads": self._threads,
            "client's CPU, ms an order": self._cpu_s / orders * 1000,
            "broker's CPU, ms a transaction": self._broker_s / self._count * 1000,
        }


async def fetch(client: Client, topic: str) -> dict[str, float]:
    """All ticks of one partition, from the first that comes to the last."""
    done = asyncio.get_running_loop().create_future()
    counted, begun_s, cpu_s = 0, 0.0, 0.0

    def take(records: list[Record]) -> None:
        nonlocal counted, begun_s, cpu_s
        if not counted:
            begun_s, cpu_s = time.monotonic(), time.process_time()
        counted += len(records)
        if counted >= TICKS and not done.done():
            done.set_result((time.monotonic() - begun_s, time.process_time() - cpu_s))

    reader = await client.read(topic, 1, take)
    try:
        wall_s, used_s = await asyncio.wait_for(done, 120)
    finally:
        await reader.close()
    return {"records/s": TICKS / wall_s, "client's CPU, µs a record": used_s / TICKS * 1e6}


async def takeover(client: Client, topics: Topics) -> dict[str, float]:
    """Fence all cells, and again: RuntimeError when the first owner can still commit."""
    row = [LogRecord(topics.changelog, b"row", ROW)]
    former = await client.fence(topics.journal, f"{topics.journal}-fence", range(PARTITIONS))
    for lease in former.values():
        await lease.commit(row, 1)
    begun_s = time.monotonic()
    owner = await client.fence(topics.journal, f"{topics.journal}-fence", range(PARTITIONS))
    fence_ms = (time.monotonic() - begun_s) * 1000
    for number, lease in former.items():
        if owner[number].committed != 1:
            raise RuntimeError("the new owner does not know how far the former one had come")
        try:
            await lease.commit(row, 2)
        except LogFenced:
            continue
        except Exception as error:
            raise RuntimeError("the former owner was refused, but not told that it is fenced") from error
        raise RuntimeError("the former owner can still commit")
    return {f"fence {PARTITIONS} cells and read their offsets, ms": fence_ms}


def threads() -> int:
    """Of this process, those of C libraries too; 0 where the system does not tell in /proc."""
    return len(list(Path("/proc/self/task").glob("*")))


def percentile(values: list[float], percent: float) -> float:
    """The value that `percent` of all did not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def fill(brokers: str, topic: str) -> None:
    """Write the ticks that `fetch` reads."""
    producer = Producer(
        {**SETTINGS, "bootstrap.servers": brokers, "linger.ms": 5, "queue.buffering.max.messages": TICKS}
    )
    for _ in range(TICKS):
        producer.produce(topic, TICK, b"SOL_USDC", 0)
    if producer.flush(60):
        raise TimeoutError("the ticks were not written")


Found = dict[str, dict[str, list[float]]]
"""By figure, then by client: one value a round."""


async def one_turn(found: Found, name: str, nth: int, broker: RunningBroker) -> None:
    """Everything, with one client."""
    for clients in (1, CLIENTS):
        prefix = f"{name}-{nth}-{clients}"
        topics = Topics(*(f"{prefix}-{kind}" for kind in Topics._fields))
        await make_topics(KafkaCluster((broker.address,)), dict.fromkeys(topics, PARTITIONS))
        client = await CLIENTS_BY_NAME[name](broker.address)
        try:
            label = f"{clients} client{'s' if clients > 1 else ''}"
            _note(found, name, label, await Orders(client, topics, clients).run(broker))
            if clients == 1:
                _note(found, name, "takeover", await takeover(client, topics))
        finally:
            await client.close()
    client = await CLIENTS_BY_NAME[name](broker.address)
    try:
        _note(found, name, "ticks", await fetch(client, "ticks"))
    finally:
        await client.close()


def _note(found: Found, name: str, what: str, figures: Mapping[str, float]) -> None:
    for figure, value in figures.items():
        found.setdefault(f"{what}: {figure}", {}).setdefault(name, []).append(value)


async def measure(found: Found, broker: RunningBroker) -> None:
    """Turn after turn: A, B, C, A, B, C."""
    await make_topics(KafkaCluster((broker.address,)), {"ticks": 1})
    await asyncio.get_running_loop().run_in_executor(None, fill, broker.address, "ticks")
    for nth in range(ROUNDS):
        for name in CLIENTS_BY_NAME:
            await one_turn(found, name, nth, broker)
            gc.collect()  # librdkafka's threads end with the objects


def table(found: Found) -> str:
    """Means over the rounds; the ratios with their extremes in single rounds."""
    first, *others = CLIENTS_BY_NAME
    lines = [
        "| figure | " + " | ".join(CLIENTS_BY_NAME) + " | " + " | ".join(f"{one} ÷ {first}" for one in others) + " |",
        "|---|" + "---:|" * len(CLIENTS_BY_NAME) + "---|" * len(others),
    ]
    for figure, values in found.items():
        cells = [shown(fmean(rounds)) for rounds in values.values()]
        for other in others:
            ratios = sorted(b / a for a, b in zip(values[first], values[other], strict=True))
            ratio = fmean(values[other]) / fmean(values[first])
            cells.append(f"{shown(ratio)} ({shown(ratios[0])} to {shown(ratios[-1])})")
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as made, RunningBroker(Path(made) / "kafka") as broker:
        run_on_uvloop(measure(found, broker))
    print(table(found))
    print(circumstances(), file=sys.stderr)


if __name__ == "__main__":
    main()
