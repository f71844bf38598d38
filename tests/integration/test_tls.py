"""https and wss on the platform's port, from certificate files."""

from __future__ import annotations

import asyncio
import gc
import http.client
import logging
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from certificates import CertificateFiles, certificates, secure_stream
from platform_harness import PlatformThread
from ports import free_port

from exness_streams.api.forwarding import Forwarding
from exness_streams.api.metrics import WorkHistograms, process_registry
from exness_streams.engine.build import build_engine
from exness_streams.processes.market_data_metrics import metrics_served
from exness_streams.processes.market_data_worker import MarketDataWorker
from exness_streams.settings.kafka import load_kafka_settings
from exness_streams.settings.platform import load_settings
from exness_streams.transport import web_server
from exness_streams.transport.faults import Misconfigured

NAMES = ("127.0.0.1", "localhost", "trade.example.com")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return certificates(tmp_path_factory.mktemp("tls"), *NAMES)


@asynccontextmanager
async def refused_for_its_certificate() -> AsyncIterator[None]:
    """As pytest.raises. aiohttp leaves the closing of such a connection to the collector."""
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        yield
    await asyncio.sleep(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class TlsPlatform(PlatformThread):
    """A platform whose harness is a client that trusts it."""

    def __init__(self, data_dir: Path, files: CertificateFiles) -> None:
        super().__init__(data_dir, allowed_hosts=("trade.example.com",), **files.settings)
        self.trusting = files.trusting

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.trusting)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, files: CertificateFiles) -> Iterator[TlsPlatform]:
    running = TlsPlatform(tmp_path_factory.mktemp("platform") / "data", files)
    running.start()
    yield running
    running.stop()


def test_trading_by_https(platform: TlsPlatform) -> None:
    opened = platform.post("/api/v1/positions/open", {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2})
    assert opened.status == 201
    assert platform.state()["positions"][0]["positionId"] == opened.json["positionId"]


@pytest.mark.parametrize(
    ("host", "is_told"), [("trade.example.com", True), ("trade.example.com:443", True), ("127.0.0.1", False),
                          ("localhost", False), ("[::1]:4000", False)],
)  # fmt: skip
@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/nowhere", 404), ("/api/v1/state", 200)])
def test_a_browser_is_told_to_stay_with_tls(
    platform: TlsPlatform, host: str, is_told: bool, path: str, status: int
) -> None:
    answer = platform.send("GET", path, headers={"Host": host})
    assert answer.status == status
    assert answer.headers.get("Strict-Transport-Security") == ("max-age=31536000" if is_told else None)


async def test_a_stream_by_wss(platform: TlsPlatform) -> None:
    url = f"wss://127.0.0.1:{platform.port}/ws"
    async with aiohttp.ClientSession() as client, secure_stream(client, url, platform.trusting) as stream:
        assert (await stream.receive_json(timeout=10))["type"] == "connection"
        assert (await stream.receive_json(timeout=10))["type"] == "state"


def test_who_does_not_trust_the_authority_is_not_connected(platform: TlsPlatform) -> None:
    connection = socket.create_connection(("127.0.0.1", platform.port), 10)
    with connection, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(connection, server_hostname="127.0.0.1")


def test_old_versions_are_refused(platform: TlsPlatform) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    connection = socket.create_connection(("127.0.0.1", platform.port), 10)
    with connection, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(connection)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\xff\xff"])
async def test_what_is_no_tls_is_sent_away(
    platform: TlsPlatform, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    writer.write(sent)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    assert b"HTTP/1.1 200" not in answer
    assert platform.get("/livez").status == 200
    assert caplog.text == ""


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path, files: CertificateFiles) -> None:
    app = web.Application()
    runner = web_server.runner_of(app, web_server.new_connections())
    await runner.setup()
    tls = load_settings(**files.settings).server_tls()
    site = web_server.Site(runner, "127.0.0.1", 0, tls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_server, "HANDSHAKE_S_MAX", 0.2)
        await site.start()
    try:
        begun_s = time.monotonic()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert time.monotonic() - begun_s >= 0.2
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    finally:
        await runner.cleanup()


