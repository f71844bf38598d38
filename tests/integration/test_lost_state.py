"""Tables and log of one machine that no longer belong together: refused, or built anew, never taken for a new start."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from platform_harness import CLOSE, OPEN, PlatformThread, until, until_committed

from exness_streams.audit.embedded import audit_all
from exness_streams.engine.candles import FLUSH_S
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC

ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
ACCOUNTS, HISTORY, CANDLES = (f"exness-streams-{table}-changelog" for table in ("accounts", "history", "candles"))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,900 USD more, a trade and a position; stopped in order."""
    data_dir = tmp_path_factory.mktemp("left")
    trade(PlatformThread(data_dir).start())
    return data_dir


@pytest.fixture
def data_dir(left: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    gc.collect()
    return shutil.copytree(left, tmp_path / "data")


def trade(platform: PlatformThread) -> None:
    try:
        assert platform.post("/api/v1/account/deposit", {"amount": 4_900}, key="once").status == 200
        opened = platform.post(OPEN, ORDER).json
        assert platform.post(CLOSE, {"positionId": opened["positionId"]}).status == 200
        assert platform.post(OPEN, ORDER).status == 201
        for topic in (JOURNAL_TOPIC, EVENTS_TOPIC):
            until_committed(platform.settings.log_dir, topic)
        time.sleep(FLUSH_S + 0.2)  # candles are kept once a second
    finally:
        platform.stop()


def damage(data_dir: Path, topic: str, which: str = "1", *, keep_tables: bool = False) -> None:
    """Take records out of a compacted topic of the log, and the tables away."""
    with sqlite3.connect(data_dir / "log" / "log.sqlite") as db:
        tp = "tp IN (SELECT tp FROM partitions JOIN topics ON topics.id = topic WHERE name = ?)"
        count = 0
        for table in ("latest", "records"):
            count += db.execute(f"DELETE FROM {table} WHERE {tp} AND {which}", (topic,)).rowcount
        assert count > 0
    db.close()
    if not keep_tables:
        shutil.rmtree(data_dir / "tables")


def started(data_dir: Path) -> PlatformThread:
    """A platform where another one ran in this process: RocksDB lets its tables go with the last reference to it."""
    gc.collect()
    return PlatformThread(data_dir).start()


def checked(data_dir: Path) -> PlatformThread:
    """It serves all that was there, and repeats an answer instead of a request."""
    platform = started(data_dir)
    state = platform.state()
    assert platform.post("/api/v1/account/deposit", {"amount": 4_900}, key="once").status == 200
    assert platform.state()["sequence"] == state["sequence"] == 4
    assert len(state["positions"]) == 1
    assert state["account"]["balance"] > 14_800
    trades = until(lambda: (reply := platform.get("/api/v1/trades")).status == 200 and reply.json["trades"])
    assert len(trades) == 1
    return platform


def is_clean(data_dir: Path) -> bool:
    cells = audit_all(data_dir / "log", data_dir / "tables", data_dir / "checkpoints", "exness-streams")
    return all(cell.is_clean for cell in cells)


def test_tables_that_are_removed_are_built_anew_and_proven(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "tables")
    checked(data_dir).stop()
    assert is_clean(data_dir)
    checked(data_dir).stop()


@pytest.mark.parametrize(
    "which", ["1", "key = CAST('account/demo' AS BLOB)", "key = CAST('outcome/demo/once' AS BLOB)"]
)
def test_accounts_that_the_log_lost_are_refused_every_time(data_dir: Path, which: str) -> None:
    damage(data_dir, ACCOUNTS, which)
    for _ in range(2):
        with pytest.raises(Exception, match=rf"partition 0 of {ACCOUNTS} .*Restore it from a backup"):
            started(data_dir)


@pytest.mark.parametrize(
    "which", ["1", "substr(key, 1, 6) = CAST('trade/' AS BLOB)", "substr(key, 1, 5) = CAST('head/' AS BLOB)"]
)
def test_histories_that_the_log_lost_are_built_anew(
    data_dir: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(data_dir, HISTORY, which)
    checked(data_dir).stop()
    assert "its histories are built anew from trading-events" in caplog.text
    caplog.clear()
    checked(data_dir).stop()
    assert "built anew" not in caplog.text


def goes_on(platform: PlatformThread, trades: int) -> None:
    """Trading does, and so does the history, with so many trades of before."""
    (position,) = platform.state()["positions"]
    until(lambda: platform.post(CLOSE, {"positionId": position["positionId"]}).status == 200)  # once there are prices
    until(lambda: len(platform.get("/api/v1/trades").json["trades"]) == trades + 1)


def missing(platform: PlatformThread) -> float:
    lines = platform.get("/metrics").body.decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("exness_events_missing_total"))


@pytest.mark.parametrize("which", ["1", "offset > 1"])
@pytest.mark.parametrize("keep_tables", [True, False])
def test_events_that_the_log_lost_are_missed_by_nobody_who_has_taken_them(
    data_dir: Path, which: str, keep_tables: bool, caplog: pytest.LogCaptureFixture
) -> None:
    damage(data_dir, EVENTS_TOPIC, which, keep_tables=keep_tables)
    platform = checked(data_dir)
    goes_on(platform, trades=1)
    assert missing(platform) == 0
    platform.stop()
    assert "They keep what they have and go on with the first event there is" in caplog.text
    assert is_clean(data_dir)


@pytest.mark.parametrize(("trimmed_to", "lost", "trades"), [(1, 1, 1), (3, 3, 0), (None, 4, 0)])
def test_events_and_histories_that_the_log_lost_are_counted(
    data_dir: Path, trimmed_to: int | None, lost: int, trades: int, caplog: pytest.LogCaptureFixture
) -> None:
    damage(data_dir, HISTORY)
    damage(data_dir, EVENTS_TOPIC, "1" if trimmed_to is None else f"offset < {trimmed_to}", keep_tables=True)
    with sqlite3.connect(data_dir / "log" / "log.sqlite") as db:
        of_topic = "topic IN (SELECT id FROM topics WHERE name = ?)"
        db.execute(f"UPDATE partitions SET start = ? WHERE {of_topic}", (trimmed_to or 0, EVENTS_TOPIC))
    db.close()
    platform = started(data_dir)
    goes_on(platform, trades)
    assert missing(platform) == lost
    platform.stop()
    assert f"lacks {lost} events of account demo, and {lost} so far" in caplog.text
    assert is_clean(data_dir)


def test_candles_that_the_log_lost_are_said(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    damage(data_dir, CANDLES)
    checked(data_dir).stop()
    assert caplog.text.count("candles are missing") == 1
