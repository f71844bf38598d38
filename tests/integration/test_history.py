"""Trades and equity over HTTP, on a whole platform."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from platform_harness import CLOSE, OPEN, PlatformThread, Reply, until

from exness_streams.api.views import history as history_views
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC

TRADES, EQUITY = "/api/v1/trades", "/api/v1/equity"
DEPOSIT, RESET = "/api/v1/account/deposit", "/api/v1/account/reset"
FEE_RATE = Decimal("0.001")
CSV = {"Accept": "text/csv"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), partitions=2, fee_rate=FEE_RATE)
    try:
        yield thread.start()
    finally:
        thread.stop()


def opened(platform: PlatformThread, account: str, **fields: Any) -> str:
    reply = platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long", "leverage": 5} | fields, account)
    assert reply.status == 201, reply
    position_id: str = reply.json["positionId"]
    return position_id


def close(platform: PlatformThread, account: str, position_id: str, **fields: Any) -> Any:
    reply = platform.post(CLOSE, {"positionId": position_id} | fields, account)
    assert reply.status == 200, reply
    return reply.json


def trade(platform: PlatformThread, account: str, **fields: Any) -> str:
    """A position opened and closed; its id."""
    position_id = opened(platform, account, **fields)
    close(platform, account, position_id)
    return position_id


def page(platform: PlatformThread, account: str, **query: Any) -> Any:
    reply = platform.get(TRADES + "?" + "&".join(f"{name}={value}" for name, value in query.items()), account)
    assert reply.status == 200, reply
    return reply.json


def pages(platform: PlatformThread, account: str, **query: Any) -> list[Any]:
    """The trades of all pages, one after another."""
    found: list[Any] = []
    while True:
        answer = page(platform, account, **query)
        assert len(answer["trades"]) <= query["limit"]
        found += answer["trades"]
        if answer["nextCursor"] is None:
            return found
        query["cursor"] = answer["nextCursor"]


def rows(reply: Reply) -> list[dict[str, str]]:
    assert reply.status == 200, reply
    return list(csv.DictReader(io.StringIO(reply.body.decode(), newline=""), strict=True))


def as_csv(platform: PlatformThread, account: str, query: str = "") -> Reply:
    return platform.send("GET", TRADES + query, headers={"X-Account": account, **CSV})


def ids(trades: list[Any]) -> list[str]:
    return [one["positionId"] for one in trades]


def test_a_client_that_has_just_closed_sees_its_trade(platform: PlatformThread) -> None:
    for number in range(1, 11):
        position_id = trade(platform, "prompt")
        answer = page(platform, "prompt")
        assert len(answer["trades"]) == number
        assert answer["trades"][0]["positionId"] == position_id
        assert answer["sequence"] == platform.state("prompt")["sequence"] == 2 * number


def test_a_trade_is_shown_although_neither_the_topic_nor_the_history_has_it(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits: the cell has told it."""
    assert platform.platform is not None
    history = platform.platform.engine.history
    held: list[tuple[int, Any]] = []
    fold = history.fold

    async def hold(partition: int, batch: Any) -> None:
        held.append((partition, batch))

    monkeypatch.setattr(history, "fold", hold)
    monkeypatch.setattr(history_views, "CATCH_UP_S", 0.0)
    expected = []
    for _ in range(3):
        expected.insert(0, trade(platform, "held"))
        assert [one["positionId"] for one in pages(platform, "held", limit=1)] == expected
        state = platform.get("/api/v1/state", "held").json
        shown = page(platform, "held")
        assert shown["sequence"] == state["sequence"]
        points = platform.get(EQUITY, "held").json["points"]
        assert points[-1]["balance"] == state["account"]["balance"]
        assert len(rows(as_csv(platform, "held"))) == len(expected)
    # Only when all are held: one that came after the real fold is back would be taken before those held.
    until(lambda: expected[0] in repr(held))
    monkeypatch.setattr(history, "fold", fold)
    for partition, batch in held:
        platform.run(fold(partition, batch))
    assert [one["positionId"] for one in pages(platform, "held", limit=2)] == expected