async def test_a_certificate_that_was_renewed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, web_server.__name__)
    files, others = certificates(tmp_path / "first", "localhost"), certificates(tmp_path / "second", "localhost")
    runner = web_server.runner_of(web.Application(), web_server.new_connections())
    await runner.setup()
    site = web_server.Site(runner, "127.0.0.1", 0, load_settings(**files.settings).server_tls())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_server, "RENEWAL_LOOK_S", 0.01)
        await site.start()
        try:
            assert await handshake(runner, files.trusting)
            assert not await handshake(runner, others.trusting)
            files.certificate.write_text("nothing")
            await said(caplog, "goes on with its former certificate")
            assert await handshake(runner, files.trusting)
            others.key.replace(files.key)
            others.certificate.replace(files.certificate)
            await said(caplog, "has a new certificate")
            assert await handshake(runner, others.trusting)
            assert not await handshake(runner, files.trusting)
        finally:
            await runner.cleanup()


async def said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    for _ in range(1_000):
        if words in caplog.text:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"nobody said: {words}")


async def handshake(runner: web.AppRunner, trusting: ssl.SSLContext) -> bool:
    """Whether a client that trusts this authority is content."""
    host, port = runner.addresses[0][:2]
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=trusting, server_hostname="localhost")
    except ssl.SSLCertVerificationError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def owner(files: CertificateFiles) -> web.AppRunner:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = load_settings(**files.settings).server_tls()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    return runner


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_what_workers_ask_each_other(tmp_path: Path, files: CertificateFiles, is_trusted: bool) -> None:
    """The client of requests that are passed on, as a worker is built with it."""
    settings = load_settings(data_dir=tmp_path, tls_ca_file=files.authority if is_trusted else None)
    runner = await owner(files)
    client = build_engine(settings).app.http_client
    try:
        url = "https://{}:{}/state".format(*runner.addresses[0][:2])
        if is_trusted:
            async with client.get(url) as answer:
                assert await answer.text() == "/state"
        else:
            async with refused_for_its_certificate():
                await client.get(url)
    finally:
        await client.close()
        await runner.cleanup()


def test_a_certificate_that_is_not_trusted_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    connection: Any = SimpleNamespace(host="engine-2", port=4002, ssl=True)
    refused = aiohttp.ClientConnectorCertificateError(connection, ssl.SSLCertVerificationError("unknown authority"))
    forwarding = Forwarding.__new__(Forwarding)
    forwarding._distrusted = set()
    for url in ("https://engine-2:4002", "https://engine-2:4002", "https://engine-3:4003"):
        forwarding.note(url, refused)
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("the certificate of the worker at https://engine-2:4002 is not trusted")
    assert "EXNESS_TLS_CA_FILE" in caplog.messages[0]


async def test_a_market_data_process(tmp_path: Path, files: CertificateFiles) -> None:
    settings = load_kafka_settings(data_dir=tmp_path, port=free_port(), metrics_port=free_port(), **files.settings)
    registry = process_registry()
    worker = MarketDataWorker(settings, WorkHistograms(registry).of("ticks"))
    async with metrics_served(worker, registry), aiohttp.ClientSession() as client:
        async with client.get(f"{settings.own_url}/livez", ssl=files.trusting) as answer:
            assert answer.status == 200
        async with client.get(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
            assert answer.status == 200


def test_a_worker_that_others_could_not_reach_is_refused(tmp_path: Path) -> None:
    settings = load_kafka_settings(
        data_dir=tmp_path, host="0.0.0.0", port=4001, auth="required", secret_key=("k" * 32,), pepper="p" * 32
    )
    with pytest.raises(Misconfigured, match="EXNESS_ADVERTISED_URL"):
        build_engine(settings)
