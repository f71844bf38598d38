"""A stop is asked for once, bounded from then on, and told in one line when it is cut off."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from faust.tables.recovery import ServiceStopped

from exness_streams.processes.logs import is_news
from exness_streams.processes.stopping import EXIT_FORCED, SAME_WISH_S, Stopping, unless
from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.consumer_thread import ThreadEnded
from exness_streams.transport.tasks import given_up

GIVE_UP_S = 30.0
NEVER_S = 86_400.0
"""A limit whose timer fires in no later test."""


class Exit:
    """Stands in for the end of the process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.happened.set()


def test_a_stop_that_hangs_is_cut_off_with_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    ended = Exit()
    stopping = Stopping(grace_s=0.05, exit=ended)
    stopping.signalled("SIGTERM")
    stopping.limit("another reason, which comes too late")
    assert ended.happened.wait(GIVE_UP_S)
    assert ended.codes == [EXIT_FORCED]
    said = "exness-streams: asked to stop by SIGTERM; the stop took more than 0.05 s and was cut off\n"
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("after_s", [SAME_WISH_S + 0.01, 2.0, 3_600.0])
def test_a_second_signal_ends_at_once(capfd: pytest.CaptureFixture[str], after_s: float) -> None:
    ended, now_s = Exit(), 100.0
    stopping = Stopping(grace_s=NEVER_S, exit=ended, clock_s=lambda: now_s)
    stopping.signalled("SIGTERM")
    assert not ended.codes
    now_s += after_s
    stopping.signalled("SIGINT")
    assert ended.codes == [EXIT_FORCED]
    assert "second signal (SIGINT)" in capfd.readouterr().err


@pytest.mark.parametrize("names", [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM"), ("SIGINT", "SIGINT", "SIGINT")])
def test_signals_that_come_together_are_one_wish(capfd: pytest.CaptureFixture[str], names: tuple[str, ...]) -> None:
    ended, now_s, told = Exit(), 100.0, []
    stopping = Stopping(grace_s=NEVER_S, exit=ended, clock_s=lambda: now_s)
    stopping.when_asked(lambda: told.append(now_s))
    for name in names:
        stopping.signalled(name)
        now_s += SAME_WISH_S / (len(names) - 1)
    assert told == [100.0]
    assert not ended.codes
    assert not capfd.readouterr().err


def test_also_one_that_is_asked_too_late_is_told() -> None:
    told: list[str] = []
    stopping = Stopping(grace_s=NEVER_S, exit=Exit())
    stopping.when_asked(lambda: told.append("early"))
    stopping.signalled("SIGTERM")
    stopping.when_asked(lambda: told.append("late"))
    assert told == ["early", "late"]


async def test_the_event_of_a_loop_is_set_from_the_thread_that_takes_signals() -> None:
    stopping = Stopping(grace_s=NEVER_S, exit=Exit())
    asked = stopping.event()
    threading.Thread(target=stopping.signalled, args=["SIGTERM"]).start()
    await asyncio.wait_for(asked.wait(), GIVE_UP_S)


def test_a_loop_that_is_blocked_does_not_hold_it_up() -> None:
    ended = Exit()
    stopping = Stopping(grace_s=0.05, exit=ended)

    async def blocked() -> None:
        stopping.event()
        threading.Thread(target=stopping.signalled, args=["SIGTERM"]).start()
        deadline_s = time.monotonic() + GIVE_UP_S
        while not ended.codes and time.monotonic() < deadline_s:
            pass  # never gives the loop its turn

    asyncio.run(blocked())
    assert ended.codes == [EXIT_FORCED]


async def test_a_task_that_swallows_a_cancellation_is_cancelled_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exness_streams.transport.tasks.CANCEL_AGAIN_S", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.sleep(GIVE_UP_S)
            except asyncio.CancelledError:  # noqa: PERF203 - the fault that is tried
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(given_up(task), GIVE_UP_S)
    assert task.done()
    assert swallowed == 3


async def test_what_a_task_raises_while_it_is_given_up_is_nobodys_complaint() -> None:
    async def failing() -> None:
        raise OSError("gone")

    await given_up(asyncio.create_task(failing()))


async def test_a_start_is_given_up_when_a_stop_comes_first() -> None:
    stop, started = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    assert not await unless(stop.wait(), started.wait())
    started.set()
    assert await unless(asyncio.Event().wait(), started.wait())

    async def failing() -> None:
        raise LogFault("no broker")

    with pytest.raises(LogFault):
        await unless(asyncio.Event().wait(), failing())


def record(message: str, *arguments: Any) -> logging.LogRecord:
    return logging.LogRecord("exness_streams", logging.WARNING, "file", 1, message, arguments, None)


@pytest.mark.parametrize(
    ("message", "arguments", "is_printed"),
    [
        ("the leader could not publish: %s", (LogFault("the broker is away"),), True),
        ("%s failed after %d tries: %r", ("it", 3, LogFault("away")), True),
        ("[^Worker]: Crashed reason=%r", (LogFault("away"),), False),
        ("[^Worker]: Crashed reason=%r", (ValueError("a defect"),), True),
        ("Drain messages raised: %r", (LogFault("away"),), False),
        ("a plain line", (), True),
    ],
)
def test_a_warning_that_carries_a_fault_is_printed(message: str, arguments: tuple[Any, ...], is_printed: bool) -> None:
    assert is_news(record(message, *arguments)) is is_printed


@pytest.mark.parametrize(
    ("error", "is_printed"), [(ServiceStopped(), False), (ThreadEnded(), False), (ValueError("a defect"), True)]
)
def test_a_task_that_hears_of_a_stop_when_nobody_waits_any_more_is_not_printed(
    error: Exception, is_printed: bool
) -> None:
    told = logging.LogRecord(
        "asyncio", logging.ERROR, "file", 1, "Task exception was never retrieved", (), (type(error), error, None)
    )
    assert is_news(told) is is_printed
