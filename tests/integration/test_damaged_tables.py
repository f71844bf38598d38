"""Tables that can't be used beside their log: kept under another name, said in one line, and built anew."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from platform_harness import CLOSE, OPEN, PlatformThread, until, until_committed
from table_damage import UNOPENABLE, block_garbled, garbage

from exness_streams.audit.checkpoints import find_checkpoints, write_checkpoint
from exness_streams.audit.embedded import audit_all
from exness_streams.engine.table_watch import LOOK_S
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC
from exness_streams.transport.faults import TableDamaged, TableFault
from exness_streams.transport.table import CellTable

ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
TABLES = ("accounts", "history", "candles")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deposit, a trade and a position; stopped in order, its tables in files of their own."""
    data_dir = tmp_path_factory.mktemp("left")
    platform = PlatformThread(data_dir).start()
    try:
        assert platform.post("/api/v1/account/deposit", {"amount": 4_900}, key="once").status == 200
        opened = platform.post(OPEN, ORDER).json
        assert platform.post(CLOSE, {"positionId": opened["positionId"]}).status == 200
        assert platform.post(OPEN, ORDER).status == 201
        for topic in (JOURNAL_TOPIC, EVENTS_TOPIC):
            until_committed(platform.settings.log_dir, topic)
    finally:
        platform.stop()
    gc.collect()
    for name in TABLES:
        flush(table_of(data_dir, name))
    return data_dir


@pytest.fixture
def data_dir(left: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(left, tmp_path / "data")


def table_of(data_dir: Path, name: str = "accounts", partition: int = 0) -> Path:
    return data_dir / "tables" / "v1" / "tables" / f"{name}-{partition}.db"


def flush(table: Path) -> None:
    """What was only in its write-ahead log is in an SST now."""
    opened = rocksdict.Rdict(str(table), rocksdict.Options(raw_mode=True))
    opened.flush()
    opened.close()


def started(data_dir: Path) -> PlatformThread:
    gc.collect()
    return PlatformThread(data_dir).start()


def check_all_is_there(platform: PlatformThread, *, sequence: int = 4) -> None:
    state = platform.state()
    assert (state["sequence"], len(state["positions"])) == (sequence, 1)
    assert platform.post("/api/v1/account/deposit", {"amount": 4_900}, key="once").status == 200
    assert platform.state()["sequence"] == sequence, "it was answered before"
    trades = until(lambda: (reply := platform.get("/api/v1/trades")).status == 200 and reply.json["trades"])
    assert len(trades) == 1


def check_audit(data_dir: Path) -> None:
    gc.collect()
    cells = audit_all(data_dir / "log", data_dir / "tables", data_dir / "checkpoints", "exness-streams")
    assert all(cell.is_clean for cell in cells), [cell.differences for cell in cells]


def put_aside(data_dir: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in table_of(data_dir).parent.glob("*.put-aside-*"))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "rebuilt from the log" in record.getMessage()]


KINDS = sorted(UNOPENABLE)


@pytest.mark.parametrize("first", range(0, len(KINDS), 3))
def test_those_that_cannot_be_opened(data_dir: Path, first: int, caplog: pytest.LogCaptureFixture) -> None:
    """Another kind for each table."""
    for name, kind in zip(TABLES, KINDS[first : first + 3], strict=True):
        UNOPENABLE[kind](table_of(data_dir, name))
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    assert put_aside(data_dir) == sorted(f"{name}-0" for name in TABLES)
    assert len(said(caplog)) == 3
    assert "Traceback" not in caplog.text
    check_audit(data_dir)


@pytest.mark.parametrize("where", [".", "v1", "v1/tables"])
def test_a_file_where_their_directory_should_be(data_dir: Path, where: str, caplog: pytest.LogCaptureFixture) -> None:
    way = data_dir / "tables" / where
    shutil.rmtree(way)
    way.parent.mkdir(exist_ok=True)
    way.write_text("in the way")
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    (kept,) = way.parent.glob(f"{way.name}.put-aside-*")
    assert kept.read_text() == "in the way"
    assert "they are rebuilt from the log" in caplog.text
    check_audit(data_dir)


