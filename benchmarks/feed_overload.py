"""How old quotes are, and how far framing lags, when the exchange sends more than anybody can use.

Usage: feed_overload.py [RATE...] (book updates a second of three symbols together; 1000 10000 15000 unless given)
`exness-streams run` on an exchange that costs next to nothing, each a process of its own. An age is our clock minus the
event time of the quote that `GET /api/v1/markets` shows; it is sampled while one client orders at a pace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, circumstances, report
from running_platform import UNLIMITED, RunningPlatform, free_port

RATES = (1_000.0, 10_000.0, 15_000.0)
SYMBOLS = ("SOL_USDC", "BTC_USDC", "ETH_USDC")
WARM_UP_S = 3.0
MEASURED_S = 10.0
SAMPLE_S = 0.05
AGE_MS_MAX = 250.0


class OnExchange(RunningPlatform):
    """A platform on another exchange."""

    def __init__(self, data_dir: Path, exchange_port: int) -> None:
        super().__init__(data_dir)
        self._exchange_port = exchange_port

    def command(self) -> list[str]:
        """What is run."""
        return ["run", "--port", str(self.port), "--data-dir", str(self.data_dir)]

    def environment(self) -> dict[str, str]:
        """With what settings."""
        feed = {"BACKPACK_WS_URL": f"ws://127.0.0.1:{self._exchange_port}", "BACKPACK_REST_URL": ""}
        return dict(os.environ) | UNLIMITED | feed | {"EXNESS_INSTRUMENTS": ",".join(SYMBOLS)}

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.get("/metrics").decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def read(self) -> float:
        """Messages that were read from the socket."""
        return self.metric("exness_feed_messages_total") + self.metric("exness_feed_conflated_total")


def measure(rate: float) -> list[Figure]:
    """The figures of one rate."""
    port = free_port()
    script = str(Path(__file__).with_name("fast_exchange.py"))
    exchange = subprocess.Popen([sys.executable, script, str(port), str(rate), *SYMBOLS])
    try:
        with tempfile.TemporaryDirectory() as made, OnExchange(Path(made) / "data", port) as platform:
            platform.wait_for_quotes()
            time.sleep(WARM_UP_S)
            begun_s, cpu_s = time.monotonic(), platform.cpu_s()
            ticks, messages = platform.metric("exness_feed_ticks_total"), platform.read()
            ages_ms, lags = [], []
            while time.monotonic() - begun_s < MEASURED_S:
                markets = json.loads(platform.get("/api/v1/markets"))["markets"]
                now_ms = time.time() * 1000
                ages_ms += [now_ms - market["timestamp"] for market in markets]
                lags.append(platform.metric("exness_ticks_lag_records"))
                time.sleep(SAMPLE_S)
            took_s = time.monotonic() - begun_s
            used = (platform.cpu_s() - cpu_s) / took_s
            ticks = (platform.metric("exness_feed_ticks_total") - ticks) / took_s
            messages = (platform.read() - messages) / took_s
    finally:
        exchange.terminate()
        exchange.wait()
    name = f"{rate:,.0f} messages/s sent"
    ages_ms.sort()
    return [
        Figure(f"{name}: messages read", messages, "messages/s"),
        Figure(f"{name}: updates published", ticks, "updates/s"),
        Figure(f"{name}: age of a quote, p50", ages_ms[len(ages_ms) // 2], "ms"),
        Figure(f"{name}: age of a quote, p99", ages_ms[len(ages_ms) * 99 // 100], "ms", at_most=AGE_MS_MAX),
        Figure(f"{name}: ticks that wait to be framed, most", max(lags), "ticks"),
        Figure(f"{name}: platform's CPU", used, "cores"),
    ]


def main() -> int:
    """Measure each rate; 1 when an aim was missed."""
    rates = [float(text) for text in sys.argv[1:] if text != "--json"] or list(RATES)
    found = [figure for rate in rates for figure in measure(rate)]
    print(circumstances(), file=sys.stderr)
    report(found)
    return int(any(figure.verdict == "missed" for figure in found))


if __name__ == "__main__":
    sys.exit(main())
