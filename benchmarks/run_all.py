"""Every benchmark, each in a process of its own, and one Markdown table of all figures."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
from figures import Figure, table_of

BENCHMARKS = (
    "frame_cost",
    "storm_cost",
    "index_memory",
    "tick_throughput",
    "candle_cost",
    "guard_cost",
    "order_latency",
    "start_time",
)
TIMEOUT_S = 300.0


def run(name: str) -> list[Figure]:
    """The figures of one benchmark. CalledProcessError when it fails, TimeoutExpired when it hangs."""
    script = str(Path(__file__).with_name(f"{name}.py"))
    printed = subprocess.run(
        [sys.executable, script, "--json"], stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_S
    ).stdout
    return msgspec.json.decode(printed, type=list[Figure])


def main() -> int:
    """Run all; 1 when an aim was missed."""
    found: list[Figure] = []
    for name in BENCHMARKS:
        begun_s = time.monotonic()
        found += run(name)
        print(f"{name}: {time.monotonic() - begun_s:.0f} s", file=sys.stderr)
    print(table_of(found))
    return int(any(figure.verdict == "missed" for figure in found))


if __name__ == "__main__":
    sys.exit(main())
