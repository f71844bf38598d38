"""The platform as its users run it: a process of its own, which may be killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

GIVE_UP_S = 60.0
COMMAND_S_MAX = 180.0
"""An audit of eight cells over TLS makes some fifty connections, and the machine may be busy."""
POLL_S = 0.02

UNLIMITED = {f"EXNESS_{name}": "" for name in ("RATE_LIMIT", "ADDRESS_RATE_LIMIT", "NEW_ACCOUNTS_LIMIT")}
"""A test asks as often as it likes, and makes accounts at will."""

UNGUARDED = {"EXNESS_PRICE_BAND": "0"}
"""A test moves prices as far as it likes."""

_MAIN = "from exness_streams.cli import main; main()"


def environment(**variables: str) -> dict[str, str]:
    """The test's environment without the settings of whoever runs it, and with these."""
    ours = ("EXNESS_", "BACKPACK_", "KAFKA_", "PORT", "SMTP_", "FRONTEND_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"} | UNLIMITED | UNGUARDED | variables


def run_cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One command of `exness-streams`, to its end."""
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )


class PlatformProcess:
    """`exness-streams run --feed simulated`, always on the same data directory and port."""

    def __init__(self, data_dir: Path, port: int, **variables: str) -> None:
        self.data_dir, self.port = data_dir, port
        self.url = f"http://127.0.0.1:{port}"
        self.output = data_dir.with_suffix(".out")
        self._variables = variables
        self.prefix: tuple[str, ...] = ()
        self.program = _MAIN
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait_ready` says when it serves."""
        command = [sys.executable, "-c", self.program, "run", "--feed", "simulated", "--rate", "50"]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.prefix, *command], env=environment(**self._variables), stdout=output, stderr=output
            )

    def wait_ready(self) -> None:
        """Until GET /readyz gives 200. RuntimeError when the process has ended, or is not ready for very long."""
        give_up_at_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_at_s:
            if self._running.poll() is not None:
                raise RuntimeError(f"the platform ended with {self._running.returncode}:\n{self.said()}")
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=5):
                    return
            except urllib.error.HTTPError as refused:
                refused.close()
            except OSError:
                pass
            time.sleep(POLL_S)
        raise RuntimeError(f"the platform is not ready:\n{self.said()}")

    def wait_tradable(self) -> None:
        """Until every market can be traded on, too."""
        self.wait_ready()
        give_up_at_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_at_s:
            with urllib.request.urlopen(self.url + "/api/v1/markets", timeout=5) as response:
                if all(market["tradable"] for market in json.load(response)["markets"]):
                    return
            time.sleep(POLL_S)
        raise RuntimeError(f"no market can be traded on:\n{self.said()}")

    def signal(self, number: signal.Signals) -> None:
        """Nothing when it has ended."""
        self._running.send_signal(number)

    def wait_ended(self) -> int:
        """Its exit code. subprocess.TimeoutExpired when it goes on."""
        return self._running.wait(GIVE_UP_S)

    def kill(self) -> None:
        """SIGKILL: it gets no chance to say goodbye."""
        self._running.kill()
        self._running.wait(GIVE_UP_S)

    def terminate(self) -> int:
        """SIGTERM; the exit code. subprocess.TimeoutExpired when it does not end."""
        self._running.send_signal(signal.SIGTERM)
        return self._running.wait(GIVE_UP_S)

    def end(self) -> None:
        """Whatever has happened, nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def said(self) -> str:
        """All that it wrote, in all its lives."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process
