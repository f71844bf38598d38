"""Ticks a second from one Kafka topic: this engine beside other stream processors, and the bare clients as the limits.

All read the same messages of the same topic, one after another in one run; the state is the last price and the count of
each symbol, which is the least that the engine keeps. It decides stops and commits exactly once beside that; the others
are as their documentation sets them up. Each is a process of its own, and so is the broker; a round begins with the
engine, which runs while ticks are there and then begins with a backlog (kafka_ticks.py).

Needs Java and Maven, and a package index: the peers go into a virtual environment that is removed at the end
(`--venv DIRECTORY` keeps it for the next run). Ten minutes; `--quick`, three. `--chart FILE` writes the chart.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bar_chart import bar_chart
from figures import circumstances, shown
from kafka_ticks import follow
from running_cluster import RunningBroker

from exness_streams import __version__
from exness_streams.messages import MARKET_UPDATES_TOPIC

QUICK = "--quick" in sys.argv
ROUNDS = 1 if QUICK else 3
TICKS = 60_000 if QUICK else 200_000
LIMIT_S = 10.0 if QUICK else 20.0
"""How long one peer is watched from its first tick on, if it takes fewer."""

TIMEOUT_S, INSTALL_S = 90.0, 400.0
HERE = Path(__file__).parent
PINNED = (
    "quixstreams==3.28.1",
    "faust-streaming[rocksdict]==0.15.3",
    "aiokafka==0.14.0",
    "msgspec==0.22.0",
    "uvloop==0.23.0",
)
"""What goes into the virtual environment; confluent-kafka is the one that Quix Streams takes."""


class Failed(Exception):
    """A peer that can't be installed or run; str() is one line."""


class Peer(NamedTuple):
    """A command that takes the arguments of peer_apps/progress.py, and the version of what it measures."""

    command: Sequence[str]
    version: str


class Taken(NamedTuple):
    """Of one round."""

    per_s: float
    cpu_us: float
    """CPU of its process for a tick."""


RUNNING, BACKLOG = "this engine, running", "this engine, backlog"
PYTHON_PEERS = {
    "Quix Streams, state in RocksDB": ("quix_streams.py", "quixstreams"),
    "plain Faust, table in RocksDB": ("plain_faust.py", "faust-streaming"),
    "limit: bare aiokafka, msgspec, a dict": ("bare_aiokafka.py", "aiokafka"),
    "limit: bare confluent-kafka, msgspec, a dict": ("bare_confluent.py", "confluent-kafka"),
}
QUIX, FAUST = list(PYTHON_PEERS)[:2]
KAFKA_STREAMS = "Kafka Streams, 1 thread, state in RocksDB"


@contextmanager
def said_when_missing() -> Iterator[None]:
    """A peer that fails has no row, and the reason is on standard error."""
    try:
        yield
    except Failed as failed:
        print(f"not measured: {failed}", file=sys.stderr)


