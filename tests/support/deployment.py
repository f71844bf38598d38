"""What docker/compose.yaml starts, without Docker: its services' own environment, on addresses of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from broker import Broker
from gateway import Gateway
from kafka_harness import KafkaHarness
from mail_server import Mailbox, parts_of
from platform_process import environment
from ports import free_port

from exness_streams.cli.environment_file import environment_text

COMPOSE = Path(__file__).parents[2] / "docker" / "compose.yaml"
PROXY = "127.0.0.1"
START_S_MAX = 90.0
POLL_S = 0.1
GIVE_UP_S = 60.0

_MAIN = "from exness_streams.cli import main; main()"


def init_variables() -> dict[str, str]:
    """What `exness-streams init` sets, with secrets of its own."""
    return dict(line.split("=", 1) for line in environment_text().splitlines() if line and not line.startswith("#"))


@dataclass
class Service:
    """One process. host: an address of its own, as a container has one."""

    name: str
    host: str
    port: int
    metrics_port: int
    command: list[str]
    variables: dict[str, str]
    output: Path
    scheme: str = "http"
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.host}:{self.metrics_port}/metrics"

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, *self.command],
                env=environment(**self.variables),
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def wait_ready(self, context: Any = None) -> None:
        """Until GET /readyz gives 200. RuntimeError when it has ended, or takes very long."""
        give_up_at_s = time.monotonic() + START_S_MAX
        while why := self._unready(context):
            if self.process is None or self.process.poll() is not None or time.monotonic() > give_up_at_s:
                raise RuntimeError(f"{self.name} is not ready ({why}):\n{self.said()}")
            time.sleep(POLL_S)

    def _unready(self, context: Any) -> str:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=context):
                return ""
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.read().decode()
        except OSError as error:
            return str(error)


class Deployment:
    """The services of compose.yaml by name. brokers: host:port. overrides: variables of every worker."""

    def __init__(self, directory: Path, brokers: str, **overrides: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._brokers = brokers
        self._overrides = overrides
        self.secrets = init_variables()
        self.services: dict[str, Service] = {}
        self.gateway: Gateway | None = None
        simulator_port = free_port()
        self._simulator = f"127.0.0.1:{simulator_port}"
        command = ["simulate-backpack", "--port", str(simulator_port)]
        self._add(Service("simulator", "127.0.0.1", simulator_port, 0, command, {}, directory / "simulator.out"))

    def _add(self, service: Service) -> Service:
        self.services[service.name] = service
        return service

    def start(self, *names: str) -> None:
        """The simulator and these workers; waits until they can serve."""
        self.services["simulator"].start()
        for name in names:
            self.worker(name).start()
        for name in names:
            self.services[name].wait_ready(self._trust())

    def _trust(self) -> Any:
        file = self._overrides.get("EXNESS_TLS_CA_FILE")
        return None if file is None else ssl.create_default_context(cafile=file)

    def worker(self, name: str, called: str = "") -> Service:
        """As compose.yaml has it: names of containers become addresses, ports free ones. called: one more like it."""
        told = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"][name]
        host = f"127.0.0.{10 + len(self.services)}"
        port, metrics_port = free_port(), free_port()
        scheme = "https" if "EXNESS_TLS_CERTIFICATE_FILE" in self._overrides else "http"
        variables = self.secrets | {key: str(value) for key, value in told["environment"].items()}
        variables |= {
            "KAFKA_BROKERS": self._brokers,
            "BACKPACK_WS_URL": f"ws://{self._simulator}",
            "BACKPACK_REST_URL": f"http://{self._simulator}",
            "EXNESS_HOST": host,
            "EXNESS_ADVERTISED_URL": f"{scheme}://{host}:{port}",
            "EXNESS_TRUSTED_PROXIES": PROXY,
            "EXNESS_METRICS_PORT": str(metrics_port),
            "EXNESS_DATA_DIR": str(self.directory / (called or name)),
            "PORT": str(port),
            **self._overrides,
        }
        called = called or name
        output = self.directory / f"{called}.out"
        return self._add(Service(called, host, port, metrics_port, told["command"], variables, output, scheme))

    def open_gateway(self) -> Gateway:
        """nginx before the engines. NginxMissing."""
        engines = {name: f"{one.host}:{one.port}" for name, one in self.services.items() if name.startswith("engine")}
        self.gateway = Gateway(engines, PROXY, free_port(), self.directory / "gateway")
        self.gateway.start()
        return self.gateway

    def end(self) -> None:
        """Whatever has happened, nothing is left running."""
        if self.gateway is not None:
            self.gateway.stop()
        running = [one.process for one in self.services.values() if one.process is not None]
        for process in running:  # who leaves the group keeps no place in it
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in running:
                process.wait(30)
        for service in self.services.values():
            service.kill()


def can_use_loopback_addresses() -> bool:
    """Whether this machine has all of 127.0.0.0/8, as Linux does."""
    return os.uname().sysname == "Linux"


def ask(url: str, context: ssl.SSLContext | None = None, body: Any = None, **headers: str) -> tuple[int, bytes]:
    """GET, or with a body POST: the status and the body of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = "application/json"
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), named)
    try:
        with urllib.request.urlopen(request, timeout=15, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def signed_in(url: str, mailbox: Mailbox, email: str, context: ssl.SSLContext | None = None) -> str:
    """Sign in by a mailed link. Returns the token of the session."""
    before = len(mailbox.mails)
    until(lambda: ask(f"{url}/api/auth/login", context, {"email": email})[0] == 200)
    until(lambda: len(mailbox.mails) > before)
    redeemed = {**parts_of(mailbox.link(email)), "nonce": "the nonce of a page, " + email}
    status, body = until(lambda: (answer := ask(f"{url}/api/auth/verify", context, redeemed))[0] != 503 and answer)
    assert status == 200, body
    token: str = json.loads(body)["token"]
    return token


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true."""
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while not (found := condition()):
        assert time.monotonic() < give_up_at_s
        time.sleep(0.1)
    return found


def without_topics(directory: Path, broker: Broker) -> None:
    """As a cluster that was never started."""

    async def clean() -> None:
        harness = KafkaHarness(directory, broker)
        await harness.open()
        await harness.close()

    asyncio.run(clean())
