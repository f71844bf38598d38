"""The web servers of our processes: Faust's, with an end (`EngineApp` makes it), and how each one runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

from aiohttp.web import Application, AppRunner, BaseSite, Server, TCPSite
from faust.web.drivers.aiohttp import Web

from exness_streams.transport.connections import Connections
from exness_streams.transport.file_limit import connections_for, raise_file_limit
from exness_streams.transport.tls_arrivals import TlsArrival

log = logging.getLogger(__name__)

REQUESTS_END_S = 3.0
"""How long a stop waits for requests that are being answered. aiohttp's own 60 s are longer than a stop may take."""


BACKLOG = 128
"""Connections that wait to be accepted; aiohttp's number."""

HANDSHAKE_S_MAX = 5.0
"""How long a TLS handshake may take. asyncio's own 60 s let strangers hold many files open with few bytes."""


RENEWAL_LOOK_S = 60.0
"""How often files of a certificate are looked at. Authorities that renew by themselves do so days before the end."""


class _Runner(AppRunner):
    """aiohttp's, whose connections have places."""

    __slots__ = ("_places",)

    def __init__(self, web_app: Application, connections: Connections, **named: Any) -> None:
        super().__init__(web_app, keepalive_timeout=connections.patience.idle, **named)
        self._places = connections

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        server.places = self._places  # type: ignore[attr-defined]  # api/aiohttp_mends.py looks there
        return server


def runner_of(web_app: Application, connections: Connections) -> AppRunner:
    """How each server of ours runs. A body is taken as it is: one that says it is packed is refused, never unpacked."""
    return _Runner(web_app, connections, access_log=None, shutdown_timeout=REQUESTS_END_S, auto_decompress=False)


class ConnectionSettings(Protocol):
    """What an operator may say about connections."""

    @property
    def max_connections(self) -> int | None: ...

    @property
    def max_connections_per_address(self) -> int | None: ...

    @property
    def trusted_proxies(self) -> tuple[Any, ...]: ...


def new_connections(settings: ConnectionSettings | None = None) -> Connections:
    """The places of a server: as the settings say, as far as the system's limit of open files leaves room."""
    connections = Connections(connections_for(raise_file_limit()))
    if settings is not None:
        limit(connections, settings)
    return connections


def limit(connections: Connections, settings: ConnectionSettings) -> None:
    """Let the settings count."""
    total_max = connections_for(raise_file_limit(), settings.max_connections)
    connections.limit(total_max, settings.max_connections_per_address, settings.trusted_proxies)


@runtime_checkable
class Renewable(Protocol):
    """TLS of files that may be renewed while it is spoken. ValueError with one line when they can't be used."""

    def renewed(self) -> ssl.SSLContext | None: ...


class Site(TCPSite):
    """aiohttp's; who connects by TLS and then says nothing is not waited for as long."""

    __slots__ = ("_look", "tls")

    def __init__(self, runner: AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(runner, host, port, ssl_context=tls)
        self.tls = tls
        self._look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """aiohttp's, whose own start has no word about the time that a handshake may take."""
        await BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has not been set up")
        factory: Callable[[], asyncio.Protocol] = server
        if self.tls is not None:
            factory = partial(self._arrival, server)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(factory, self._host, self._port, backlog=BACKLOG)
        self._look = loop.call_later(RENEWAL_LOOK_S, self._look_for_renewal)

    async def stop(self) -> None:
        """aiohttp's."""
        if self._look is not None:
            self._look.cancel()
        await super().stop()

    def _arrival(self, server: Server) -> asyncio.Protocol:
        if self.tls is None:
            return server()
        places = server.places  # type: ignore[attr-defined]
        return TlsArrival(server, places, self.tls, HANDSHAKE_S_MAX)

    def _look_for_renewal(self) -> None:
        tls: object = self.tls
        if not isinstance(tls, Renewable):
            return
        try:
            renewed = tls.renewed()
        except ValueError as error:
            log.warning("port %d goes on with its former certificate: %s", self._port, error)
        else:
            if renewed is not None:
                self.tls = renewed
                log.info("port %d has a new certificate", self._port)
        self._look = asyncio.get_running_loop().call_later(RENEWAL_LOOK_S, self._look_for_renewal)


class Listener(Protocol):
    """What else listens while an app does."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class WebServer(Web):  # type: ignore[misc]  # faust is untyped here
    """Cuts off what is not answered soon after the worker was told to stop, and has no pages but the app's own."""

    default_blueprints = production_blueprints = debug_blueprints = optional_blueprints = ()

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.connections = new_connections()
        self._runner = runner_of(self.web_app, self.connections)
        self.beside: list[Listener] = []

    async def start_server(self) -> None:
        """Faust's, and the servers beside it."""
        await super().start_server()
        for server in self.beside:
            await server.start()

    async def stop_server(self) -> None:
        """Faust's, and the servers beside it."""
        for server in self.beside:
            await server.stop()
        await super().stop_server()

    def _new_transport_tcp(self) -> Site:
        conf = self.app.conf
        return Site(self._runner, conf.web_bind, conf.web_port, conf.web_ssl_context)

    def route(self, pattern: str, handler: Any, cors_options: Any = None) -> None:
        """Faust's, for views; they are called without a wrapper.

        Pages of other sites are the door's (api/door.py): there are no CORS options here.
        """
        for method in sorted(handler.get_methods()):
            self.web_app.router.add_route(method, pattern, handler.dispatch)
