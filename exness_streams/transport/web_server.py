"""The web servers of our processes: Faust's, with an end (`EngineApp` makes it), and how each one runs."""

from __future__ import annotations

from typing import Any

from aiohttp.web import Application, AppRunner
from faust.web.drivers.aiohttp import Web

REQUESTS_END_S = 3.0
"""How long a stop waits for requests that are being answered. aiohttp's own 60 s are longer than a stop may take."""


def runner_of(web_app: Application) -> AppRunner:
    """How each server of ours runs. A body is taken as it is: one that says it is packed is refused, never unpacked."""
    return AppRunner(web_app, access_log=None, shutdown_timeout=REQUESTS_END_S, auto_decompress=False)


class WebServer(Web):  # type: ignore[misc]  # faust is untyped here
    """Cuts off what is not answered soon after the worker was told to stop, and has no pages but the app's own."""

    default_blueprints = production_blueprints = debug_blueprints = optional_blueprints = ()

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = runner_of(self.web_app)

    def route(self, pattern: str, handler: Any, cors_options: Any = None) -> None:
        """Faust's, for views; they are called without a wrapper.

        Pages of other sites are the door's (api/door.py): there are no CORS options here.
        """
        for method in sorted(handler.get_methods()):
            self.web_app.router.add_route(method, pattern, handler.dispatch)
