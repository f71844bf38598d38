"""Whole engine workers on a broker that wants a password, in the clear and over TLS with an authority of its own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import PASSWORD, USER, Broker, fetch_jars
from engine_process import EngineProcess
from platform_process import run_cli
from ports import free_ports

EXTENSIONS = """\
[server]
subjectAltName = IP:127.0.0.1
"""


class SecuredBroker(Broker):
    """ca_file: PEM of the authority that signed its certificate. engine_port: that of every test's engine."""

    def __init__(self, directory: Path, jars: Path) -> None:
        self.ca_file = directory / "ca.pem"
        self._sign(directory)
        super().__init__(directory, jars, directory / "server.pem")
        (self.engine_port,) = free_ports(1)

    def _sign(self, directory: Path) -> None:
        (directory / "extensions").write_text(EXTENSIONS)
        new_key = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        for command in (
            ["req", "-x509", *new_key, "-days", "2", "-subj", "/CN=own", "-keyout", "ca.key", "-out", "ca.pem"],
            ["req", *new_key, "-subj", "/CN=broker", "-keyout", "server.key", "-out", "server.csr"],
            ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
             "-extfile", "extensions", "-extensions", "server", "-out", "server.crt"],
        ):  # fmt: skip
            subprocess.run(["openssl", *command], cwd=directory, check=True, capture_output=True, timeout=60)
        keystore = (directory / "server.key").read_text() + (directory / "server.crt").read_text()
        (directory / "server.pem").write_text(keystore)

    def variables(self, mechanism: str, *, tls: bool, **others: str) -> dict[str, str]:
        """The settings of a worker that may sign in."""
        settings = {
            "KAFKA_BROKERS": f"127.0.0.1:{self.tls_port if tls else self.sasl_port}",
            "EXNESS_KAFKA_TLS": str(tls).lower(),
            "EXNESS_KAFKA_SASL_MECHANISM": mechanism,
            "EXNESS_KAFKA_USERNAME": USER,
            "EXNESS_KAFKA_PASSWORD": PASSWORD,
            "PORT": str(self.engine_port),
        }
        if tls:
            settings["EXNESS_KAFKA_CA_FILE"] = str(self.ca_file)
        return {name: value for name, value in (settings | others).items() if value}


@pytest.fixture(scope="module")
def secured(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """One for all tests here. `broker` only says whether there can be any."""
    own = SecuredBroker(tmp_path_factory.mktemp("secured-kafka"), fetch_jars())
    own.start()
    try:
        yield own
    finally:
        own.kill()


@pytest.mark.parametrize(
    ("mechanism", "tls"), [("PLAIN", False), ("SCRAM-SHA-256", False), ("PLAIN", True), ("SCRAM-SHA-256", True)]
)
async def test_an_engine_signs_in(secured: SecuredBroker, tmp_path: Path, mechanism: str, tls: bool) -> None:
    variables = secured.variables(mechanism, tls=tls)
    engine = EngineProcess(tmp_path, secured, **variables)
    try:
        await engine.wait_ready()
        audited = await asyncio.to_thread(run_cli, "audit", "--kafka", **variables)
        assert audited.returncode == 0, audited.stderr
        assert await engine.terminate() == 0, engine.said()
    finally:
        engine.end()


@pytest.mark.parametrize(
    ("mechanism", "tls", "wrong"),
    [
        ("PLAIN", False, {"EXNESS_KAFKA_PASSWORD": "wrong-word"}),
        ("SCRAM-SHA-256", False, {"EXNESS_KAFKA_PASSWORD": "wrong-word"}),
        ("SCRAM-SHA-256", True, {"EXNESS_KAFKA_PASSWORD": "wrong-word"}),
        ("PLAIN", True, {"EXNESS_KAFKA_CA_FILE": ""}),
    ],
    ids=["plain", "scram", "scram over TLS", "unknown authority"],
)
@pytest.mark.parametrize("command", [("engine",), ("audit", "--kafka")], ids=["engine", "audit"])
def test_who_is_refused_is_told_in_one_line(
    secured: SecuredBroker, tmp_path: Path, mechanism: str, tls: bool, wrong: dict[str, str], command: tuple[str, ...]
) -> None:
    variables = secured.variables(mechanism, tls=tls, **wrong)
    told = run_cli(*command, **variables, EXNESS_DATA_DIR=str(tmp_path))
    assert told.returncode == 1
    lines = told.stderr.strip().splitlines()
    assert lines[-1].startswith(f"exness-streams: no Kafka broker can be used at {variables['KAFKA_BROKERS']}"), lines
    assert "Traceback" not in told.stderr
    assert "wrong-word" not in told.stderr + told.stdout
    if command == ("audit", "--kafka"):
        assert len(lines) == 1, told.stderr
