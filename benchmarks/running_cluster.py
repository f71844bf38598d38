"""A Kafka broker, prices and engine workers, each a process of its own, for the benchmarks on Kafka.

The broker is the one of the tests (tests/support/broker.py): one node, fetched by Maven once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from running_platform import START_TIMEOUT_S, UNLIMITED, RunningPlatform, cpu_s, free_port, wait_or_kill

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from broker import Broker, fetch_jars  # type: ignore[import-not-found]  # found at run time

PARTITIONS = 8


class RunningEngine(RunningPlatform):
    """One engine worker on the cluster at `brokers`. code: another checkout, whose code it is to run."""

    def __init__(self, data_dir: Path, brokers: str, code: Path | None = None) -> None:
        super().__init__(data_dir, code)
        self._environment = {**os.environ, "KAFKA_BROKERS": brokers, "EXNESS_STANDBY_REPLICAS": "0"}

    def command(self) -> list[str]:
        """What is run."""
        return ["engine", "--port", str(self.port), "--worker-id", self.data_dir.name]

    def environment(self) -> dict[str, str]:
        """With what settings."""
        return {
            **self._environment,
            **UNLIMITED,
            "EXNESS_DATA_DIR": str(self.data_dir),
            "EXNESS_PARTITIONS": str(PARTITIONS),
        }


class RunningFeed:
    """The simulator, and the market data service that publishes its prices. Stopped on exit.

    code: as RunningEngine's.
    """

    def __init__(self, directory: Path, brokers: str, code: Path | None = None) -> None:
        self._directory, self._brokers, self._code = directory, brokers, code
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> RunningFeed:
        port = free_port()
        environment = {**os.environ, "KAFKA_BROKERS": self._brokers, "BACKPACK_WS_URL": f"ws://127.0.0.1:{port}"}
        with (self._directory / "feed.log").open("ab") as log:
            for arguments in (["simulate-backpack", "--port", str(port)], ["market-data", "--worker-id", "feed"]):
                command = [sys.executable, "-c", "from exness_streams.cli import main; main()", *arguments]
                self._processes.append(
                    subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self._code)
                )
        return self

    def cpu_s(self) -> float:
        """CPU seconds of the market data service by now; 0 where the system does not tell."""
        return cpu_s(self._processes[-1].pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            wait_or_kill(process)


class RunningBroker:
    """A broker with nothing in it. Killed on exit."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.data = directory / "data"
        self._broker = Broker(directory, fetch_jars())
        self.address: str = self._broker.address

    def __enter__(self) -> RunningBroker:
        self._broker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.kill()

    def cpu_s(self) -> float:
        """CPU seconds used by now; 0 where the system does not tell."""
        return cpu_s(self._broker.pid)

    def signal(self, number: int) -> None:
        """Send the broker a signal."""
        os.kill(self._broker.pid, number)


def wait_until_all_owned(engines: list[RunningEngine]) -> None:
    """Return once every partition has a worker, every worker some, and all are ready and can trade."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        owned = [_owned(engine) for engine in engines]
        if all(owned) and sum(owned) == PARTITIONS and all(engine.status("/readyz") == 200 for engine in engines):
            break
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"cells owned by each worker: {owned}")
        time.sleep(0.2)
    for engine in engines:
        engine.wait_for_quotes()


def transactions(engine: RunningEngine) -> tuple[float, float]:
    """(number, seconds in all) of the transactions of a worker's cells by now."""
    name = "exness_transaction_duration_seconds"
    count, sum_s = metrics(engine, *(f'{name}_{part}{{work="accounts"}}' for part in ("count", "sum")))
    return count, sum_s


def _owned(engine: RunningEngine) -> float:
    return metrics(engine, "exness_cells_owned")[0]


def metrics(engine: RunningEngine, *names: str) -> list[float]:
    """Figures of one look at /metrics, with their labels in the names as they stand there; 0 where there is none."""
    told = dict(
        line.rsplit(" ", 1) for line in engine.get("/metrics").decode().splitlines() if not line.startswith("#")
    )
    return [float(told.get(name, 0)) for name in names]


def one_worker(
    running: ExitStack, directory: Path, code: Path | None = None
) -> tuple[RunningBroker, RunningFeed, RunningEngine]:
    """A broker, prices and a worker that owns all cells and can trade, until `running` ends. code: of the last two."""
    broker = running.enter_context(RunningBroker(directory / "kafka"))
    feed = running.enter_context(RunningFeed(directory, broker.address, code))
    engine = running.enter_context(RunningEngine(directory / "engine", broker.address, code))
    wait_until_all_owned([engine])
    return broker, feed, engine
