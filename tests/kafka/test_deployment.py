"""Three engines and the market data on addresses of their own, behind nginx, as docker/compose.yaml starts them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import aiohttp
import pytest
from broker import Broker
from deployment import Deployment, ask, can_use_loopback_addresses, signed_in, until, without_topics
from gateway import Gateway, NginxMissing, nginx_command
from mail_server import Mailbox, parts_of
from prometheus_client.parser import text_string_to_metric_families as parse_text

PARTITIONS = 8
ENGINES = ("engine-1", "engine-2", "engine-3")

pytestmark = pytest.mark.skipif(not can_use_loopback_addresses(), reason="needs more loopback addresses than one")


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, broker: Broker, mailbox: Mailbox) -> Iterator[Deployment]:
    try:
        nginx_command()
    except NginxMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    directory = tmp_path_factory.mktemp("deployment")
    without_topics(directory, broker)
    deployment = Deployment(directory, broker.address, SMTP_HOST="127.0.0.1", SMTP_PORT=str(mailbox.port))
    try:
        deployment.start("market-data-1", *ENGINES)
        deployment.open_gateway()
        yield deployment
    finally:
        deployment.end()


@pytest.fixture
def gateway(deployment: Deployment) -> Gateway:
    assert deployment.gateway is not None
    return deployment.gateway


def tradable(gateway: Gateway) -> bool:
    status, body = ask(f"{gateway.url}/api/v1/markets")
    return status == 200 and all(market["tradable"] for market in json.loads(body)["markets"])


def test_prices_and_the_page_come_through_the_gateway(gateway: Gateway) -> None:
    until(lambda: tradable(gateway))
    status, page = ask(f"{gateway.url}/", Accept="text/html")
    assert status == 200
    assert b"<!doctype html>" in page.lower()
    status, body = ask(f"{gateway.url}/api/v1/candles?symbol=SOL_USDC&interval=1m&limit=5")
    assert status == 200
    assert json.loads(body)["candles"]


def test_each_process_can_be_scraped(deployment: Deployment, gateway: Gateway) -> None:
    def scraped() -> dict[str, dict[str, float]]:
        found = {}
        for name in (*ENGINES, "market-data-1"):
            status, text = ask(deployment.services[name].metrics_url)
            assert status == 200
            samples = [one for family in parse_text(text.decode()) for one in family.samples]
            found[name] = {one.name: one.value for one in samples if not one.labels}
        return found

    def whole() -> bool:
        found = scraped()
        return sum(found[name]["exness_cells_owned"] for name in ENGINES) == PARTITIONS

    until(whole)
    found = scraped()
    assert all(one["exness_ready"] == 1 for one in found.values())
    assert found["market-data-1"]["exness_feed_leader"] == 1


def test_metrics_are_on_no_other_port(deployment: Deployment, gateway: Gateway) -> None:
    assert ask(f"{gateway.url}/metrics")[0] == 404
    for name in (*ENGINES, "market-data-1"):
        assert ask(f"{deployment.services[name].url}/metrics")[0] == 404
        assert ask(deployment.services[name].metrics_url.replace("/metrics", "/readyz"))[0] == 404


def test_a_client_passes_for_no_worker(deployment: Deployment, gateway: Gateway) -> None:
    """One engine keeps the candles. A request that says it was passed on would be refused by the other two."""
    path = "/api/v1/candles?symbol=SOL_USDC&interval=1m&limit=1"
    for _ in range(6):
        assert ask(gateway.url + path, X_Exness_Forwarded="1")[0] == 200


ORDER = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_who_signs_in_trades_through_any_engine(deployment: Deployment, gateway: Gateway, mailbox: Mailbox) -> None:
    until(lambda: tradable(gateway))
    assert ask(f"{gateway.url}/api/v1/positions/open", body=ORDER)[0] == 401
    token = signed_in(gateway.url, mailbox, "ann@example.com")
    assert mailbox.link("ann@example.com").startswith(f"{gateway.url}/")  # where the page is, not where an engine is
    status, body = ask(f"{gateway.url}/api/v1/positions/open", body=ORDER, **bearer(token))
    assert status == 201, body
    position = json.loads(body)["positionId"]
    for name in ENGINES:
        status, body = ask(f"{deployment.services[name].url}/api/v1/state", **bearer(token))
        assert (status, [one["positionId"] for one in json.loads(body)["positions"]]) == (200, [position])
    other = signed_in(gateway.url, mailbox, "bob@example.com")
    assert ask(f"{gateway.url}/api/v1/positions/close", body={"positionId": position}, **bearer(other))[0] == 404
    gateway.stop()
    gateway.start()
    assert ask(f"{gateway.url}/api/v1/positions/close", body={"positionId": position}, **bearer(token))[0] == 200
    assert ask(f"{gateway.url}/api/auth/logout", body={}, **bearer(token))[0] == 200
    for name in ENGINES:
        assert ask(f"{deployment.services[name].url}/api/v1/state", **bearer(token))[0] == 401
    written = "\n".join([*gateway.accesses(), gateway.errors(), *(one.said() for one in deployment.services.values())])
    assert token not in written
    assert parts_of(mailbox.link("ann@example.com"))["token"] not in written


@pytest.mark.parametrize("path", ["/", "/ws?symbols=SOL_USDC"])
async def test_streams_come_through_the_gateway(gateway: Gateway, path: str) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(gateway.url + path) as stream:
        kinds = {(await stream.receive_json(timeout=20))["type"] for _ in range(6)}
    assert {"connection", "market_data"} <= kinds


def test_a_restart_of_the_gateway_strands_nobody(deployment: Deployment, gateway: Gateway) -> None:
    pids = {name: deployment.services[name].process for name in ENGINES}
    gateway.stop()
    with pytest.raises(OSError, match="refused"):
        ask(f"{gateway.url}/livez")
    assert all(ask(f"{deployment.services[name].url}/readyz")[0] == 200 for name in ENGINES)
    gateway.start()
    assert ask(f"{gateway.url}/api/v1/markets")[0] == 200
    assert pids == {name: deployment.services[name].process for name in ENGINES}


def test_an_engine_that_dies_is_gone_round_and_comes_back(deployment: Deployment, gateway: Gateway) -> None:
    engine = deployment.services["engine-2"]
    engine.kill()
    for _ in range(9):
        status, body = ask(f"{gateway.url}/livez")
        assert status == 200, body
    engine.start()
    engine.wait_ready()
    until(lambda: tradable(gateway))


def test_a_taken_metrics_port_ends_an_engine_in_one_line(deployment: Deployment) -> None:
    other, engine = deployment.worker("engine-3", called="another"), deployment.services["engine-1"]
    setting = f"EXNESS_METRICS_PORT={engine.metrics_port}"
    taken = {"EXNESS_WORKER_ID": "another", "EXNESS_HOST": engine.host, "EXNESS_METRICS_PORT": str(engine.metrics_port)}
    other.variables |= taken
    other.start()
    assert other.process is not None
    assert other.process.wait(60) == 1
    (line,) = other.said().strip().splitlines()
    assert line.startswith(f"exness-streams: {setting} can't be used (Address already in use)")


def test_no_secret_is_in_any_output(deployment: Deployment) -> None:
    for service in deployment.services.values():
        for name in ("EXNESS_SECRET_KEY", "EXNESS_PEPPER"):
            assert deployment.secrets[name] not in service.said()