def test_a_trade_tells_how_it_went(platform: PlatformThread) -> None:
    position_id = opened(platform, "teller", margin=100, leverage=5, asset="SOL_USDC")
    part = close(platform, "teller", position_id, percentage=40)
    (told,) = page(platform, "teller")["trades"]
    assert told.keys() == {
        "tradeId", "positionId", "asset", "symbol", "type", "quantity", "leverage", "entryPrice", "closePrice",
        "realizedPnL", "fee", "reason", "openedAt", "closedAt", "durationMs",
    }  # fmt: skip
    assert (told["positionId"], told["asset"], told["symbol"]) == (position_id, "SOL", "SOL_USDC")
    assert (told["type"], told["reason"], told["leverage"]) == ("long", "manual", 5)
    assert (told["entryPrice"], told["closePrice"]) == (Decimal("150.1"), 150)
    assert (told["quantity"], told["realizedPnL"]) == (part["quantity"], part["realizedPnL"])
    assert told["fee"] > part["fee"], "the close and its share of the fee paid at open"
    assert told["durationMs"] == told["closedAt"] - told["openedAt"] >= 0
    assert platform.state("teller")["positions"][0]["positionId"] == position_id


def test_nothing_yet(platform: PlatformThread) -> None:
    assert page(platform, "new") == {"trades": [], "nextCursor": None, "sequence": 0}
    assert platform.get(EQUITY, "new").json == {"points": [], "nextCursor": None, "sequence": 0}
    assert rows(as_csv(platform, "new")) == []
    assert as_csv(platform, "new").body.startswith(b"tradeId,positionId,asset,symbol,type,")


def test_pages_stay_what_they_are_while_trades_arrive(platform: PlatformThread) -> None:
    made = [trade(platform, "pager") for _ in range(7)][::-1]
    first = page(platform, "pager", limit=3)
    assert ids(first["trades"]) == made[:3]
    newer = [trade(platform, "pager") for _ in range(2)][::-1]
    second = page(platform, "pager", limit=3, cursor=first["nextCursor"])
    assert ids(second["trades"]) == made[3:6]
    third = page(platform, "pager", limit=3, cursor=second["nextCursor"])
    assert (ids(third["trades"]), third["nextCursor"]) == (made[6:], None)
    for limit in (1, 2, 8, 9, 10, 500):
        assert ids(pages(platform, "pager", limit=limit)) == newer + made


def test_filters(platform: PlatformThread) -> None:
    sol, btc = trade(platform, "filter"), trade(platform, "filter", asset="BTC")
    eth = opened(platform, "filter", asset="ETH", leverage=100)
    later = trade(platform, "filter")
    platform.set_price("ETH_USDC", "3400.00", "3401.00")
    until(lambda: not platform.state("filter")["positions"])
    platform.set_price("ETH_USDC", "3500.00", "3501.00")
    assert ids(page(platform, "filter")["trades"]) == [eth, later, btc, sol]
    assert ids(page(platform, "filter", symbol="SOL_USDC")["trades"]) == [later, sol]
    assert ids(pages(platform, "filter", symbol="SOL_USDC", limit=1)) == [later, sol]
    assert ids(page(platform, "filter", reason="liquidation")["trades"]) == [eth]
    assert ids(page(platform, "filter", reason="manual", symbol="BTC_USDC")["trades"]) == [btc]
    assert page(platform, "filter", symbol="DOGE_USDC")["trades"] == []
    assert [row["positionId"] for row in rows(as_csv(platform, "filter", "?symbol=SOL_USDC"))] == [later, sol]


def test_csv_and_json_sum_to_the_balance(platform: PlatformThread) -> None:
    for number in range(40):
        position_id = opened(platform, "sums", margin=f"{100 + number}.37", leverage=1 + number % 7)
        if number % 3 == 0:
            close(platform, "sums", position_id, percentage="33.3")
        close(platform, "sums", position_id)
    opened(platform, "sums", margin=700)
    assert platform.post(DEPOSIT, {"amount": "12.00000001"}, "sums").status == 200
    state = platform.state("sums")
    account = state["account"]
    listed, lines = pages(platform, "sums", limit=17), rows(as_csv(platform, "sums"))
    assert len(listed) == len(lines) == 54
    for one, line in zip(listed, lines, strict=True):
        assert line == {name: value if isinstance(value, str) else format(value, "f") for name, value in one.items()}
    for realized, fees in (
        (sum(one["realizedPnL"] for one in listed), sum(one["fee"] for one in listed)),
        (sum(Decimal(line["realizedPnL"]) for line in lines), sum(Decimal(line["fee"]) for line in lines)),
    ):
        still_open = sum(position["fee"] for position in state["positions"])
        assert realized == account["realizedPnL"]
        assert account["startingBalance"] + account["deposited"] + realized - fees - still_open == account["balance"]


