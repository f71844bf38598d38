"""A library's message is said once, and once more after a while with the number of those held back."""

from __future__ import annotations

import logging

from exness_streams.processes.log_repeats import Repeats


def record(message: str, *args: object, name: str = "aiokafka") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "file", 1, message, args, None)


def test_a_repeat_is_held_back_and_counted() -> None:
    now_s = [0.0]
    repeats = Repeats(60.0, lambda: now_s[0])
    assert repeats.filter(record("Unable connect to node %s", 1))
    for _ in range(999):
        assert not repeats.filter(record("Unable connect to node %s", 2))
    now_s[0] = 60.0
    last = record("Unable connect to node %s", 3)
    assert repeats.filter(last)
    assert last.getMessage() == "Unable connect to node 3 (and 999 times since this was last said)"
    now_s[0] = 121.0
    quiet_again = record("Unable connect to node %s", 4)
    assert repeats.filter(quiet_again)
    assert quiet_again.getMessage() == "Unable connect to node 4"


def test_another_message_and_another_logger_are_no_repeat() -> None:
    repeats = Repeats()
    assert repeats.filter(record("one"))
    assert repeats.filter(record("two"))
    assert repeats.filter(record("one", name="mode"))


def test_our_own_messages_all_pass() -> None:
    repeats = Repeats()
    assert all(repeats.filter(record("feed connected", name="exness_streams.market_data.feed")) for _ in range(3))
