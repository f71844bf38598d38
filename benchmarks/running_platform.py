"""`exness-streams run` with the simulated feed, as a process of its own, for the benchmarks that ask it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningPlatform:
    """Started on entry and ready then; stopped with SIGTERM on exit. start_s: from its start to /readyz 200."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.start_s = 0.0

    def __enter__(self) -> RunningPlatform:
        command = [sys.executable, "-c", "from exness_streams.cli import main; main()", "run", "--feed", "simulated"]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        self.log_path = self.data_dir.with_suffix(".log")
        with self.log_path.open("ab") as log:
            begun_s = time.monotonic()
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
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
            if self._status("/readyz") == 200:
                return
            time.sleep(0.005)
        raise TimeoutError(f"not ready within {START_TIMEOUT_S:g} s")

    def _status(self, path: str) -> int:
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
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