def test_the_equity_curve(platform: PlatformThread) -> None:
    for number in range(5):
        assert platform.post(DEPOSIT, {"amount": 1 + number}, "curve").status == 200
    trade(platform, "curve")
    answer = platform.get(EQUITY, "curve").json
    balances = [point["balance"] for point in answer["points"]]
    assert balances[:5] == [10_001, 10_003, 10_006, 10_010, 10_015]
    assert balances[-1] == platform.state("curve")["account"]["balance"]
    assert len(balances) == 7
    assert [point["time"] for point in answer["points"]] == sorted(point["time"] for point in answer["points"])
    newest = platform.get(EQUITY + "?limit=2", "curve").json
    assert newest["points"] == answer["points"][-2:]
    older = platform.get(EQUITY + f"?limit=500&cursor={newest['nextCursor']}", "curve").json
    assert (older["points"], older["nextCursor"]) == (answer["points"][:-2], None)


def test_a_reset_begins_a_new_history(platform: PlatformThread) -> None:
    trade(platform, "again")
    trade(platform, "again")
    before = page(platform, "again", limit=1)
    assert platform.post(RESET, {"confirm": "RESET"}, "again").status == 200
    assert page(platform, "again")["trades"] == []
    assert page(platform, "again", limit=1, cursor=before["nextCursor"])["trades"] == []
    assert rows(as_csv(platform, "again")) == []
    assert [point["balance"] for point in platform.get(EQUITY, "again").json["points"]] == [10_000]
    position_id = trade(platform, "again")
    assert ids(page(platform, "again")["trades"]) == [position_id]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=-1", "limit"), ("limit=1.5", "limit"),
        ("limit=", "limit"), ("limit=1e2", "limit"), ("limit=%D9%A1", "limit"), ("limit=9999999999", "limit"),
        ("limit=1&limit=2", "limit"), ("limit=%FF", "limit"),
        ("cursor=", "cursor"), ("cursor=abc", "cursor"), ("cursor=YmVmb3JlOjE%3D", "cursor"), ("cursor=%00", "cursor"),
        ("cursor=YmVmb3JlOi0x", "cursor"), ("cursor=YmVmb3JlOjAx", "cursor"),
        ("colour=red", "colour"), ("Limit=5", "Limit"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [TRADES, EQUITY])
def test_bad_queries_name_their_field(platform: PlatformThread, path: str, query: str, field: str) -> None:
    refused = platform.get(f"{path}?{query}")
    assert (refused.status, refused.json["error"]) == (400, "INVALID_REQUEST")
    assert refused.json["details"] == {"field": field}
    assert field in refused.json["message"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (TRADES + "?reason=greed", "reason"), (TRADES + "?reason=", "reason"), (TRADES + "?symbol=", "symbol"),
        (TRADES + "?symbol=" + "A" * 65, "symbol"), (TRADES + "?symbol=%3D1", "symbol"),
        (EQUITY + "?symbol=SOL_USDC", "symbol"), (EQUITY + "?reason=manual", "reason"),
    ],
)  # fmt: skip
def test_bad_filters_name_their_field(platform: PlatformThread, path: str, field: str) -> None:
    refused = platform.get(path)
    assert (refused.status, refused.json["details"]) == (400, {"field": field})


@pytest.mark.parametrize("query", ["limit=5", "cursor=YmVmb3JlOjE"])
def test_csv_has_no_pages(platform: PlatformThread, query: str) -> None:
    refused = as_csv(platform, "demo", "?" + query)
    assert (refused.status, refused.json["details"]) == (400, {"field": query.split("=")[0]})


