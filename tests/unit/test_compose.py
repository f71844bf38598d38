"""compose.yaml and what it starts fit together: settings, names, ports, the gateway's and Prometheus's files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exness_streams.cli.environment_file import environment_text
from exness_streams.settings.kafka import KafkaSettings, load_kafka_settings
from exness_streams.settings.names import refuse_unknown_variables

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENGINES = [name for name in SERVICES if name.startswith("engine-")]
WORKERS = [*ENGINES, *(name for name in SERVICES if name.startswith("market-data-"))]
OF_INIT = dict(line.split("=", 1) for line in environment_text().splitlines() if line and not line.startswith("#"))


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    variables = OF_INIT | {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    refuse_unknown_variables(variables)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    return load_kafka_settings()


def test_who_is_there() -> None:
    assert ENGINES == ["engine-1", "engine-2", "engine-3"]
    assert set(SERVICES) - set(WORKERS) == {"kafka", "simulator", "mail", "gateway", "prometheus"}


@pytest.mark.parametrize("name", WORKERS)
def test_the_settings_of_a_worker(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file that `exness-streams init` has written."""
    settings = settings_of(name, monkeypatch)
    assert (settings.auth, settings.host, settings.worker_name) == ("required", "0.0.0.0", name)
    assert settings.kafka_brokers == ("kafka:9092",)
    parts = urlsplit(settings.advertised_url)
    assert (parts.scheme, parts.hostname, parts.port) == ("http", name, settings.port)
    assert name in settings.own_hosts
    assert SERVICES[name]["env_file"] == "../.env"


def test_no_network_is_shared() -> None:
    assert not any("network_mode" in service for service in SERVICES.values())
    assert all(set(SERVICES[name]["networks"]) == {"edge", "inner"} for name in ENGINES)
    assert set(SERVICES["gateway"]["networks"]) == {"edge"}
    assert SERVICES["kafka"]["networks"] == ["inner"]


def test_nobody_waits_for_the_gateway_and_it_waits_for_nobody() -> None:
    assert "depends_on" not in SERVICES["gateway"]
    assert not any("gateway" in service.get("depends_on", {}) for service in SERVICES.values())


def test_the_gateway_knows_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(r"server (engine-\d:\d+) resolve", (DOCKER / "nginx.conf").read_text("utf-8"))
    assert found == [urlsplit(settings_of(name, monkeypatch).advertised_url).netloc for name in ENGINES]


def test_the_engines_trust_the_gateway_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    address = SERVICES["gateway"]["networks"]["edge"]["ipv4_address"]
    for name in WORKERS:
        assert [str(one) for one in settings_of(name, monkeypatch).trusted_proxies] == [f"{address}/32"]


def test_prometheus_asks_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    told = yaml.safe_load((DOCKER / "prometheus.yml").read_text("utf-8"))
    targets = [target for job in told["scrape_configs"] for some in job["static_configs"] for target in some["targets"]]
    assert sorted(targets) == sorted(f"{name}:{settings_of(name, monkeypatch).metrics_port}" for name in WORKERS)


def test_what_is_published_is_published_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith(("127.0.0.1:", "${GATEWAY_ADDRESS:-127.0.0.1:")) for port in ports)


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "kafka"])
def test_who_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_volume_is_used_and_declared() -> None:
    used = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == set(COMPOSE["volumes"])


ECHO = """#!/bin/sh
echo "$*|${BACKPACK_WS_URL:-}|${BACKPACK_REST_URL-unset}|${SMTP_HOST:-}|${EXNESS_PRICES_MARK:-}"
"""


def entered(directory: Path, *arguments: str, **variables: str) -> list[str]:
    """What the command gets that the image's entry point runs."""
    (directory / "exness-streams").write_text(ECHO)
    (directory / "exness-streams").chmod(0o755)
    marks = directory / "marks"
    marks.mkdir(exist_ok=True)
    environment = {"PATH": f"{directory}:/usr/bin:/bin", "EXNESS_PRICES_DIR": str(marks), **variables}
    command = ["sh", str(DOCKER / "entrypoint.sh"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.strip().split("|")


def test_without_the_simulator_prices_are_what_is_set(tmp_path: Path) -> None:
    assert entered(tmp_path, "engine") == ["engine", "", "unset", "", ""]
    assert entered(tmp_path, "engine", SMTP_HOST="smtp.example.com")[3] == "smtp.example.com"


def test_with_the_simulator_nothing_else_is_to_be_set(tmp_path: Path) -> None:
    assert SERVICES["simulator"]["profiles"] == SERVICES["mail"]["profiles"] == ["simulated"]
    mark = SERVICES["simulator"]["environment"]["EXNESS_PRICES_MARK"]
    assert entered(tmp_path, "simulate-backpack", "--port", "4100", EXNESS_PRICES_MARK=mark)[0] == (
        "simulate-backpack --port 4100"
    )
    simulated = ["ws://simulator:4100", "http://simulator:4100", "mail", ""]
    assert entered(tmp_path, "market-data") == ["market-data", *simulated]
    assert entered(tmp_path, "engine") == ["engine", *simulated]  # also when it starts before the simulator


def test_what_is_set_counts_more_than_the_simulator(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "simulated").touch()
    own = {"BACKPACK_WS_URL": "wss://one", "BACKPACK_REST_URL": "", "SMTP_HOST": "smtp.example.com"}
    assert entered(tmp_path, "engine", **own) == ["engine", "wss://one", "", "smtp.example.com", ""]


def test_every_worker_sees_the_mark() -> None:
    assert all("prices:/var/lib/exness-prices" in SERVICES[name]["volumes"] for name in [*WORKERS, "simulator"])


@pytest.mark.parametrize("damage", ["missing", "empty", "none"])
def test_an_image_without_the_chart_is_not_built(damage: str, tmp_path: Path) -> None:
    package = tmp_path / "exness_streams"
    (package / "web" / "vendor").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in (
        "lightweight-charts.standalone.production.mjs",
        "lightweight-charts.LICENSE.txt",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-ui.LICENSE.txt",
    ):
        if damage != "missing":
            (package / "web" / "vendor" / name).write_text("" if damage == "empty" else "code")
    ended = subprocess.run(
        [sys.executable, str(DOCKER / "check_image.py")],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == (0 if damage == "none" else 1)
    assert ("would lack the page's chart" in ended.stderr) is (damage != "none")
    assert "Traceback" not in ended.stderr


def test_the_build_checks_the_chart_and_has_its_files() -> None:
    lines = (DOCKER / "Dockerfile").read_text("utf-8").splitlines()
    assert "RUN /opt/exness-streams/bin/python check_image.py" in lines
    assert "USER 10001" in lines
    kept = (DOCKER.parent / ".dockerignore").read_text("utf-8").splitlines()
    for name in ("check_image.py", "entrypoint.sh", "healthcheck.py"):
        assert f"!docker/{name}" in kept
