"""The gateway's configuration: nginx itself reads it, and tries it with nobody behind it."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import CONFIGURATION, Gateway, NginxMissing, nginx_command
from ports import free_port, free_ports

ROOT = Path(__file__).parents[2]
TEXT = CONFIGURATION.read_text("utf-8")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    try:
        nginx_command()
    except NginxMissing as missing:
        if os.environ.get("CI_NGINX"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    engines = {f"engine-{n}": f"127.0.0.1:{port}" for n, port in enumerate(free_ports(3), 1)}
    gateway = Gateway(engines, "127.0.0.1", free_port(), tmp_path_factory.mktemp("nginx"))
    gateway.start()
    yield gateway
    gateway.stop()


def ask(gateway: Gateway, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def test_nginx_reads_it(gateway: Gateway) -> None:
    assert "syntax is ok" in gateway.check()


@pytest.mark.parametrize("path", ["/", "/api/v1/state", "/ws", "/api/auth/verify?token=t0ken"])
def test_a_read_that_nobody_answers_may_be_repeated(gateway: Gateway, path: str) -> None:
    status, headers, body = ask(gateway, "GET", path)
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "1", "application/json")
    assert json.loads(body)["error"] == "NOT_READY"


def test_of_a_change_that_nobody_answers_the_outcome_is_unknown(gateway: Gateway) -> None:
    status, headers, body = ask(gateway, "POST", "/api/v1/positions/open", b"{}")
    assert (status, headers["Content-Type"]) == (504, "application/json")
    assert json.loads(body)["error"] == "OUTCOME_UNKNOWN"


def test_a_body_that_is_too_large_ends_here(gateway: Gateway) -> None:
    status, _, body = ask(gateway, "POST", "/api/v1/positions/open", b" " * 70_000)
    assert (status, json.loads(body)["error"]) == (413, "PAYLOAD_TOO_LARGE")


def test_metrics_are_not_shown(gateway: Gateway) -> None:
    status, _, body = ask(gateway, "GET", "/metrics")
    assert (status, json.loads(body)["error"]) == (404, "NOT_FOUND")


def test_no_token_is_written_down(gateway: Gateway) -> None:
    ask(gateway, "GET", "/api/auth/verify?token=a-token-of-sign-in&email=ann@example.com")
    ask(gateway, "GET", "/api/v1/state?account=ann&token=a-token-of-sign-in")
    assert [line.split()[1:3] for line in gateway.accesses()[-2:]] == [
        ["GET", "/api/auth/verify"],
        ["GET", "/api/v1/state"],
    ]
    assert "a-token-of-sign-in" not in "\n".join(gateway.accesses())
    assert "auth/verify" not in gateway.errors()


def test_what_workers_say_to_each_other_is_taken_away() -> None:
    """Each header of ours that a worker of this version reads."""
    sources = [path.read_text("utf-8") for path in (ROOT / "exness_streams").rglob("*.py")]
    internal = {name for text in sources for name in re.findall(r"\"(X-Exness-[A-Za-z-]+)\"", text)}
    assert "X-Exness-Forwarded" in internal
    taken = set(re.findall(r"proxy_set_header (\S+) \"\";", TEXT))
    assert internal <= taken


def test_every_location_passes_the_same_headers() -> None:
    """A `proxy_set_header` inside a location would replace all of those outside."""
    http_level, _, inside = TEXT.partition("    server {")
    assert "proxy_set_header" in http_level
    assert "proxy_set_header" not in inside


def test_names_are_asked_for_again() -> None:
    assert re.search(r"resolver 127\.0\.0\.11 valid=\ds", TEXT)
    assert "zone engines" in TEXT
    servers = re.findall(r"^ +server (engine-\d:\d+) (.*);", TEXT, re.MULTILINE)
    assert [name for name, _ in servers] == ["engine-1:4001", "engine-2:4002", "engine-3:4003"]
    assert all("resolve" in how.split() for _, how in servers)
