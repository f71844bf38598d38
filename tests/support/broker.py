"""A real Kafka broker (KRaft, one node) for tests: fetched by Maven once, run from a directory of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from ports import free_ports

POM = Path(__file__).with_name("pom.xml")
HEAP_MB_MAX = 320
FETCH_S_MAX = 300.0
START_S_MAX = 60.0
STOP_S_MAX = 30.0

FARS = 6
"""How many listeners there are for workers behind a proxy."""

USER, PASSWORD = "trader", "not-a-secret"
"""Who may use the SASL listener."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port}{secured}{far},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl_port}{secured}{far_told}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SECURED:SASL_SSL{far_kinds}
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""

TLS_PROPERTIES = """\
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={keystore}
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secured.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
"""

SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class BrokerMissing(Exception):
    """There is no broker to run here. str() is one line: what to install."""


class Broker:
    """One broker on 127.0.0.1, on free ports that it keeps over restarts.

    keystore: PEM, its key and certificate; with one it also has a listener for SASL over TLS, on `tls_port`.
    far: (port, port of the proxy) pairs. Who connects to the first is told to come by the second, where nobody listens
    unless a test has a proxy there. more_properties: lines for server.properties.
    """

    def __init__(self, directory: Path, jars: Path, keystore: Path | None = None, more_properties: str = "") -> None:
        self._directory = directory
        self._classpath = f"{jars}/*"
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.sasl_port, self.tls_port, controller_port = free_ports(4)
        self.far = list(zip(free_ports(FARS), free_ports(FARS), strict=True))
        self._properties = directory / "server.properties"
        self._properties.write_text(
            (PROPERTIES if keystore is None else PROPERTIES + TLS_PROPERTIES).format(
                port=self.port,
                sasl_port=self.sasl_port,
                secured="" if keystore is None else f",SECURED://127.0.0.1:{self.tls_port}",
                far="".join(f",FAR{n}://127.0.0.1:{port}" for n, (port, _) in enumerate(self.far)),
                far_told="".join(f",FAR{n}://127.0.0.1:{proxy}" for n, (_, proxy) in enumerate(self.far)),
                far_kinds="".join(f",FAR{n}:PLAINTEXT" for n in range(FARS)),
                keystore=keystore,
                controller_port=controller_port,
                data=directory / "data",
                login="org.apache.kafka.common.security",
                user=USER,
                password=PASSWORD,
            )
            + more_properties
        )
        self._format()

    def _format(self) -> None:
        cluster_id = uuid.uuid4().hex[:22]
        format_log = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties)]
        for mechanism in SCRAM:
            format_log += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        subprocess.run(
            [*self._java(64), *format_log],
            check=True,
            capture_output=True,
            timeout=START_S_MAX,
        )

    @property
    def address(self) -> str:
        """host:port, as clients want it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def _java(self, heap_mb: int) -> list[str]:
        return ["java", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self._classpath]

    def start(self) -> None:
        """Returns once the broker answers. TimeoutError, with the end of its log, when it does not."""
        log = self._directory / "broker.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._java(HEAP_MB_MAX), "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._directory,
            )
        deadline_s = time.monotonic() + START_S_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.kill()
                raise TimeoutError(f"the Kafka broker did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def pause(self) -> None:
        """Stop it in its tracks, connections open: what a hanging machine looks like."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """As an operator does; killed when it takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Its user is there again, whatever was done to users before: a restart after a removal loses them all."""
        self.stop()
        self.start()
        for mechanism in SCRAM:
            self._alter_user(USER, "--add-config", f"{mechanism}=[password={PASSWORD}]")

    def add_user(self, name: str, password: str) -> None:
        """Who may use the SASL listeners by SCRAM-SHA-256 from now on."""
        self._alter_user(name, "--add-config", f"SCRAM-SHA-256=[password={password}]")

    def remove_user(self, name: str) -> None:
        """Connections that it has stay."""
        self._alter_user(name, "--delete-config", "SCRAM-SHA-256")

    def _alter_user(self, name: str, *change: str) -> None:
        alter = ["kafka.admin.ConfigCommand", "--bootstrap-server", self.address, "--alter"]
        command = [*self._java(64), *alter, "--entity-type", "users", "--entity-name", name, *change]
        subprocess.run(command, check=True, capture_output=True, timeout=START_S_MAX)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)  # the leader of its own session, so its pid is the group's

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_S_MAX)
        self._process = None


def fetch_jars() -> Path:
    """The directory of the broker's jars, fetched when this user does not have them. BrokerMissing."""
    for program, package in (("java", "a Java runtime, 17 or later"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise BrokerMissing(f"tests on a real Kafka need {package}: install it so that `{program}` is found")
    found = re.search(r"<kafka.version>(.+)</kafka.version>", POM.read_text())
    assert found is not None, "pom.xml names Kafka's version"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exness-streams"
    jars = cache / f"kafka-{found[1]}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        _copy_jars(Path(work))
        try:
            (Path(work) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():  # else another run was faster, with the same jars
                raise
    return jars


def _copy_jars(work: Path) -> None:
    shutil.copy(POM, work / "pom.xml")
    copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work / 'jars'}"]
    try:
        subprocess.run(copy, cwd=work, check=True, capture_output=True, timeout=FETCH_S_MAX)
    except subprocess.CalledProcessError as error:
        last_words = (error.stdout or error.stderr or b"").decode().strip()[-500:]
        raise BrokerMissing(f"Maven could not fetch Kafka: allow it network access once ({last_words})") from error
    except subprocess.TimeoutExpired as error:
        raise BrokerMissing(f"Maven did not fetch Kafka within {FETCH_S_MAX:.0f} s: try again") from error
