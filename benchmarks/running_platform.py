"""`exness-streams run` with the simulated feed, as a process of its own, for the benchmarks that ask it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from compiled_modules import share_compiled_modules  # type: ignore[import-not-found]  # found at run time

if TYPE_CHECKING:
    from typing_extensions import Self

share_compiled_modules()

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0

UNLIMITED = {f"EXNESS_{name}": "" for name in ("RATE_LIMIT", "ADDRESS_RATE_LIMIT", "NEW_ACCOUNTS_LIMIT")}


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningPlatform:
    """Started on entry and ready then; stopped with SIGTERM on exit. start_s: from its start to /readyz 200.

    code: another checkout, whose code it is to run. ready_look_s: the pause between two looks at /readyz.
    """

    ready_look_s = 0.005

    def __init__(self, data_dir: Path, code: Path | None = None) -> None:
        self.code = code
        self.data_dir = data_dir
        self.port = free_port()
        self.start_s = 0.0

    def command(self) -> list[str]:
        """What is run."""
        return ["run", "--feed", "simulated", "--port", str(self.port), "--data-dir", str(self.data_dir)]

    def environment(self) -> dict[str, str]:
        """With what settings: measured is what the platform can do, not what it lets its clients do."""
        return dict(os.environ) | UNLIMITED

    def __enter__(self) -> Self:
        command = [sys.executable, "-c", "from exness_streams.cli import main; main()", *self.command()]
        self.log_path = self.data_dir.with_suffix(".log")
        with self.log_path.open("ab") as log:
            begun_s = time.monotonic()
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment(), cwd=self.code)
        try:
            self._wait_until_ready(begun_s)
        except BaseException:
            self._stop()
            raise
        self.start_s = time.monotonic() - begun_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_ready(self, begun_s: float) -> None:
        while time.monotonic() - begun_s < START_TIMEOUT_S:
            if self.process.poll() is not None:
                raise RuntimeError(f"the platform ended at once: {self.log_path.read_text()[-500:]}")
            if self.status("/readyz") == 200:
                return
            time.sleep(self.ready_look_s)
        raise TimeoutError(f"not ready within {START_TIMEOUT_S:g} s")

    def status(self, path: str) -> int:
        """The status of an answer, 0 when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def get(self, path: str, account_id: str = "demo") -> bytes:
        """The body of an answer, whatever its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"X-Account": account_id})
            return connection.getresponse().read()
        finally:
            connection.close()

    def wait_for_quotes(self) -> None:
        """Return once every market can be traded on."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while b'"tradable":false' in self.get("/api/v1/markets"):
            if time.monotonic() > deadline_s:
                raise TimeoutError("no quotes arrived")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """CPU seconds used by now, all threads; 0 where the system does not tell in /proc."""
        return cpu_s(self.process.pid)

    def _stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        wait_or_kill(self.process)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used by now, all threads; 0 where the system does not tell in /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_status(pid: int) -> dict[str, str]:
    """What the system tells of a process in /proc/PID/status, by name."""
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def own_memory_mb(status: Mapping[str, str]) -> float:
    """Memory that a process shares with no file, of its status."""
    return int(status["RssAnon"].split()[0]) / 1024


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to stop; killed when it takes too long."""
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
