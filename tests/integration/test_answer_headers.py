"""The headers of every answer, and pages of other origins, on every route and on what is no route."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator

import pytest
from platform_harness import OPEN, STATE, PlatformThread, Reply

from exness_streams.api.answer_headers import AnswerHeaders, plain_origin
from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.processes.engine_worker import Platform

FRONTEND = "http://localhost:3000"
OTHER_PAGE = "https://app.example"
STRANGERS = ["https://evil.example", "null", "http://localhost:3001", "https://localhost:3000", FRONTEND + "/", "", "*"]
PATHS = [
    *sorted({(text.method, text.path) for text in ROUTE_TEXTS}),
    ("GET", "/nowhere"),
    ("DELETE", STATE),
    ("GET", OPEN),
    ("OPTIONS", STATE),
    ("POST", "/"),
    ("GET", "/web/nothing"),
    ("HEAD", STATE),
    ("GET", "//"),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    data_dir = tmp_path_factory.mktemp("platform") / "data"
    # Both are written as people do, and not as browsers send them.
    running = PlatformThread(data_dir, frontend_url=FRONTEND + "/app", cors_origins=(OTHER_PAGE + ":443",))
    running.start()
    yield running
    running.stop()


def allows(reply: Reply) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers.items() if name.lower().startswith("access-control-")}


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_each_answer_has_them(platform: PlatformThread, method: str, path: str) -> None:
    reply = platform.send(method, path, b"", {"Accept": "*/*"})
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert reply.headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{16}", reply.headers["X-Request-Id"])
    assert "Origin" in reply.headers["Vary"]
    assert "Server" not in reply.headers
    assert not allows(reply)


def test_the_page_and_its_files_keep_their_own(platform: PlatformThread) -> None:
    page = platform.send("GET", "/", b"", {"Accept": "text/html"})
    assert page.headers["Cache-Control"] == "no-cache"
    assert page.headers["Vary"] == "Accept, Origin"
    name = re.search(rb'/web/[0-9a-f]{16}/[^"]+\.js', page.body)
    assert name is not None
    file = platform.get(name[0].decode())
    assert "immutable" in file.headers["Cache-Control"]
    assert file.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("origin", [FRONTEND, OTHER_PAGE, FRONTEND.upper()])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_page_that_may_reads_each_answer(platform: PlatformThread, method: str, path: str, origin: str) -> None:
    reply = platform.send(method, path, b"", {"Origin": origin})
    assert reply.status != 403
    allowed = allows(reply)
    assert allowed["access-control-allow-origin"] == origin
    assert allowed["access-control-allow-credentials"] == "true"
    assert {"Retry-After", "X-Request-Id", "Idempotent-Replayed", "RateLimit"} <= set(
        allowed["access-control-expose-headers"].split(", ")
    )
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize("path", [STATE, OPEN, "/nowhere", "/api/auth/login", "/", "/ws"])
def test_a_page_that_may_asks_first_on_any_path(platform: PlatformThread, path: str) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "content-type"}
    reply = platform.send("OPTIONS", path, b"", {"Origin": FRONTEND, **asked})
    assert (reply.status, reply.body) == (204, b"")
    allowed = allows(reply)
    assert allowed["access-control-allow-origin"] == FRONTEND
    assert allowed["access-control-allow-credentials"] == "true"
    assert {"GET", "POST", "DELETE"} <= set(allowed["access-control-allow-methods"].split(", "))
    headers = set(allowed["access-control-allow-headers"].split(", "))
    assert {"Content-Type", "Authorization", "Idempotency-Key", "X-Account"} <= headers
    assert "access-control-allow-private-network" not in allowed
    far = {"Access-Control-Request-Private-Network": "true"}
    reply = platform.send("OPTIONS", path, b"", {"Origin": FRONTEND, **asked, **far})
    assert allows(reply)["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("origin", STRANGERS)
def test_other_pages_may_read_nothing_and_change_nothing(platform: PlatformThread, origin: str) -> None:
    before = platform.state()
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for method, path, more in (("OPTIONS", OPEN, asked), ("POST", OPEN, {}), ("GET", STATE, {}), ("GET", "/none", {})):
        reply = platform.send(method, path, b"", {"Origin": origin, **more})
        assert not allows(reply), (method, path)
        assert (reply.status == 403) is (method != "GET"), (method, path)
        assert "Origin" in reply.headers["Vary"]
    assert platform.state() == before


@pytest.mark.parametrize(("origin", "status"), [(FRONTEND, 101), (OTHER_PAGE, 101), *((one, 403) for one in STRANGERS)])
def test_streams_are_for_the_same_pages(platform: PlatformThread, origin: str, status: int) -> None:
    lines = ["GET /ws HTTP/1.1", f"Host: 127.0.0.1:{platform.port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Origin: {origin}"]
    with socket.create_connection(("127.0.0.1", platform.port), 10) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        head = connection.recv(4096).partition(b"\r\n\r\n")[0]
    assert int(head.split()[1]) == status
    assert (b"Access-Control-Allow-Origin" in head) is (status == 101)


def test_errors_can_be_read_by_pages_too(platform: PlatformThread, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, headers, status in (
        ("/nowhere", {}, 404),
        (STATE, {"Host": "evil.example"}, 421),
        (STATE, {"X-Account": "no account!"}, 400),
        (OPEN, {}, 405),
    ):
        reply = platform.send("GET", path, b"", {"Origin": FRONTEND, **headers})
        assert (reply.status, allows(reply)["access-control-allow-origin"]) == (status, FRONTEND)


def test_who_asks_too_often_can_read_that(tmp_path_factory: pytest.TempPathFactory) -> None:
    data_dir = tmp_path_factory.mktemp("hurried") / "data"
    running = PlatformThread(data_dir, frontend_url=FRONTEND, rate_limit="20 per hour").start()
    try:
        replies = [running.send("GET", STATE, b"", {"Origin": FRONTEND, "X-Account": "hurried"}) for _ in range(21)]
    finally:
        running.stop()
    assert [reply.status for reply in replies] == [200] * 20 + [429]
    assert {allows(reply)["access-control-allow-origin"] for reply in replies} == {FRONTEND}
    assert "Retry-After" in replies[-1].headers


def test_a_clients_own_id_is_kept_when_it_can_be(platform: PlatformThread) -> None:
    for given, is_kept in (("order-7/a:1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)):
        answered = platform.send("GET", STATE, b"", {"X-Request-Id": given}).headers["X-Request-Id"]
        assert (answered == given) is is_kept
        assert answered


def test_a_failure_in_the_log_names_the_request(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = platform.platform
    assert isinstance(running, Platform)

    def fails(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(running.engine.cells, "cell", fails)
    with caplog.at_level(logging.ERROR):
        reply = platform.send("GET", STATE, b"", {"X-Request-Id": "mine-1", "Origin": FRONTEND})
    assert (reply.status, reply.json["error"]) == (500, "INTERNAL")
    assert b"secret" not in reply.body
    assert allows(reply)["access-control-allow-origin"] == FRONTEND
    assert [record.getMessage() for record in caplog.records] == [f"GET {STATE} failed (request mine-1)"]


@pytest.mark.parametrize(
    ("one", "plain"),
    [
        ("https://A.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example:4430", "https://a.example:4430"),
        ("null", "null"),
        ("https://:443", "https://:443"),
    ],
)
def test_an_origin_has_one_spelling(one: str, plain: str) -> None:
    assert plain_origin(one) == plain


def test_without_origins_nothing_varies() -> None:
    assert AnswerHeaders()._origins == frozenset()
