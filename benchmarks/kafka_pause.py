"""What runs ahead of the commits while the broker stands still for 20 s under load, and what becomes of the orders.

64 clients open and close all the time, on one worker with 8 cells; the broker is stopped (SIGSTOP) and goes on. Looked
at four times a second: what is folded and not committed, and the worker's memory. Needs Java and Maven. A minute and a
half.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from figures import Figure, circumstances, report
from flood import Seen, ended, start
from running_cluster import PARTITIONS, RunningBroker, RunningEngine, metrics, one_worker
from running_platform import own_memory_mb, process_status

from exness_streams.engine.ahead import Bounds

CLIENTS = 64
BEFORE_S, PAUSE_S, AFTER_S = 15.0, 20.0, 25.0
LOOK_S = 0.25
RECORDS_MAX, BYTES_MAX = Bounds().records * PARTITIONS, Bounds().worker_size
"""The bounds as they are set when nobody sets any: of all cells, and of the worker."""


class Sample(NamedTuple):
    """One look. phase: before, stopped or after. memory_mb: the worker's own."""

    phase: str
    records: float
    size: float
    memory_mb: float


def sample(engine: RunningEngine, phase: str) -> Sample:
    """Look at the worker."""
    records, size = metrics(engine, "exness_ahead_records", "exness_ahead_bytes")
    return Sample(phase, records, size, own_memory_mb(process_status(engine.process.pid)))


def looks(broker: RunningBroker, engine: RunningEngine) -> Iterator[Sample]:
    """Before, while the broker stands still, and after."""
    for phase, length_s in (("before", BEFORE_S), ("stopped", PAUSE_S), ("after", AFTER_S)):
        if phase != "before":
            broker.signal(signal.SIGSTOP if phase == "stopped" else signal.SIGCONT)
        until_s = time.monotonic() + length_s
        while time.monotonic() < until_s:
            yield sample(engine, phase)
            time.sleep(LOOK_S)


def figures_of(found: list[Sample], seen: Seen) -> list[Figure]:
    """What ran ahead at most, the memory, and how the orders were answered."""
    figures = []
    for name, phases in (("while it stands still", {"stopped"}), ("before and after", {"before", "after"})):
        of_these = [one for one in found if one.phase in phases]
        records, size = max(one.records for one in of_these), max(one.size for one in of_these)
        figures.append(Figure(f"ahead, {name}: most", records, "records", at_most=RECORDS_MAX))
        figures.append(Figure(f"ahead, {name}: most", size / 1000, "kB", at_most=BYTES_MAX / 1000))
    for phase in ("before", "stopped", "after"):
        most = max(one.memory_mb for one in found if one.phase == phase)
        figures.append(Figure(f"worker's memory, {phase}: most", most, "MB"))
    return [*figures, *(Figure(f"answers {status}", count, "") for status, count in sorted(seen.statuses.items()))]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as running:
        broker, _, engine = one_worker(running, Path(made))
        clients = start(engine.port, CLIENTS, time.time(), "pause", "traders", BEFORE_S + PAUSE_S + AFTER_S)
        found = list(looks(broker, engine))
        report(figures_of(found, ended(clients)))
        if engine.process.poll() is not None:
            raise RuntimeError(f"the worker ended: {engine.log_path.read_text()[-500:]}")
    print(circumstances(), file=sys.stderr)


if __name__ == "__main__":
    main()
