"""What candles cost: a tick folded, a page of the exchange's history stored, a chart read cold and read again."""

from __future__ import annotations

import tempfile
import time
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from figures import Figure, report
from running_platform import free_port

from exness_streams.domain.candle_spans import Asked
from exness_streams.domain.candles import HOUR_S, INTERVALS_S, MINUTE_S, Bar, CandleFold, start_of
from exness_streams.engine.build import build_engine
from exness_streams.engine.candle_reader import LIMIT_MAX, CandleReader
from exness_streams.engine.engine import Engine
from exness_streams.processes.run import run_loop
from exness_streams.settings.platform import load_settings

SYMBOL = "SOL_USDC"
TICKS = 200_000
ROUNDS = 5
PAGE = 1_000


def tick_cost_us() -> float:
    """Median µs of one tick, of prices that move."""
    prices = [Decimal(15_000 + n * 7_919 % 997).scaleb(-2) for n in range(1_000)]
    found = []
    for _ in range(ROUNDS):
        fold = CandleFold([SYMBOL])
        begun_ns = time.perf_counter_ns()
        for n in range(TICKS):
            fold.add(SYMBOL, n + 1, 1_790_000_000_000 + n * 10, prices[n % 1_000])
        found.append((time.perf_counter_ns() - begun_ns) / 1000 / TICKS)
    return median(found)


async def store_history(engine: Engine) -> list[float]:
    """Fill a week of minutes and a year of hours; ms of each page of 1 000."""
    took_ms = []
    for interval, length_s in (("1m", MINUTE_S), ("1h", HOUR_S)):
        first_s, end_s = engine.candles.wanted_time(SYMBOL, interval)
        for from_s in range(first_s, end_s, PAGE * length_s):
            to_s = min(end_s, from_s + PAGE * length_s)
            price = Decimal("150.25")
            told = [
                (at_s, Bar(price, price + 1, price - 1, price, Decimal("12.5")))
                for at_s in range(from_s, to_s, length_s)
            ]
            begun_s = time.perf_counter()
            await engine.candles.take_told(SYMBOL, interval, told, Asked(from_s, to_s))
            if len(told) == PAGE:
                took_ms.append((time.perf_counter() - begun_s) * 1000)
    return took_ms


async def read_ms(reader: CandleReader, interval: str) -> float:
    begun_s = time.perf_counter()
    found = await reader.newest(SYMBOL, interval, LIMIT_MAX)
    assert found[-1].time_s == start_of(found[-1].time_s, INTERVALS_S[interval])
    return (time.perf_counter() - begun_s) * 1000


async def measure_in_loop() -> list[Figure]:
    """A worker on the embedded log, without ticks."""
    with tempfile.TemporaryDirectory() as made:
        settings = load_settings(data_dir=Path(made) / "data", port=free_port())
        engine = build_engine(settings)
        await engine.app.start()
        try:
            pages_ms = await store_history(engine)
            figures = [
                Figure("one tick folded into its candle", tick_cost_us(), "µs"),
                Figure("a page of 1 000 klines stored, durable", median(pages_ms), "ms"),
            ]
            for interval in INTERVALS_S:
                cold = median([await read_ms(CandleReader(engine.candles), interval) for _ in range(ROUNDS)])
                figures.append(Figure(f"chart of {interval}, the newest 1 000, first read", cold, "ms"))
            await read_ms(engine.candle_reader, "1d")
            again = median([await read_ms(engine.candle_reader, "1d") for _ in range(ROUNDS)])
            return [*figures, Figure("chart of 1d, read again", again, "ms")]
        finally:
            await engine.app.stop()


def measure() -> list[Figure]:
    """All figures of this benchmark, on the event loop that the platform runs on."""
    found: Any = run_loop(measure_in_loop())
    assert isinstance(found, list)
    return found


if __name__ == "__main__":
    report(measure())
