"""Routes as Faust's views: the methods that a view has and no other, and Faust's sensors see every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from platform_harness import OPEN, STATE, PlatformThread

from exness_streams.api.api_view import ApiView, here, mount
from exness_streams.api.errors import ApiError, Handler, error_middleware
from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.engine.engine import EngineApp
from exness_streams.transport.faults import LogFault

WAY_HEADER = "X-Way"


class Reads(ApiView):
    """A view that reads, or fails as it is told."""

    query = ("fail",)

    def __init__(self, app: EngineApp, web_server: object, failures: dict[str, Exception]) -> None:
        super().__init__(app, web_server)
        self._failures = failures

    async def get(self, request: web.Request) -> web.Response:
        if (failure := self._failures.get(request.query.get("fail", ""))) is not None:
            raise failure
        return web.Response(text="read")


class Writes(ApiView):
    """A view that takes a body."""

    async def post(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())), status=201)


FAILURES: dict[str, tuple[Exception, int, str]] = {
    "refused": (ApiError(409, "TAKEN", "it is taken"), 409, "TAKEN"),
    "log": (LogFault("the disk is full"), 503, "NOT_READY"),
    "fault": (ZeroDivisionError("a bug"), 500, "INTERNAL"),
    "aiohttp": (web.HTTPNotFound(), 404, "NOT_FOUND"),
}

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def app() -> EngineApp:
    app = EngineApp("views", broker="memory://", web_application_options={"client_max_size": 100})

    def noted(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = await handler(request)
            response.headers[WAY_HEADER] = "noted"
            return response

        return answer

    app.web.web_app.middlewares.append(error_middleware)
    mount(app, "/reads", here, Reads, {name: failure for name, (failure, _, _) in FAILURES.items()})
    mount(app, "/gone", here, Reads, {"gone": ConnectionResetError("the client left")})
    mount(app, "/writes", noted, Writes)
    app.web.init_server()  # Faust adds what it has of its own
    app.sensors.add(app.monitor)  # as at its start
    return app


@pytest.fixture
async def client(app: EngineApp) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app.web.web_app)) as client:
        yield client


@pytest.mark.parametrize(("path", "allowed"), [("/reads", "GET,HEAD"), ("/writes", "POST")])
async def test_a_view_has_the_methods_that_it_defines(client: Client, path: str, allowed: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH"):
        async with client.request(method, path) as response:
            if method in allowed.split(","):
                assert response.status < 400
            else:
                assert (response.status, response.headers["Allow"]) == (405, allowed)


async def test_head_is_get_without_a_body(client: Client) -> None:
    async with client.head("/reads") as response:
        assert (response.status, response.headers["Content-Length"], await response.read()) == (200, "4", b"")


async def test_the_way_is_of_one_mount(client: Client) -> None:
    async with client.post("/writes", data=b"123") as response:
        assert (await response.text(), response.headers[WAY_HEADER]) == ("3", "noted")
    async with client.get("/reads") as response:
        assert WAY_HEADER not in response.headers


@pytest.mark.parametrize("name", FAILURES)
async def test_sensors_see_a_failure_as_it_is_answered(app: EngineApp, client: Client, name: str) -> None:
    _, status, code = FAILURES[name]
    async with client.get("/reads", params={"fail": name}) as response:
        assert (response.status, (await response.json())["error"]) == (status, code)
    assert dict(app.monitor.http_response_codes) == {status: 1}


async def test_sensors_see_successes_and_bodies_that_are_too_long(app: EngineApp, client: Client) -> None:
    async with client.post("/writes", data=b"1"), client.get("/reads"), client.head("/reads"):
        pass
    async with client.post("/writes", data=b"1" * 101) as response:
        assert response.status == 413
    assert dict(app.monitor.http_response_codes) == {201: 1, 200: 2, 413: 1}


async def test_a_client_that_is_gone_is_answered_outside_of_the_view(app: EngineApp, client: Client) -> None:
    async with client.get("/gone", params={"fail": "gone"}) as response:
        assert response.status == 499  # which Faust's monitor could not count


@pytest.mark.parametrize("path", ["/", "/stats/", "/graph/", "/table/", "/router/", "/performance/"])
async def test_faust_adds_no_pages_of_its_own(client: Client, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404


async def test_an_unknown_expectation_is_refused_in_the_one_shape(client: Client) -> None:
    async with client.post("/writes", data=b"1", headers={"Expect": "a miracle"}) as response:
        assert (response.status, (await response.json())["error"]) == (417, "EXPECTATION_FAILED")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    running = PlatformThread(Path(tmp_path_factory.mktemp("views"))).start()
    yield running
    running.stop()


def test_every_route_without_a_stream_is_a_view_of_faust(platform: PlatformThread) -> None:
    assert platform.platform is not None
    views = platform.platform.engine.app.web.views
    methods = {(method, path) for path, view in views.items() for method in view.get_methods() - {"HEAD"}}
    assert methods == {(text.method, text.path) for text in ROUTE_TEXTS if text.path not in ("/ws", "/")}


def test_the_monitor_of_a_platform_counts_its_requests(platform: PlatformThread) -> None:
    assert platform.platform is not None
    codes = platform.platform.engine.app.monitor.http_response_codes
    before = dict(codes)
    platform.get(STATE)
    platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"})
    platform.post(OPEN, {"margin": "much", "asset": "SOL", "type": "long"})
    assert {status: codes[status] - before.get(status, 0) for status in (200, 201, 400)} == {200: 1, 201: 1, 400: 1}