def run(command: Sequence[str], timeout_s: float, what: str, cwd: Path | None = None) -> str:
    """What it printed. Failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{what}: {error}".splitlines()[0]) from error
    if done.returncode:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if "error" in line.lower()]
        raise Failed(f"{what}: exit code {done.returncode}, {said[0] if said else 'and no word about it'}")
    return done.stdout


def python_peers(directory: Path) -> dict[str, Peer]:
    """Installed. Failed."""
    made = Path(sys.argv[sys.argv.index("--venv") + 1]) if "--venv" in sys.argv else directory / "venv"
    python = made / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(made)], INSTALL_S, "a virtual environment for the peers")
    run([str(python), "-m", "pip", "install", "-q", "--no-compile", *PINNED], INSTALL_S, "pip install of the peers")
    ask = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    packages = [package for _, package in PYTHON_PEERS.values()]
    versions = run([str(python), "-c", ask, *packages], TIMEOUT_S, "versions of the peers").split()
    return {
        name: Peer([str(python), str(HERE / "peer_apps" / script)], version)
        for (name, (script, _)), version in zip(PYTHON_PEERS.items(), versions, strict=True)
    }


def kafka_streams(directory: Path) -> dict[str, Peer]:
    """Built by Maven. Failed."""
    project = directory / "kafka_streams"
    shutil.copytree(HERE / "kafka_streams", project)
    copy = ["dependency:copy-dependencies", "-DoutputDirectory=target/jars"]
    run(["mvn", "-q", "-B", "package", *copy], INSTALL_S, "Maven's build of the Kafka Streams peer", cwd=project)
    jar = next((project / "target" / "jars").glob("kafka-streams-*.jar"))
    classpath = f"{project / 'target' / 'classes'}:{project / 'target' / 'jars'}/*"
    return {KAFKA_STREAMS: Peer(["java", "-Xmx512m", "-cp", classpath, "Ticks"], jar.stem.rsplit("-", 1)[1])}


def watch(name: str, peer: Peer, brokers: str, topic: str, state: Path) -> Taken:
    """One round of a peer, in a consumer group of its own. Failed."""
    state.mkdir()
    arguments = [brokers, topic, state.name, str(state), str(TICKS), str(LIMIT_S)]
    printed = run([*peer.command, *arguments], TIMEOUT_S, name, cwd=state)
    try:
        found = json.loads(printed[printed.rindex("{") :])
    except ValueError as error:
        raise Failed(f"{name}: it did not say how far it came: {printed[-200:]!r}") from error
    return Taken(found["ticks"] / found["seconds"], found["cpu_s"] / found["ticks"] * 1e6)


class Comparison:
    """All rounds."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers
        self.found: dict[str, list[Taken]] = {RUNNING: [], BACKLOG: []}

    def round(self, nth: int, directory: Path, brokers: str) -> None:
        """The engine, on a topic of this round; then every peer, on the same topic from its beginning."""
        prefix = f"round{nth}-"
        engine = follow(directory, brokers, prefix, None, TICKS)
        self.found[RUNNING].append(Taken(engine.running, engine.running_cpu_us))
        self.found[BACKLOG].append(Taken(engine.waiting, engine.waiting_cpu_us))
        for number, (name, peer) in enumerate(self._peers.items()):
            with said_when_missing():
                state = directory / f"{prefix}peer{number}"
                taken = watch(name, peer, brokers, prefix + MARKET_UPDATES_TOPIC, state)
                self.found.setdefault(name, []).append(taken)

    def best(self) -> dict[str, Taken]:
        """Of each the best round: what else the machine does only takes."""
        return {name: max(rounds) for name, rounds in self.found.items() if rounds}


AIMS = {QUIX: 2.0, FAUST: 25.0}
"""How many times as fast the engine is to be."""


def table(comparison: Comparison, versions: Mapping[str, str]) -> str:
    """Markdown."""
    best = comparison.best()
    lines = [
        "| who | version | ticks/s | its rounds | CPU per tick, µs | running ÷ it | backlog ÷ it | aim for both |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for name, taken in best.items():
        rounds = ", ".join(shown(one.per_s) for one in comparison.found[name])
        ratios = [shown(best[own].per_s / taken.per_s) for own in (RUNNING, BACKLOG)]
        aim = f"≥ {shown(AIMS[name])}" if name in AIMS else ""
        version, cpu_us = versions.get(name, __version__), shown(taken.cpu_us)
        cells = [name, version, shown(taken.per_s), rounds, cpu_us, *ratios, aim]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(directory: Path) -> tuple[Comparison, dict[str, str]]:
    """What was found, and the versions of the peers. Who can't be installed is said on standard error."""
    peers: dict[str, Peer] = {}
    for install in (kafka_streams, python_peers):
        with said_when_missing():
            peers |= install(directory)
    comparison = Comparison(peers)
    with RunningBroker(directory / "kafka") as broker:
        for nth in range(ROUNDS):
            comparison.round(nth, directory, broker.address)
    return comparison, {name: peer.version for name, peer in peers.items()}


def main() -> None:
    """Print the table; write the chart when it is wanted."""
    with tempfile.TemporaryDirectory() as made:
        comparison, versions = measure(Path(made))
    print(table(comparison, versions))
    print(circumstances(), file=sys.stderr)
    if "--chart" in sys.argv:
        bars = {name: taken.per_s for name, taken in comparison.best().items()}
        chart = bar_chart("Ticks a second from one Kafka topic", "ticks/s", bars, marked={RUNNING, BACKLOG})
        Path(sys.argv[sys.argv.index("--chart") + 1]).write_text(chart)


if __name__ == "__main__":
    main()
