"""A worker whose settings decide otherwise says so once, and once that it is over."""

from __future__ import annotations

import pytest

from exness_streams.domain.frames import PriceFrame
from exness_streams.engine.settings_watch import DIFFER, SettingsWatch


def frame(settings: str | None, epoch: int = 1) -> PriceFrame:
    return PriceFrame(1, (), epoch=epoch, settings=settings)


def test_it_is_said_once_and_once_that_they_agree_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    watch = SettingsWatch("own")
    watch.take(frame("own"))
    assert (watch.reason, caplog.records) == ("", [])
    for _ in range(3):
        watch.take(frame("other"))
    assert watch.reason == DIFFER
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "theirs other, here own" in caplog.text
    for _ in range(3):
        watch.take(frame("own", 2))
    assert watch.reason == ""
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_framer_of_before_and_one_that_tells_nothing_say_nothing() -> None:
    watch = SettingsWatch("own")
    watch.take(frame("own", 5))
    watch.take(frame("other", 4))
    watch.take(frame(None, 6))
    assert not watch.differ
    watch.take(frame("other", 6))
    watch.take(frame("own", 5))
    watch.take(frame(None, 7))
    assert watch.differ
