"""From a tick in the topic to its PositionClosed in the topic, on Kafka: how late a stop loss is, beside many ticks.

Positions with stop losses at prices one below another; the price goes down one of them at a time, at random moments,
while ticks come at a steady rate. Counted is from the acknowledgement of the tick that reaches a stop until a
read_committed consumer has the event. Needs Java and Maven; broker and worker are processes of their own, this one
writes the ticks and reads the events. One minute; `--quick`, half of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from figures import Figure, circumstances, report
from kafka_bare_path import run_on_uvloop
from order_client import Answers, post
from running_cluster import RunningBroker, RunningEngine
from running_platform import START_TIMEOUT_S

from exness_streams.messages import EVENTS_TOPIC, MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder
from exness_streams.transport.kafka.consumer_thread import FETCH_WAIT_MS_MAX

QUICK = "--quick" in sys.argv
RATES = (1_000, 10_000)
"""Ticks a second."""

STOPS = 100 if QUICK else 400
"""For each of the rates."""

PACE_MS, BEYOND_MS = 20.0, 25.0
"""A frame is cut every 20 ms; how much later than that an event may be."""

BATCH_S = 0.005
REST_S = (0.03, 0.07)
"""Between two stops: no multiple of a frame."""

FIRST, STEP, SPREAD = Decimal("149.90"), Decimal("0.02"), Decimal("0.005")
OTHERS = {"BTC_USDC": Decimal("65000.0"), "ETH_USDC": Decimal("3500.00")}


def stop_price(number: int) -> Decimal:
    """Of one of all positions."""
    return FIRST - STEP * number


class Prices:
    """Ticks at a steady rate. The bid of SOL stays between two stops until it is told to go down one."""

    def __init__(self, producer: Any) -> None:
        self._producer, self._draw = producer, random.Random(1)
        self.rate = 100
        self.written = 0
        self.reached = -1
        self.acknowledged_s: dict[int, float] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        loop, rate = asyncio.get_running_loop(), self.rate
        begun_s, written = loop.time(), 0
        while True:
            if rate != self.rate:
                rate, begun_s, written = self.rate, loop.time(), 0
            due = int((loop.time() - begun_s) * rate) - written
            if due > 0:
                await self._write(due)
                written += due
            await asyncio.sleep(BATCH_S)

    async def _write(self, count: int) -> None:
        batch, reached = self._producer.create_batch(), self.reached
        now_us = time.time_ns() // 1_000
        for number, (symbol, bid) in zip(range(count), self._bids(), strict=False):
            tick = MarketDataMessage(
                symbol, bid, now_us // 1_000, now_us + number, None, bid, bid + SPREAD * (2 if symbol in OTHERS else 1)
            )
            appended = batch.append(
                key=symbol.encode(), value=json_encoder.encode(tick), timestamp=now_us // 1_000, headers=[]
            )
            if appended is None:
                raise RuntimeError(f"{count} ticks do not fit into a batch: this process is too slow for the rate")
        batch.close()
        sent = await self._producer.send_batch(batch, MARKET_UPDATES_TOPIC, partition=0)
        sent.add_done_callback(lambda done: self._acknowledged(done, reached))
        self.written += count

    def _acknowledged(self, sent: asyncio.Future[Any], reached: int) -> None:
        """A busy machine may write no tick between two stops: one tick reaches both then."""
        sent.result()
        for number in range(len(self.acknowledged_s), reached + 1):
            self.acknowledged_s[number] = time.monotonic()

    def _bids(self) -> Iterator[tuple[str, Decimal]]:
        """The first is SOL's, so that the stop which was reached is in the batch."""
        while True:
            yield "SOL_USDC", stop_price(self.reached) - STEP / 2 + SPREAD * self._draw.randint(-1, 1)
            for symbol, middle in OTHERS.items():
                yield symbol, middle + self._draw.randint(-5, 5) / Decimal(100)


class Closings:
    """When the event of each position's closing was there."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.seen_s: dict[str, float] = {}

    async def run(self) -> None:
        """Until it is cancelled. RuntimeError when a position was closed by anything but its stop."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
                now_s = time.monotonic()
                for record in records:
                    if b'"PositionClosed"' not in record.value:
                        continue
                    event = json.loads(record.value)
                    if event["reason"] != "stop_loss":
                        raise RuntimeError(f"a position was closed by something else: {record.value.decode()}")
                    self.seen_s[event["positionId"]] = now_s


