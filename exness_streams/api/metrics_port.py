"""/metrics on a port of its own, which a firewall or a network can keep for the one who scrapes."""

from __future__ import annotations

import os

from aiohttp import web
from prometheus_client import CollectorRegistry

from exness_streams.api.door import Door
from exness_streams.api.metrics import exposition
from exness_streams.settings.platform import Settings
from exness_streams.transport.connections import Connections
from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.web_server import runner_of

VARIABLE = "EXNESS_METRICS_PORT"
CONNECTIONS_MAX = 32
"""Scrapers need one each. They must not take the files that the API's connections are counted with."""


class MetricsPort:
    """A web server that answers GET /metrics, and nothing else. Plain HTTP, also where the API speaks TLS."""

    def __init__(self, registry: CollectorRegistry, settings: Settings, port: int) -> None:
        self._host, self._port = settings.host, port
        web_app = web.Application()
        Door(settings.own_hosts).mount(web_app)
        web_app.router.add_get("/metrics", exposition(registry))
        self._runner = runner_of(web_app, Connections(CONNECTIONS_MAX))

    async def start(self) -> None:
        """Listen. LogFault, or Misconfigured, in one line when that can't be done."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise metrics_port_refused(self._port, error) from None

    async def stop(self) -> None:
        """Listen no more. Also what has not started."""
        await self._runner.cleanup()


def metrics_port_refused(port: int, error: OSError) -> LogFault:
    """Why nobody can listen there, in one line that names the variable."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    kind = Misconfigured if isinstance(error, PermissionError) else LogFault
    return kind(f"{VARIABLE}={port} can't be used ({reason}): choose another port, or stop what uses it")


def metrics_port_of(settings: Settings, registry: CollectorRegistry) -> MetricsPort | None:
    """On the host of the web server; None where no port is set for it."""
    if settings.metrics_port is None:
        return None
    return MetricsPort(registry, settings, settings.metrics_port)
