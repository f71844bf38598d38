"""A cluster as an operator runs it: processes of their own on a real broker, and a supervisor that restarts them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from broker import Broker, fetch_jars
from platform_process import UNGUARDED, environment
from ports import free_ports

ENGINES = 3
MARKET_DATA = 2
PARTITIONS = 8
SESSION_TIMEOUT_S = 6.0
READY_S_MAX = 90.0
RESTART_PAUSE_S = 0.2
POLL_S = 0.05

GROUP = "exness-streams"
_MAIN = "from exness_streams.cli import main; main()"


class Member:
    """One process of the cluster, started again by the supervisor whenever it ends."""

    def __init__(self, name: str, arguments: list[str], variables: dict[str, str], output: Path, url: str = "") -> None:
        self.name, self.url, self.output = name, url, output
        self.exits: list[int] = []
        self.restart_pause_s = RESTART_PAUSE_S
        self._command = [sys.executable, "-c", _MAIN, *arguments]
        self._variables = variables
        self.checkout: Path | None = None  # with another release's code; None: this one's
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at_s: float | None = None
        self._life_begins_at = 0

    def start(self) -> None:
        """Start it, for the first time or again."""
        variables = environment(**self._variables)
        if self.checkout is not None:  # a release that knows no price guard refuses its variable
            variables = {name: value for name, value in variables.items() if name not in UNGUARDED}
        with self.output.open("ab") as output:
            self._life_begins_at = output.tell()
            self._process = subprocess.Popen(
                self._command, env=variables, cwd=self.checkout, stdout=output, stderr=output
            )
        self._ended_at_s = None

    def supervise(self) -> None:
        """Start it again when it has ended, `restart_pause_s` later. Called often."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        if self._ended_at_s is None:
            self._ended_at_s = time.monotonic()
            self.exits.append(code)
        elif time.monotonic() - self._ended_at_s >= self.restart_pause_s:
            self.restart_pause_s = RESTART_PAUSE_S
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Nothing when it is between two lives."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """What GET /readyz says."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=2):
                return True
        except (OSError, urllib.error.HTTPError) as refused:
            if isinstance(refused, urllib.error.HTTPError):
                refused.close()
            return False

    @property
    def is_settled(self) -> bool:
        """Whether its start is over."""
        return self.is_running and (self.is_ready if self.url else " is running" in self.said(this_life=True))

    @property
    def leads(self) -> bool:
        """Whether a market data process says that it ingests."""
        said = self.said(this_life=True)
        return self.is_running and said.rfind("leading: ingesting") > said.rfind("standing by")

    def said(self, *, this_life: bool = False) -> str:
        """What it wrote, in all its lives or the newest."""
        if not self.output.exists():
            return ""
        return self.output.read_bytes()[self._life_begins_at if this_life else 0 :].decode(errors="replace")

    def end(self) -> None:
        """Whatever has happened, nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        self._process = None


def released(name: str, directory: Path) -> Path:
    """The code of an earlier release, as it is kept beside the golden directories."""
    archive = Path(__file__).parents[1] / "golden" / f"{name}.tar.xz"
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-C", str(directory), "-xJf", str(archive)], check=True)
    return directory


class Brokers(Protocol):
    """One, or several."""

    @property
    def address(self) -> str:
        """Theirs, as clients want it."""


class Cluster:
    """A simulator, two market data processes and three engine workers, unless told otherwise."""

    def __init__(
        self,
        broker: Brokers,
        directory: Path,
        *,
        engines: int = ENGINES,
        market_data: int = MARKET_DATA,
        **variables: str,
    ) -> None:
        self.broker, self.directory = broker, directory
        simulator_port, *ports = free_ports(1 + engines)
        self.variables = common = {
            "KAFKA_BROKERS": broker.address,
            "BACKPACK_WS_URL": f"ws://127.0.0.1:{simulator_port}",
            "BACKPACK_REST_URL": f"http://127.0.0.1:{simulator_port}",
            "EXNESS_DATA_DIR": str(directory / "data"),
            "EXNESS_PARTITIONS": str(PARTITIONS),
            "EXNESS_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            **variables,
        }
        self.simulator = self._member("simulator", ["simulate-backpack", "--port", str(simulator_port)], common)
        self.market_data = [
            self._member(f"md{number}", ["market-data", "--worker-id", f"md{number}"], common)
            for number in range(1, market_data + 1)
        ]
        self.engines = [
            self._member(
                f"engine{number}",
                ["engine", "--port", str(port), "--worker-id", f"engine{number}"],
                common,
                f"http://127.0.0.1:{port}",
            )
            for number, port in enumerate(ports, 1)
        ]
        self.members = [self.simulator, *self.market_data, *self.engines]
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")

    def _member(self, name: str, arguments: list[str], variables: dict[str, str], url: str = "") -> Member:
        return Member(name, arguments, variables, self.directory / f"{name}.out", url)

    @property
    def urls(self) -> list[str]:
        return [engine.url for engine in self.engines]

    def start(self) -> None:
        """Returns once every worker is ready and prices flow."""
        for member in self.members:
            member.start()
        self._supervisor.start()
        self.wait_ready()
        wait_until(self.is_tradable, "markets can be traded on", self.said)

    def _supervise(self) -> None:
        while not self._ending.wait(POLL_S):
            for member in self.members:
                member.supervise()

    def end(self) -> None:
        self._ending.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        for member in self.members:
            member.end()

    def is_tradable(self) -> bool:
        """Whether every worker can trade on every market."""
        return all(_is_tradable(url) for url in self.urls)

    def wait_ready(self) -> None:
        """Until every engine worker is ready."""
        wait_until(lambda: all(engine.is_ready for engine in self.engines), "all workers are ready", self.said)

    def leader(self) -> Member | None:
        """The market data process that says it leads; None while none does, or two do."""
        leading = [member for member in self.market_data if member.leads]
        return leading[0] if len(leading) == 1 else None

    def said(self) -> str:
        """The last lines of every process."""
        states = [f"{engine.name}: ready={engine.is_ready}" for engine in self.engines]
        ends = [f"== {one.name} (exits {one.exits})\n" + one.said()[-1500:] for one in self.members]
        return "\n".join(states + ends)


def _is_tradable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/api/v1/markets", timeout=2) as response:
            return all(market["tradable"] for market in json.load(response)["markets"])
    except OSError:
        return False


def wait_until(
    happens: Callable[[], Any], what: str, explain: Callable[[], str], *, s_max: float = READY_S_MAX
) -> None:
    """TimeoutError, with an explanation, when it does not happen."""
    give_up_at_s = time.monotonic() + s_max
    while not happens():
        if time.monotonic() > give_up_at_s:
            raise TimeoutError(f"never: {what}\n{explain()}")
        time.sleep(POLL_S)


@contextmanager
def cluster_of_its_own(
    directory: Path,
    checkout: Path | None = None,
    *,
    broker_properties: str = "",
    engines: int = ENGINES,
    **settings: str,
) -> Iterator[Cluster]:
    """On a broker of its own, for workers declare topics that other tests delete; ready, and ended with the broker.

    checkout: another release's code, which all processes run at first. broker_properties: of the broker, more lines.
    """
    (directory / "kafka").mkdir()
    own = Broker(directory / "kafka", fetch_jars(), more_properties=broker_properties)
    own.start()
    cluster = Cluster(own, directory, engines=engines, **settings)
    for member in cluster.members:
        member.checkout = checkout
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()
        own.kill()


async def read_topic(broker: Brokers, topic: str, isolation_level: str = "read_committed") -> list[Any]:
    """All records of a topic, as a plain aiokafka consumer gets them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address, isolation_level=isolation_level, enable_auto_commit=False
    )
    await consumer.start()
    found: list[Any] = []
    try:
        await consumer._client.force_metadata_update()
        tps = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        assert tps, f"there is no topic {topic}"
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        left = {tp for tp in tps if ends[tp]}
        while left:
            for records in (await consumer.getmany(*left, timeout_ms=100)).values():
                found += records
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()
    return found


async def wait_no_lag(broker: Brokers, topic: str) -> None:
    """Until the workers have committed all that is in the topic now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.address, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(tps)
        give_up_at_s = time.monotonic() + READY_S_MAX
        while True:
            lags = {tp.partition: ends[tp] - (await consumer.committed(tp) or 0) for tp in tps}
            lags = {partition: lag for partition, lag in lags.items() if lag > 0}
            if not lags:
                return
            assert time.monotonic() < give_up_at_s, f"workers are stuck; lag by partition: {lags}"
            await asyncio.sleep(0.2)
    finally:
        await consumer.stop()