async def positions(port: int, count: int, first: int) -> list[str]:
    """Opened one after another, each on an account of its own; their ids."""
    _, answers = await asyncio.get_running_loop().create_connection(Answers, "127.0.0.1", port)
    found = []
    for number in range(first, first + count):
        order = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2, "stopLoss": float(stop_price(number))}
        body = await answers.ask(post("open", f"stops-{number}", None, json.dumps(order).encode()))
        found.append(json.loads(body)["positionId"])
    return found


async def one_rate(rate: int, first: int, engine: RunningEngine, prices: Prices, closings: Closings) -> list[Figure]:
    """Stops from `first` on, while ticks come at this rate."""
    prices.rate = 100
    opened = await positions(engine.port, STOPS, first)
    prices.rate = rate
    await asyncio.sleep(2.0)
    begun_s, written, cpu_s = time.monotonic(), prices.written, engine.cpu_s()
    draw = random.Random(rate)
    for number in range(first, first + STOPS):
        prices.reached = number
        await asyncio.sleep(draw.uniform(*REST_S))
    wall_s = time.monotonic() - begun_s
    ticks, cores = (prices.written - written) / wall_s, (engine.cpu_s() - cpu_s) / wall_s
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not closings.seen_s.keys() >= set(opened):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{len(set(opened) - closings.seen_s.keys())} of {STOPS} stops were not executed")
        await asyncio.sleep(0.05)
    late_ms = sorted(
        (closings.seen_s[position] - prices.acknowledged_s[first + nth]) * 1000 for nth, position in enumerate(opened)
    )
    p99_ms = late_ms[min(len(late_ms) - 1, int(len(late_ms) * 0.99))]
    aim = PACE_MS + BEYOND_MS if rate == max(RATES) else None
    return [
        Figure(f"{rate} ticks/s: tick → PositionClosed, p50", late_ms[len(late_ms) // 2], "ms"),
        Figure(f"{rate} ticks/s: tick → PositionClosed, p99", p99_ms, "ms", at_most=aim),
        Figure(f"{rate} ticks/s: the same beyond the pace", p99_ms - PACE_MS, "ms"),
        Figure(f"{rate} ticks/s: longest of {STOPS}", late_ms[-1], "ms"),
        Figure(f"{rate} ticks/s: written", ticks, "ticks/s"),
        Figure(f"{rate} ticks/s: worker's CPU", cores, "cores"),
    ]


async def measure(broker: RunningBroker, engine: RunningEngine, found: list[Figure]) -> None:
    """All figures of this benchmark."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all", max_batch_size=1 << 20)
    consumer = AIOKafkaConsumer(
        EVENTS_TOPIC,
        bootstrap_servers=broker.address,
        isolation_level="read_committed",
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
        auto_offset_reset="latest",
    )
    await producer.start()
    await consumer.start()
    prices, closings = Prices(producer), Closings(consumer)
    measuring = asyncio.ensure_future(_all_rates(engine, prices, closings, found))
    running = {asyncio.ensure_future(prices.run()), asyncio.ensure_future(closings.run()), measuring}
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await consumer.stop()
        await producer.stop()


async def _all_rates(engine: RunningEngine, prices: Prices, closings: Closings, found: list[Figure]) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, engine.wait_for_quotes)
    for nth, rate in enumerate(RATES):
        found += await one_rate(rate, nth * STOPS, engine, prices, closings)


class Engine(RunningEngine):
    """Without an exchange, whose history of prices it would ask for."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "BACKPACK_REST_URL": ""}


def main() -> None:
    """Print the table."""
    found: list[Figure] = []
    with (
        tempfile.TemporaryDirectory() as made,
        RunningBroker(Path(made) / "kafka") as broker,
        Engine(Path(made) / "engine", broker.address) as engine,
    ):
        run_on_uvloop(measure(broker, engine, found))
    report(found)
    print(circumstances(), file=sys.stderr)


if __name__ == "__main__":
    main()
