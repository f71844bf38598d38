"""What a flood by one client costs the others: the same traffic with it and without, by turns, in one run.

Usage: flood.py [MINUTES]
One part is a platform as it comes, with its rate limits; the flood is of one account: reads of a large state, orders,
garbage and new streams, each without a pause, whatever it is answered. In the other part nothing is limited, and 28
clients read the state of an account with 200 positions while another client deposits.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from figures import Figure, report
from running_platform import RunningPlatform

TURN_S = 4.0
WARM_UP_S = 1.0
OTHERS = 8
FLOODERS = 32
READERS = 28
POSITIONS = 200
FLOOD_NAMES = {
    "readers": f"{READERS} readers of {POSITIONS} positions",
    "orders": f"{FLOODERS} clients that order",
    "garbage": f"{FLOODERS} clients that send garbage",
    "connects": f"{FLOODERS} clients that connect streams",
}
"""What one account floods the platform with."""


class DefaultPlatform(RunningPlatform):
    """With the rate limits that it has when nobody sets any."""

    def environment(self) -> dict[str, str]:
        """With what settings."""
        return {name: value for name, value in os.environ.items() if not name.startswith("EXNESS_")}


class Seen(NamedTuple):
    """What one process of clients saw. latencies_ms: by orders and reads."""

    latencies_ms: dict[str, list[float]]
    statuses: dict[str, int]


def start(
    port: int, clients: int, begin_s: float, name: str, kind: str, duration_s: float = TURN_S
) -> subprocess.Popen[str]:
    """A process of clients."""
    script = str(Path(__file__).with_name("flood_client.py"))
    arguments = [port, clients, begin_s, duration_s, name, kind]
    return subprocess.Popen([sys.executable, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> Seen:
    """What it has printed."""
    printed = process.communicate(timeout=60)[0]
    if process.returncode:
        raise RuntimeError("clients failed; what they said is above")
    return Seen(**json.loads(printed))


def turn(port: int, kind: str, flood: tuple[int, str, str] | None) -> tuple[Seen, Seen | None]:
    """One turn of the traffic `kind`, with a flood (clients, account, kind) beside it or without."""
    begin_s = time.time() + WARM_UP_S
    others = start(port, OTHERS if kind == "others" else 1, begin_s, kind, kind)
    flooding = None if flood is None else start(port, flood[0], begin_s, flood[1], flood[2])
    seen = ended(others)
    return seen, None if flooding is None else ended(flooding)


def percentile(latencies_ms: Sequence[float], percent: float) -> float:
    """The latency that `percent` of the requests did not exceed."""
    ordered = sorted(latencies_ms)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def gathered(turns: Sequence[Seen], kind: str) -> list[float]:
    """All latencies of several turns."""
    return [latency for seen in turns for latency in seen.latencies_ms[kind]]


def compared(
    name: str, quiet: Sequence[Seen], flooded: Sequence[Seen], kind: str, at_most: float | None
) -> list[Figure]:
    """Median and 99th percentile without and with a flood, and their ratios."""
    found = []
    for percent in (50, 99):
        before, after = percentile(gathered(quiet, kind), percent), percentile(gathered(flooded, kind), percent)
        found += [
            Figure(f"{name}, {kind}: p{percent} quiet", before, "ms"),
            Figure(f"{name}, {kind}: p{percent} flooded", after, "ms"),
            Figure(
                f"{name}, {kind}: p{percent}, flooded / quiet",
                after / before,
                "×",
                at_most=at_most if percent == 99 else None,
            ),
        ]
    return found


def with_limits(directory: Path, minutes: float) -> list[Figure]:
    """A flood by one account, of each kind by turns."""
    quiet: list[Seen] = []
    flooded: dict[str, list[Seen]] = {kind: [] for kind in FLOOD_NAMES}
    answers: Counter[str] = Counter()
    with DefaultPlatform(directory / "limited") as platform:
        platform.wait_for_quotes()
        fill(platform)
        turn(platform.port, "others", None)
        until_s = time.monotonic() + minutes * 60
        while time.monotonic() < until_s or not quiet:
            for kind in FLOOD_NAMES:
                quiet.append(turn(platform.port, "others", None)[0])
                account, clients = ("large", READERS) if kind == "readers" else ("flooder", FLOODERS)
                seen, flood = turn(platform.port, "others", (clients, account, kind))
                flooded[kind].append(seen)
                answers.update({} if flood is None else flood.statuses)
    found = []
    for kind, turns in flooded.items():
        for what in ("orders", "reads"):
            found += compared(f"{FLOOD_NAMES[kind]}, others'", quiet, turns, what, at_most=3)
    others = sum(
        count
        for turns in (quiet, *flooded.values())
        for seen in turns
        for status, count in seen.statuses.items()
        if status not in ("200", "201")
    )
    total = sum(answers.values())
    found.append(Figure("requests of the others that were not served", others, "", at_most=0))
    found.append(Figure("of the flood's requests, told to wait (429)", 100 * answers["429"] / total, "%"))
    return found


def without_limits(directory: Path, minutes: float) -> list[Figure]:
    """Readers of a large account, and another client's deposits."""
    quiet: list[Seen] = []
    flooded: list[Seen] = []
    with RunningPlatform(directory / "unlimited") as platform:
        platform.wait_for_quotes()
        fill(platform)
        turn(platform.port, "deposits", None)
        until_s = time.monotonic() + minutes * 60
        while time.monotonic() < until_s or not quiet:
            quiet.append(turn(platform.port, "deposits", None)[0])
            flooded.append(turn(platform.port, "deposits", (READERS, "large", "readers"))[0])
    name = f"a deposit beside {READERS} readers of {POSITIONS} positions, no limits"
    return compared(name, quiet, flooded, "orders", at_most=None)


def fill(platform: RunningPlatform) -> None:
    """Open the positions of the large account."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=10)
    headers = {"Content-Type": "application/json", "X-Account": "large"}
    for _ in range(POSITIONS):
        body = json.dumps({"margin": 10, "asset": "SOL", "type": "long", "leverage": 2})
        connection.request("POST", "/api/v1/positions/open", body, headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(answer.read().decode())
        answer.read()
    connection.close()


def measure(minutes: float) -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as made:
        return [*without_limits(Path(made), minutes / 5), *with_limits(Path(made), minutes * 4 / 5)]


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    report(measure(float(given[0]) if given else 5.0))
