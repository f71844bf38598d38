"""A platform whose event loop is blocked says so while it is, and ends; one that was stopped just goes on."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from platform_process import GIVE_UP_S, POLL_S, PlatformProcess
from ports import free_ports

from exness_streams.processes.stopping import EXIT_UNSERVING

SAID_S, END_S, LOOK_S = 1.0, 4.0, 0.1
STOPPED_S = 2 * END_S

# Who asks /livez blocks it; and its watchdog has less patience than one that nobody waits for.
PROGRAM = f"""
import time
from exness_streams.api.views import health
from exness_streams.processes import watchdog
watchdog.BLOCKED_SAID_S, watchdog.BLOCKED_END_S, watchdog.LOOK_S = {SAID_S}, {END_S}, {LOOK_S}
live = health.LiveView.get
async def block(self, request):
    time.sleep(float(request.headers["X-Block-S"]))
    return await live(self, request)
health.LiveView.get = block
from exness_streams.cli import main
main()
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformProcess]:
    platform = PlatformProcess(tmp_path / "data", free_ports(1)[0])
    platform.program = PROGRAM
    platform.start()
    try:
        platform.wait_ready()
        yield platform
    finally:
        platform.end()


def block(platform: PlatformProcess, seconds: float) -> None:
    """Nobody waits for the answer."""
    request = urllib.request.Request(platform.url + "/livez", headers={"X-Block-S": str(seconds)})
    with suppress(OSError):
        urllib.request.urlopen(request, timeout=0.5).close()


def lines(platform: PlatformProcess, words: str) -> list[str]:
    return [line for line in platform.said().splitlines() if words in line]


def wait_said(platform: PlatformProcess, words: str) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while not lines(platform, words):
        assert time.monotonic() < give_up_at_s, platform.said()
        time.sleep(POLL_S)


def test_a_blocked_loop_says_where_it_stands_and_goes_on(platform: PlatformProcess) -> None:
    block(platform, (SAID_S + END_S) / 2)
    wait_said(platform, "the event loop turns again")
    (said,) = lines(platform, "the event loop has been blocked")
    assert said.startswith("exness-streams: ")
    assert "in <string>:8 (block)" in said
    platform.wait_ready()
    assert platform.terminate() == 0, platform.said()
    assert "Traceback" not in platform.said()


def test_one_that_stays_blocked_is_ended_in_one_line(platform: PlatformProcess) -> None:
    block(platform, 10 * GIVE_UP_S)
    assert platform.wait_ended() == EXIT_UNSERVING, platform.said()
    last = platform.said().splitlines()[-1]
    assert last.startswith("exness-streams: the event loop was blocked for ")
    assert last.endswith("this process must start again")
    assert "Traceback" not in platform.said()
    platform.start()
    platform.wait_ready()


def test_one_that_was_stopped_goes_on(platform: PlatformProcess) -> None:
    platform.signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    platform.signal(signal.SIGCONT)
    platform.wait_tradable()
    assert not lines(platform, "blocked")
    assert platform.terminate() == 0, platform.said()
