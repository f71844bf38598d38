"""EXNESS_METRICS_PORT: /metrics there and nothing else, and nowhere else."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from platform_harness import PlatformThread
from platform_process import run_cli
from ports import free_port, free_ports
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exness_streams.api.metrics import WorkHistograms, process_registry
from exness_streams.processes.market_data_metrics import metrics_served
from exness_streams.processes.market_data_worker import MarketDataWorker
from exness_streams.settings.kafka import load_kafka_settings
from exness_streams.transport.faults import LogFault

SECRET_KEY = "k" * 32


def get(port: int, path: str, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    running = PlatformThread(tmp_path_factory.mktemp("metrics") / "data", metrics_port=free_port()).start()
    yield running
    running.stop()


def metrics_port_of(platform: PlatformThread) -> int:
    port = platform.settings.metrics_port
    assert port is not None
    return port


def test_metrics_are_there(platform: PlatformThread) -> None:
    status, text = get(metrics_port_of(platform), "/metrics")
    assert status == 200
    names = {family.name for family in parse_text(text)}
    assert {"exness_ready", "exness_api_request_duration_seconds", "exness_stream_clients"} <= names


def test_metrics_are_nowhere_else(platform: PlatformThread) -> None:
    status, text = get(platform.port, "/metrics")
    assert status == 404
    assert json.loads(text)["error"] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/api/v1/state", "/api/v1/markets", "/ws", "/metrics/"])
def test_nothing_else_is_there(platform: PlatformThread, path: str) -> None:
    status, text = get(metrics_port_of(platform), path)
    assert status == 404
    assert json.loads(text)["error"] == "NOT_FOUND"


def test_a_page_of_another_site_reads_none(platform: PlatformThread) -> None:
    assert get(metrics_port_of(platform), "/metrics", host="evil.example")[0] == 421
    assert get(metrics_port_of(platform), "/metrics", method="POST")[0] == 405


def test_with_sign_in_they_need_a_port_of_their_own(tmp_path: Path) -> None:
    platform = PlatformThread(tmp_path / "data", auth="required", secret_key=(SECRET_KEY,), pepper="p" * 32).start()
    try:
        assert get(platform.port, "/metrics")[0] == 404
    finally:
        platform.stop()


async def test_of_a_market_data_process(tmp_path: Path) -> None:
    main, apart = free_ports(2)
    settings = load_kafka_settings(data_dir=tmp_path, port=main, metrics_port=apart)
    registry = process_registry()
    worker = MarketDataWorker(settings, WorkHistograms(registry).of("ticks"))
    async with metrics_served(worker, registry), aiohttp.ClientSession() as client:
        for port, path, status in (
            (main, "livez", 200),
            (main, "metrics", 404),
            (apart, "metrics", 200),
            (apart, "livez", 404),
        ):
            async with client.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert answer.status == status, (port, path)


async def test_of_a_market_data_process_without_another_port(tmp_path: Path) -> None:
    settings = load_kafka_settings(data_dir=tmp_path, metrics_port=free_port())
    registry = process_registry()
    worker = MarketDataWorker(settings, WorkHistograms(registry).of("ticks"))
    async with metrics_served(worker, registry), aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
            assert answer.status == 200
        assert settings.port == 4000  # which nobody has asked for


async def test_a_market_data_process_says_that_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = load_kafka_settings(data_dir=tmp_path, metrics_port=taken.getsockname()[1])
        registry = process_registry()
        worker = MarketDataWorker(settings, WorkHistograms(registry).of("ticks"))
        with pytest.raises(LogFault, match=rf"EXNESS_METRICS_PORT={settings.metrics_port} can't be used \(Address"):
            async with metrics_served(worker, registry):
                raise AssertionError("two serve on one port")


def test_a_taken_port_ends_the_start_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = {"PORT": str(free_port()), "EXNESS_METRICS_PORT": port, "EXNESS_DATA_DIR": str(tmp_path / "data")}
        ended = run_cli("run", "--feed", "simulated", **variables)
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"exness-streams: EXNESS_METRICS_PORT={port} can't be used (Address already in use)")
    assert not (tmp_path / "data").exists()


def test_the_ports_are_two() -> None:
    ended = run_cli("run", PORT="4000", EXNESS_METRICS_PORT="4000")
    assert ended.returncode == 2
    assert "EXNESS_METRICS_PORT=4000 is the web server's own PORT" in ended.stderr
