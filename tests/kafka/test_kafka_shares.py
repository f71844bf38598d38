"""Workers on a real broker have even shares of the cells, also after each was restarted; one may rightly have none.
And one that comes back after a day."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import rocksdict
from broker import Broker
from cluster import Cluster, Member, cluster_of_its_own, wait_until

from exness_streams.transport.table_store import SEEN_KEY

SETTINGS = {"EXNESS_MAX_QUOTE_AGE_MS": "3600000"}


def asked(url: str, path: str, **headers: str) -> Any:
    """What a worker answers, whatever its status."""
    request = urllib.request.Request(url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return json.load(refused)


def cells_of(member: Member) -> list[int]:
    try:
        return [cell["partition"] for cell in asked(member.url, "/readyz")["cells"]]
    except OSError:
        return []


def restart(cluster: Cluster, member: Member) -> None:
    lives = len(member.exits)
    member.signal(signal.SIGTERM)
    wait_until(lambda: len(member.exits) > lives, f"{member.name} ends", cluster.said)
    assert member.exits[-1] == 0, cluster.said()
    wait_until(lambda: member.is_settled, f"{member.name} works again", cluster.said)


@pytest.mark.timeout(300)
def test_after_a_rolling_restart_nobody_is_left_without_cells(broker: Broker, tmp_path: Path) -> None:
    with cluster_of_its_own(tmp_path, EXNESS_PARTITIONS="4", **SETTINGS) as cluster:
        for member in cluster.engines:
            restart(cluster, member)
            cluster.wait_ready()
            counts = {one.name: len(cells_of(one)) for one in cluster.engines}
            assert sorted(counts.values()) == [1, 1, 2], counts
        assert sorted(cell for one in cluster.engines for cell in cells_of(one)) == [0, 1, 2, 3]


@pytest.mark.timeout(300)
async def test_a_worker_without_cells_is_ready_and_passes_requests_on(broker: Broker, tmp_path: Path) -> None:
    with cluster_of_its_own(tmp_path, EXNESS_PARTITIONS="2", **SETTINGS) as cluster:
        counts = [len(cells_of(one)) for one in cluster.engines]
        assert sorted(counts) == [0, 1, 1]
        idle, busy = cluster.engines[counts.index(0)], cluster.engines[counts.index(1)]

        said = asked(idle.url, "/readyz")
        assert (said["status"], said["reasons"], said["cells"]) == ("ok", [], [])
        shown = {one["symbol"] for one in asked(idle.url, "/api/v1/markets")["markets"] if one["price"] is not None}
        assert shown == {one["symbol"] for one in asked(busy.url, "/api/v1/markets")["markets"]}
        for account in ("here", "there", "elsewhere"):
            assert asked(idle.url, "/api/v1/state", **{"X-Account": account})["sequence"] == 0
        async with aiohttp.ClientSession() as client, client.ws_connect(idle.url + "/ws?symbols=SOL") as stream:
            told = set()
            while "market_data" not in told and len(told) < 10:
                told.add((await stream.receive_json(timeout=10))["type"])
        assert "market_data" in told

        restart(cluster, busy)  # whoever is there takes what it had; shares are even again
        cluster.wait_ready()
        assert sorted(len(cells_of(one)) for one in cluster.engines) == [0, 1, 1]


GHOST = b"outcome/ghost/k"
DAY_S = 86_400


def tables_of(cluster: Cluster, member: Member) -> list[Path]:
    return sorted((cluster.directory / "data").glob(f"workers/{member.name}/v*/tables/accounts-?.db"))


def opened(path: Path) -> Any:
    return rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))


@pytest.mark.timeout(300)
@pytest.mark.experiment
def test_a_worker_that_comes_back_after_a_day_builds_its_tables_anew(broker: Broker, tmp_path: Path) -> None:
    """Brokers forget removals after a day: here what was removed meanwhile is an entry that the changelog lacks."""
    with cluster_of_its_own(tmp_path, EXNESS_PARTITIONS="4", **SETTINGS) as cluster:
        member = cluster.engines[0]
        member.restart_pause_s = 3600.0
        member.signal(signal.SIGTERM)
        wait_until(lambda: bool(member.exits), f"{member.name} ends", cluster.said)
        old = tables_of(cluster, member)
        assert old
        for path in old:
            table = opened(path)
            table[GHOST] = b"{}"
            table[SEEN_KEY] = b"%d" % int((time.time() - DAY_S) * 1000)
            table.close()
        wait_until(lambda: sum(len(cells_of(one)) for one in cluster.engines[1:]) == 4, "others have all", cluster.said)
        member.restart_pause_s = 0.0
        wait_until(lambda: member.is_settled, f"{member.name} works again", cluster.said)
        cluster.wait_ready()
        put_aside = [path for path in old if list(path.parent.glob(path.name + ".put-aside-*"))]
        assert put_aside, "prices alone moved what it had"
        assert "hours old: Kafka may have forgotten what was removed since" in member.said()
    for path in put_aside:
        table = opened(path)
        assert table.get(GHOST) is None
        table.close()
