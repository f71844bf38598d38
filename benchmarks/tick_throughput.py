"""Ticks a second that the market agent takes from a backlog in the embedded log, until their frames are durable.

Everything of a worker runs beside it: Faust, the cell that folds the frames, the log's threads.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from figures import Figure, report
from running_platform import free_port

from exness_streams.engine.agents import DAY_S
from exness_streams.engine.build import build_engine
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder
from exness_streams.processes.run import run_loop
from exness_streams.settings.platform import load_settings
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.interfaces import LogRecord

TICKS = 500_000
TICKS_A_WRITE = 5_000
MARKETS = {"SOL_USDC": Decimal("150.00"), "BTC_USDC": Decimal("65000.0"), "ETH_USDC": Decimal("3500.00")}
TIMEOUT_S = 120.0


def walk(ticks: int) -> Iterator[LogRecord]:
    """Ticks of three symbols that walk, as the market data service writes them."""
    draw, middles = random.Random(1), dict(MARKETS)
    first_ms = int(time.time() * 1000) - 60_000
    for number in range(ticks):
        symbol = tuple(MARKETS)[number % len(MARKETS)]
        middles[symbol] += MARKETS[symbol] * draw.randint(-5, 5) / 100_000
        yield _tick(symbol, middles[symbol], first_ms + number // 100, number)


async def write_backlog(log_dir: Path) -> None:
    """What a worker finds when it starts."""
    log = EmbeddedLog.open(log_dir)
    try:
        log.declare(MARKET_UPDATES_TOPIC, 1, retention_ms=int(DAY_S * 1000))
        written: list[LogRecord] = []
        for record in walk(TICKS):
            written.append(record)
            if len(written) == TICKS_A_WRITE:
                await log.transact(APP_ID, written, {})
                written = []
    finally:
        log.close()


def _tick(symbol: str, middle: Decimal, time_ms: int, number: int) -> LogRecord:
    message = MarketDataMessage(
        symbol=symbol,
        price=middle,
        timestamp=time_ms,
        sequence=time_ms * 1000 + number,
        volume=Decimal("123456.78"),
        bid=middle - Decimal("0.01"),
        ask=middle + Decimal("0.01"),
    )
    return LogRecord(MARKET_UPDATES_TOPIC, symbol.encode(), json_encoder.encode(message), 0, time_ms)


async def measure_in_loop() -> list[Figure]:
    """Write the backlog, start an engine on it, and time its way through."""
    with tempfile.TemporaryDirectory() as made:
        settings = load_settings(data_dir=Path(made) / "data", port=free_port())
        begun_s = time.perf_counter()
        await write_backlog(settings.log_dir)
        written_s = time.perf_counter() - begun_s
        engine = build_engine(settings)
        taken = engine.framer.counters
        started_s = time.perf_counter()
        await engine.app.start()
        try:
            # Looked at, not waited for: nothing in the engine is to know of this benchmark.
            while not taken["ticks"]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            first_s, first = time.perf_counter(), taken["ticks"]
            while engine.framer.next_offsets.get(0, 0) < TICKS:
                if time.perf_counter() - started_s > TIMEOUT_S or engine.app.crash_reason is not None:
                    raise RuntimeError(f"stopped at tick {taken['ticks']}: {engine.app.crash_reason}")
                await asyncio.sleep(0.001)
            done_s = time.perf_counter()
            frames = taken["frames"]
        finally:
            await engine.app.stop()
    return [
        Figure(
            "ticks from a backlog, first batch to last frame durable",
            (TICKS - first) / (done_s - first_s),
            "ticks/s",
            at_least=150_000,
        ),
        Figure("the same from the start of the app", TICKS / (done_s - started_s), "ticks/s"),
        Figure("ticks a frame in that backlog", TICKS / frames, "ticks"),
        Figure("making and writing that backlog, 5 000 a transaction", TICKS / written_s, "ticks/s"),
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark, on the event loop that the platform runs on."""
    found: Any = run_loop(measure_in_loop())
    assert isinstance(found, list)
    return found


if __name__ == "__main__":
    report(measure())
