"""nginx with docker/nginx.conf where there is no Docker: the engines' names are mapped to addresses of this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "docker" / "nginx.conf"
START_S_MAX = 10.0

_SERVER = re.compile(r"server (engine-\d):\d+ resolve ")
_RESOLVER = re.compile(r"^ *resolver(_timeout)? .*;\n", re.MULTILINE)


class NginxMissing(Exception):
    """There is no nginx here. str() is one line: what to install."""


def nginx_command() -> str:
    """Where nginx is. NginxMissing."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NginxMissing("nginx is not installed: apt-get install nginx")
    return found


def mapped(engines: Mapping[str, str], listen: str, directory: Path) -> str:
    """The configuration with engines (name → host:port), where to listen (host:port), and files in a directory.

    Names are not resolved as it runs: Docker's DNS is not here, and nginx before 1.27.3 can't.
    """
    text = _RESOLVER.sub("", CONFIGURATION.read_text("utf-8"))
    text = _SERVER.sub(lambda found: f"server {engines[found[1]]} ", text)
    text = text.replace("listen 4000;", f"listen {listen};").replace("/tmp/", f"{directory}/")
    text = text.replace("/dev/stdout", f"{directory}/access.log").replace("/dev/stderr", f"{directory}/error.log")
    return text.replace("worker_processes auto;", "worker_processes 1;")


class Gateway:
    """A running nginx."""

    def __init__(self, engines: Mapping[str, str], host: str, port: int, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.host, self.port = directory, host, port
        self.url = f"http://{host}:{port}"
        self._file = directory / "nginx.conf"
        self._file.write_text(mapped(engines, f"{host}:{port}", directory))
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> str:
        """What `nginx -t` says. RuntimeError when it finds a fault."""
        told = subprocess.run([*self._command, "-t"], capture_output=True, text=True, timeout=30, check=False)
        if told.returncode:
            raise RuntimeError(told.stderr)
        return told.stderr

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen([*self._command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        give_up_at_s = time.monotonic() + START_S_MAX
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > give_up_at_s:
                raise RuntimeError(f"nginx does not listen: {self.errors()}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop it at once, with its connections. Also what does not run."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def accesses(self) -> list[str]:
        """What it has written about requests."""
        return (self.directory / "access.log").read_text().splitlines()

    def errors(self) -> str:
        """What it has complained of."""
        file = self.directory / "error.log"
        return file.read_text() if file.exists() else ""

    @property
    def _command(self) -> list[str]:
        errors = str(self.directory / "error.log")
        return [nginx_command(), "-p", str(self.directory), "-c", str(self._file), "-e", errors]
