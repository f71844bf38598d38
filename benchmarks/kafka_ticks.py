"""Ticks on Kafka: those that waited while no worker was there, beside those that come while one runs, in one run.

Needs Java and Maven (tests/support/broker.py). Broker and worker are processes of their own; this one writes the ticks.
`--code DIRECTORY` runs the worker's code from another checkout as well (the commit before), in turns.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from figures import Figure, report
from running_cluster import RunningBroker, RunningEngine

from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.messages import JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder

TICKS, WARM_UP_TICKS = 200_000, 1_000
ROUNDS = 2
MARKETS = {"SOL_USDC": Decimal("150.00"), "BTC_USDC": Decimal("65000.0"), "ETH_USDC": Decimal("3500.00")}
REST_S = 12.0
"""Between the ticks that a worker runs for and its end: prices come at a quiet pace then."""

TIMEOUT_S = 300.0


class Worker(RunningEngine):
    """An engine whose code may be another checkout's, on topics of its own."""

    ready_look_s = 0.2  # it is measured as it starts

    def __init__(self, data_dir: Path, brokers: str, prefix: str, code: Path | None) -> None:
        super().__init__(data_dir, brokers, code)
        self._environment["EXNESS_TOPIC_PREFIX"] = prefix
        self._environment["BACKPACK_REST_URL"] = ""

    def end(self) -> None:
        """As a machine that is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def walk(draw: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Ticks of three symbols that walk: (key, value) of each."""
    middles, number = dict(MARKETS), 0
    while True:
        number += 1
        symbol = tuple(MARKETS)[number % len(MARKETS)]
        middles[symbol] += MARKETS[symbol] * draw.randint(-5, 5) / 100_000
        middle, now_us = middles[symbol], time.time_ns() // 1_000
        cent = Decimal("0.01")
        tick = MarketDataMessage(symbol, middle, now_us // 1_000, now_us + number, None, middle - cent, middle + cent)
        yield symbol.encode(), json_encoder.encode(tick)


async def publish(brokers: str, topic: str, ticks: Iterator[tuple[bytes, bytes]], count: int) -> None:
    """As fast as the broker takes them."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=5, max_batch_size=1 << 20)
    await producer.start()
    try:
        sent = None
        for _ in range(count):
            key, value = next(ticks)
            sent = await producer.send(topic, value, key=key, partition=0)
        if sent is not None:
            await sent
    finally:
        await producer.stop()


class Framed(NamedTuple):
    """Ticks a second, and the worker's CPU for each, from the first frame of them to the last; how many frames."""

    per_s: float
    cpu_us: float
    frames: int


class FrameWatch:
    """Follows a cell's journal in a thread, from where it ends. The worker itself is asked nothing while it is
    measured: an answer of /metrics costs it as much as some hundred ticks."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self._brokers, self._tp = brokers, TopicPartition(prefix + JOURNAL_TOPIC, 0)
        self._pool, self._is_there = ThreadPoolExecutor(1), threading.Event()

    def follow(self, worker: Worker, begin: int, end: int) -> Future[Framed]:
        """Of the ticks from one offset to another. Returns once it is there; the worker may begin."""
        framed = self._pool.submit(lambda: asyncio.run(self._follow(worker, begin, end)))
        while not self._is_there.wait(0.1) and not framed.done():
            pass
        return framed

    async def _follow(self, worker: Worker, begin: int, end: int) -> Framed:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._brokers, enable_auto_commit=False)
        consumer.assign([self._tp])
        await consumer.start()
        try:
            await consumer.seek_to_end(self._tp)
            await consumer.position(self._tp)
            self._is_there.set()
            return await asyncio.wait_for(self._frames(consumer, worker, begin, end), TIMEOUT_S)
        finally:
            await consumer.stop()

    async def _frames(self, consumer: AIOKafkaConsumer, worker: Worker, begin: int, end: int) -> Framed:
        reached, first, frames = begin, None, 0
        async for record in consumer:
            frame = decode_record(record.value)
            if not isinstance(frame, PriceFrame) or frame.to_offset <= reached:
                continue
            reached, frames, now_s = frame.to_offset, frames + 1, record.timestamp / 1000
            if first is None:
                first = (reached, now_s, worker.cpu_s())
            if reached >= end:
                ticks, cpu_s = max(reached - first[0], 1), worker.cpu_s() - first[2]
                return Framed(ticks / max(now_s - first[1], 0.02), cpu_s / ticks * 1e6, frames)
        raise RuntimeError("the journal can't be followed")


class Measured(NamedTuple):
    """One round, while a worker runs and after a restart: ticks a second, frames of all ticks, CPU for a tick."""

    running: float
    running_frames: int
    waiting: float
    waiting_frames: int
    running_cpu_us: float
    waiting_cpu_us: float


def follow(directory: Path, brokers: str, prefix: str, code: Path | None, count: int = TICKS) -> Measured:
    """One round on topics of its own."""
    ticks, topic = walk(random.Random(1)), prefix + MARKET_UPDATES_TOPIC
    with Worker(directory / f"{prefix}1", brokers, prefix, code) as worker:
        asyncio.run(publish(brokers, topic, ticks, WARM_UP_TICKS))
        time.sleep(REST_S / 4)
        worker.process.send_signal(signal.SIGSTOP)  # else this measures how fast ticks are written
        asyncio.run(publish(brokers, topic, ticks, count))
        framed = FrameWatch(brokers, prefix).follow(worker, WARM_UP_TICKS, WARM_UP_TICKS + count)
        worker.process.send_signal(signal.SIGCONT)
        running = framed.result()
        time.sleep(REST_S)
        worker.end()
    asyncio.run(publish(brokers, topic, ticks, count))
    again = Worker(directory / f"{prefix}2", brokers, prefix, code)
    framed = FrameWatch(brokers, prefix).follow(again, WARM_UP_TICKS + count, WARM_UP_TICKS + 2 * count)
    with again:
        waiting = framed.result()
    return Measured(running.per_s, running.frames, waiting.per_s, waiting.frames, running.cpu_us, waiting.cpu_us)


def measure() -> list[Figure]:
    """All figures of this benchmark; of the other checkout, too, with --code."""
    codes: dict[str, Path | None] = {"": None}
    if "--code" in sys.argv:
        codes["the commit before: "] = Path(sys.argv[sys.argv.index("--code") + 1]).resolve()
    found: dict[str, list[Measured]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as made, RunningBroker(Path(made) / "kafka") as broker:
        for nth in range(ROUNDS):
            for which, (name, code) in enumerate(codes.items()):
                found[name].append(follow(Path(made), broker.address, f"ticks{nth}{which}-", code))
    return [figure for name, rounds in found.items() for figure in figures_of(name, rounds)]


def figures_of(name: str, rounds: Sequence[Measured]) -> list[Figure]:
    """Of the best round: what else the machine does only takes."""
    running, waiting = max(one.running for one in rounds), max(one.waiting for one in rounds)
    frames = min(one.waiting_frames for one in rounds)
    own = not name
    return [
        Figure(f"{name}ticks while a worker runs", running, "ticks/s"),
        Figure(f"{name}the same, frames of {TICKS} ticks", min(one.running_frames for one in rounds), "frames"),
        Figure(f"{name}ticks that waited for a restart", waiting, "ticks/s"),
        Figure(f"{name}waiting ÷ running", waiting / running, "", at_least=0.8 if own else None),
        Figure(f"{name}frames of {TICKS} ticks that waited", frames, "frames", at_most=1_400 if own else None),
    ]


if __name__ == "__main__":
    report(measure())