def test_what_the_headers_say(platform: PlatformThread) -> None:
    trade(platform, "header")
    answer = as_csv(platform, "header")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trades-header.csv"'
    assert answer.headers["Vary"] == "Accept"
    headed = platform.send("HEAD", TRADES, headers={"X-Account": "header", **CSV})
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["Content-Type"] == answer.headers["Content-Type"]
    for accept in ("image/png", "*/*", "text/html,*/*;q=0.8", "application/json", "nonsense"):
        plain = platform.send("GET", TRADES, headers={"X-Account": "header", "Accept": accept})
        assert (plain.status, plain.headers["Content-Type"]) == (200, "application/json")
    assert platform.send("HEAD", TRADES, headers={"X-Account": "header"}).status == 200
    assert platform.send("POST", TRADES).status == 405


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    def seen(platform: PlatformThread) -> list[Any]:
        return [page(platform, "stays"), platform.get(EQUITY, "stays").json, as_csv(platform, "stays").body]

    platform = PlatformThread(tmp_path, fee_rate=FEE_RATE).start()
    try:
        made = [trade(platform, "stays") for _ in range(3)][::-1]
        before = seen(platform)
    finally:
        platform.stop()
    assert ids(before[0]["trades"]) == made
    again = PlatformThread(tmp_path, fee_rate=FEE_RATE).start()
    try:
        assert seen(again) == before
    finally:
        again.stop()
    shutil.rmtree(again.settings.tables_dir)
    rebuilt = PlatformThread(tmp_path, fee_rate=FEE_RATE).start()
    try:
        assert seen(rebuilt) == before
        made.insert(0, trade(rebuilt, "stays"))
        assert ids(page(rebuilt, "stays")["trades"]) == made
    finally:
        rebuilt.stop()


def test_a_data_directory_from_before_builds_its_history(tmp_path: Path) -> None:
    """As a version without histories left it: events, and nothing that knows how far they were read."""
    platform = PlatformThread(tmp_path, partitions=2, fee_rate=FEE_RATE).start()
    try:
        made = {account: [trade(platform, account) for _ in range(3)][::-1] for account in ("ann", "bob", "cyd")}
        before = [page(platform, account) for account in made]
        until(lambda: sum(end for _, end in platform.call(_stored, platform)) >= 2 * 9)  # replies precede their events
        until(lambda: all(offset == end for offset, end in platform.call(_stored, platform)))
    finally:
        platform.stop()
    shutil.rmtree(platform.settings.tables_dir)
    _forget_histories(platform.settings.log_dir / "log.sqlite")
    later = PlatformThread(tmp_path, partitions=2, fee_rate=FEE_RATE).start()
    try:
        assert [page(later, account) for account in made] == before
        assert ids(before[0]["trades"]) == made["ann"]
    finally:
        later.stop()


def _stored(platform: PlatformThread) -> list[tuple[int, int]]:
    """How far histories are in their table, and the end of the events, by partition."""
    assert platform.platform is not None
    engine = platform.platform.engine
    log = engine.app.transport.log
    return [(offset, log.end((EVENTS_TOPIC, number))) for number, offset, _ in engine.history.progress()]


def _forget_histories(file: Path) -> None:
    of_topic = "IN (SELECT tp FROM partitions JOIN topics ON topic = id WHERE name = ?)"
    changelog = f"{APP_ID}-history-changelog"
    with closing(sqlite3.connect(file)) as db, db:
        forgotten = db.execute(f"DELETE FROM latest WHERE tp {of_topic}", (changelog,)).rowcount
        assert forgotten >= 3 * (3 + 6 + 1), "there was a history"
        assert db.execute(f"DELETE FROM commits WHERE tp {of_topic}", (EVENTS_TOPIC,)).rowcount == 2
        assert db.execute(f"SELECT count(*) FROM commits WHERE tp {of_topic}", (JOURNAL_TOPIC,)).fetchone()[0] == 2


def test_histories_are_watched(platform: PlatformThread) -> None:
    trade(platform, "watched")
    assert page(platform, "watched")["trades"]

    def lag() -> list[str]:
        lines = platform.get("/metrics").body.decode().splitlines()
        return [line for line in lines if line.startswith("exness_events_lag_records{")]

    until(lambda: [line.split()[-1] for line in lag()] == ["0.0", "0.0"])
