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
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from figures import Figure, report
from running_cluster import RunningBroker, RunningEngine

from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder

TICKS = 200_000
ROUNDS = 2
MARKETS = {"SOL_USDC": Decimal("150.00"), "BTC_USDC": Decimal("65000.0"), "ETH_USDC": Decimal("3500.00")}
REST_S = 12.0
"""Between the ticks that a worker runs for and its end: prices come at a quiet pace then."""

TIMEOUT_S = 300.0


class Worker(RunningEngine):
    """An engine whose code may be another checkout's, on topics of its own."""

    def __init__(self, data_dir: Path, brokers: str, prefix: str, code: Path | None) -> None:
        super().__init__(data_dir, brokers, code)
        self._environment["EXNESS_TOPIC_PREFIX"] = prefix
        self._environment["BACKPACK_REST_URL"] = ""

    def counted(self, name: str) -> int:
        """The sum of a counter's samples."""
        lines = [line for line in self.get("/metrics").decode().splitlines() if line.startswith(name)]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))

    def framed(self) -> tuple[int, int]:
        """(ticks, frames) by now."""
        return self.counted("exness_ticks_framed_total"), self.counted("exness_frames_total")

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
    """Ticks a second, and the worker's CPU for each, from the first one seen framed to the last; frames of all."""

    per_s: float
    cpu_us: float
    frames: int


def until_framed(worker: Worker, before: int, count: int) -> Framed:
    """Returns once `count` ticks beyond `before` are framed."""
    give_up_s, frames_before = time.monotonic() + TIMEOUT_S, worker.framed()[1]
    first_s, first, cpu_s = 0.0, 0, 0.0
    while True:
        (ticks, frames), now_s = worker.framed(), time.monotonic()
        if not first_s and ticks > before:
            first_s, first, cpu_s = now_s, ticks, worker.cpu_s()
        if ticks >= before + count:
            seen = max(ticks - first, 1)
            per_s = (ticks - first) / max(now_s - first_s, 0.02)
            return Framed(per_s, (worker.cpu_s() - cpu_s) / seen * 1e6, frames - frames_before)
        if now_s > give_up_s:
            raise TimeoutError(f"{ticks - before} of {count} ticks are framed: {worker.log_path.read_text()[-500:]}")
        time.sleep(0.02)


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
        asyncio.run(publish(brokers, topic, ticks, 1_000))
        time.sleep(REST_S / 4)
        before = worker.framed()[0]
        worker.process.send_signal(signal.SIGSTOP)  # else this measures how fast ticks are written
        asyncio.run(publish(brokers, topic, ticks, count))
        worker.process.send_signal(signal.SIGCONT)
        running = until_framed(worker, before, count)
        time.sleep(REST_S)
        worker.end()
    asyncio.run(publish(brokers, topic, ticks, count))
    with Worker(directory / f"{prefix}2", brokers, prefix, code) as worker:
        waiting = until_framed(worker, 0, count)
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