def test_damage_found_while_it_is_loaded_is_cured_at_once(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in TABLES:
        block_garbled(table_of(data_dir, name))
    for _ in range(2):
        platform = started(data_dir)
        try:
            check_all_is_there(platform)
        finally:
            platform.stop()
    assert {"accounts-0", "history-0"} <= set(put_aside(data_dir))
    assert len(said(caplog)) == len(put_aside(data_dir)), "the second start has nothing to say"
    check_audit(data_dir)


@pytest.mark.parametrize(("name", "key"), [("accounts", b"account/demo"), ("accounts", b"meta"), ("history", b"meta")])
def test_an_entry_that_cannot_be_read(data_dir: Path, name: str, key: bytes) -> None:
    """Somebody wrote into it: as RocksDB sees it nothing is wrong."""
    opened = rocksdict.Rdict(str(table_of(data_dir, name)), rocksdict.Options(raw_mode=True))
    assert opened.get(key) is not None
    opened.put(key, b"nonsense")
    opened.close()
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    assert put_aside(data_dir) == [f"{name}-0"]
    check_audit(data_dir)


class Failing:
    """A handle whose files turn out to be damaged."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def get(self, key: bytes) -> bytes:
        raise Exception("Corruption: block checksum mismatch")

    def write(self, batch: Any) -> None:
        raise Exception("Corruption: block checksum mismatch")


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("accounts", lambda platform: platform.post(OPEN, ORDER)),
        ("history", lambda platform: platform.get("/api/v1/trades")),
    ],
)
def test_damage_found_later_ends_the_process_and_the_next_start_cures_it(
    data_dir: Path, name: str, ask: Callable[[PlatformThread], Any], caplog: pytest.LogCaptureFixture
) -> None:
    platform = started(data_dir)
    assert platform.platform is not None
    engine = platform.platform.engine
    handles = {"accounts": engine.table, "history": engine.history.table}[name].data._dbs
    handle = handles[0]
    handles[0] = Failing(handle)
    ask(platform)
    with pytest.raises(TableDamaged, match=r"is damaged .*: nothing acknowledged is lost; start again") as fault:
        until(lambda: platform.failed is not None)
        platform.stop()
    assert len(str(fault.value).splitlines()) == 1
    again = started(data_dir)
    try:
        until(lambda: len(again.get("/api/v1/trades").json["trades"]) == 1)
    finally:
        again.stop()
    assert put_aside(data_dir) == [f"{name}-0"]
    check_audit(data_dir)


def deposited(data_dir: Path, amount: int) -> None:
    platform = started(data_dir)
    try:
        assert platform.post("/api/v1/account/deposit", {"amount": amount}).status == 200
        check_all_is_there(platform, sequence=5)
    finally:
        platform.stop()


def test_those_that_are_ahead_of_a_restored_log(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, backup = data_dir / "log", data_dir.with_name("backup")
    shutil.copytree(log, backup)
    deposited(data_dir, 1)
    shutil.rmtree(log)
    backup.rename(log)
    write_checkpoint(data_dir / "checkpoints", 0, 1_000_000, {})
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    assert put_aside(data_dir) == sorted(f"{name}-0" for name in TABLES)
    assert "the log is an older one, as a backup is" in caplog.text
    assert find_checkpoints(data_dir / "checkpoints", 0) == []
    assert "stands at record 1000000 of a journal that was folded up to" in caplog.text
    check_audit(data_dir)


def test_one_that_is_older_than_the_removals_its_log_tells_of(data_dir: Path) -> None:
    """A tombstone is kept for a day: who has not read it by then never hears of the removal."""
    changelog = "exness-streams-accounts-changelog"
    with sqlite3.connect(data_dir / "log" / "log.sqlite") as db:
        partition = "(SELECT tp FROM partitions JOIN topics ON topics.id = topic WHERE name = ?)"
        (end,) = db.execute(f"SELECT max(offset) FROM latest WHERE tp = {partition}", (changelog,)).fetchone()
        db.execute(f"INSERT INTO purged VALUES ({partition}, ?)", (changelog, end + 1))
    db.close()
    with pytest.raises(ValueError, match="is older than the removals that its log can still tell of"):
        check_audit(data_dir)
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    assert put_aside(data_dir) == ["accounts-0"]


def test_those_of_another_life_of_the_log_at_the_same_offset(data_dir: Path) -> None:
    """The log was restored and has grown again: what the tables have of it was never in this one."""
    log, tables, backup = data_dir / "log", data_dir / "tables", data_dir.with_name("backup")
    shutil.copytree(log, backup)
    deposited(data_dir, 1)
    shutil.rmtree(log)
    backup.rename(log)
    tables.rename(data_dir.with_name("tables"))
    deposited(data_dir, 2)
    deposits_of_two = state_of(data_dir)
    shutil.rmtree(tables)
    data_dir.with_name("tables").rename(tables)
    assert state_of(data_dir) == deposits_of_two
    assert put_aside(data_dir) == sorted(f"{name}-0" for name in TABLES)
    check_audit(data_dir)


def state_of(data_dir: Path) -> Any:
    platform = started(data_dir)
    try:
        state = platform.state()
        return state["account"]["balance"], state["sequence"]
    finally:
        platform.stop()


def test_one_of_a_platform_of_its_own(data_dir: Path, tmp_path: Path) -> None:
    """Somebody else's directory in the place of this one's tables."""
    other = tmp_path / "other"
    platform = PlatformThread(other).start()
    platform.stop()
    shutil.rmtree(data_dir / "tables")
    (other / "tables").rename(data_dir / "tables")
    platform = started(data_dir)
    try:
        check_all_is_there(platform)
    finally:
        platform.stop()
    check_audit(data_dir)


def test_one_of_another_partition(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    platform = PlatformThread(data_dir, partitions=2).start()
    try:
        for account in ("ann", "bob", "cid", "dan"):
            assert platform.post("/api/v1/account/deposit", {"amount": 7}, account).status == 200
    finally:
        platform.stop()
    gc.collect()
    shutil.rmtree(table_of(data_dir, "accounts", 0))
    shutil.copytree(table_of(data_dir, "accounts", 1), table_of(data_dir, "accounts", 0))
    gc.collect()
    platform = PlatformThread(data_dir, partitions=2).start()
    try:
        for account in ("ann", "bob", "cid", "dan"):
            assert platform.state(account)["sequence"] == 1
    finally:
        platform.stop()
    assert put_aside(data_dir) == ["accounts-0"]
    check_audit(data_dir)


def test_one_that_is_put_aside_while_the_log_lacks_entries_is_refused_and_kept(data_dir: Path) -> None:
    """The log's own loss is never taken for a new start, whatever the tables are like."""
    garbage("CURRENT")(table_of(data_dir))
    with sqlite3.connect(data_dir / "log" / "log.sqlite") as db:
        tp = "SELECT tp FROM partitions JOIN topics ON topics.id = topic WHERE name = ?"
        key = "key = CAST('account/demo' AS BLOB)"
        changed = db.execute(
            f"DELETE FROM latest WHERE tp IN ({tp}) AND {key}", ("exness-streams-accounts-changelog",)
        ).rowcount
        assert changed == 1
    db.close()
    for _ in range(2):
        with pytest.raises(Exception, match="Restore it from a backup"):
            started(data_dir)
    assert put_aside(data_dir) == ["accounts-0"]


def gone(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "tables")


def one_gone(data_dir: Path) -> None:
    shutil.rmtree(table_of(data_dir, "history"))


def renamed(data_dir: Path) -> None:
    (data_dir / "tables").rename(data_dir / "elsewhere")


def replaced(data_dir: Path) -> None:
    shutil.copytree(data_dir / "tables", data_dir / "copy")
    renamed(data_dir)
    (data_dir / "copy").rename(data_dir / "tables")


@pytest.mark.parametrize("change", [gone, one_gone, renamed, replaced])
def test_tables_that_are_taken_away_while_it_runs_end_it_and_lose_nothing(
    data_dir: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_look, look = threading.Event(), CellTable.look
    monkeypatch.setattr(CellTable, "look", lambda table: look(table) if may_look.is_set() else None)
    platform = started(data_dir)
    change(data_dir)
    assert platform.post("/api/v1/account/deposit", {"amount": 3}, key="meanwhile").status == 200
    may_look.set()
    with pytest.raises(TableFault, match="while it was in use: nothing acknowledged is lost; start again") as fault:
        ended(platform)
    assert len(str(fault.value).splitlines()) == 1
    del platform, fault
    again = started(data_dir)
    try:
        assert again.post("/api/v1/account/deposit", {"amount": 3}, key="meanwhile").status == 200
        check_all_is_there(again, sequence=5)
    finally:
        again.stop()
    check_audit(data_dir)


def ended(platform: PlatformThread) -> None:
    until(lambda: platform.failed is not None)
    platform.stop()


def test_tables_that_are_moved_and_linked_to_are_the_same(data_dir: Path) -> None:
    platform = started(data_dir)
    try:
        renamed(data_dir)
        (data_dir / "tables").symlink_to(data_dir / "elsewhere")
        time.sleep(LOOK_S * 2)
        check_all_is_there(platform)
    finally:
        platform.stop()
