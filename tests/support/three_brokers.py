"""Three brokers that keep what was acknowledged when one of them is killed: KRaft, each is broker and controller."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from ports import free_ports

COUNT = 3
HEAP_MB_MAX = 256
START_S_MAX = 90.0
STOP_S_MAX = 30.0

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=3
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=6
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class ThreeBrokers:
    """On 127.0.0.1, on ports that each keeps over restarts."""

    nodes = tuple(range(1, COUNT + 1))

    def __init__(self, directory: Path, jars: Path) -> None:
        self._directory, self._classpath = directory, f"{jars}/*"
        ports, controller_ports = free_ports(COUNT), free_ports(COUNT)
        self._port = dict(enumerate(ports, 1))
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controller_ports, 1))
        cluster_id = uuid.uuid4().hex[:22]
        for node, controller_port in enumerate(controller_ports, 1):
            self._properties(node).write_text(
                PROPERTIES.format(
                    node=node,
                    voters=voters,
                    port=self._port[node],
                    controller_port=controller_port,
                    data=directory / f"data-{node}",
                )
            )
            format_log = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties(node))]
            subprocess.run([*self._java(64), *format_log], check=True, capture_output=True, timeout=START_S_MAX)

    def _properties(self, node: int) -> Path:
        return self._directory / f"server-{node}.properties"

    def _java(self, heap_mb: int) -> list[str]:
        return ["java", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self._classpath]

    @property
    def address(self) -> str:
        """All of them, as clients want it."""
        return ",".join(f"127.0.0.1:{port}" for port in self._port.values())

    def start(self) -> None:
        """Returns once all answer."""
        for node in self._port:
            self.start_one(node, wait=False)
        for node in self._port:
            self._wait_answers(node)

    def start_one(self, node: int, *, wait: bool = True) -> None:
        with self._log(node).open("ab") as output:
            self._running[node] = subprocess.Popen(
                [*self._java(HEAP_MB_MAX), "kafka.Kafka", str(self._properties(node))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._directory,
            )
        if wait:
            self._wait_answers(node)

    def _log(self, node: int) -> Path:
        return self._directory / f"broker-{node}.log"

    def _wait_answers(self, node: int) -> None:
        give_up_at_s = time.monotonic() + START_S_MAX
        while not self._answers(node):
            if time.monotonic() > give_up_at_s:
                raise TimeoutError(f"broker {node} does not start:\n{self._log(node).read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self, node: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port[node]), timeout=1.0).close()
        except OSError:
            return False
        return True

    def kill_one(self, node: int) -> None:
        """As a power cut does."""
        process = self._running.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_S_MAX)

    def pause_one(self, node: int) -> None:
        """Stop it in its tracks, connections open: what a hanging machine looks like."""
        self._running[node].send_signal(signal.SIGSTOP)

    def resume_one(self, node: int) -> None:
        self._running[node].send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """All that run."""
        for node in list(self._running):
            self.kill_one(node)
