"""Every route in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from exness_streams.api.errors import Handler, error_middleware, expect_continue
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.health import PublicViews
from exness_streams.api.metrics import engine_metrics, exposition
from exness_streams.api.trading import TradingViews

if TYPE_CHECKING:
    from exness_streams.engine.app import Engine


def add_routes(engine: Engine) -> CollectorRegistry:
    """Mount the API on the worker's web server. Returns the metrics it shows, for others to join."""
    public, trading = PublicViews(engine), TradingViews(engine)
    to_owner = Forwarding(engine).to_owner
    registry, metrics = engine_metrics(engine)
    web_app = engine.app.web.web_app
    web_app.middlewares.append(metrics.middleware)
    web_app.middlewares.append(error_middleware)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/", public.banner),
        ("GET", "/livez", public.live),
        ("GET", "/readyz", public.ready),
        ("GET", "/metrics", exposition(registry)),
        ("GET", "/api/v1/markets", public.markets),
        ("GET", "/api/v1/state", to_owner(trading.state)),
        ("POST", "/api/v1/positions/open", to_owner(trading.open)),
        ("POST", "/api/v1/positions/close", to_owner(trading.close)),
    ]
    for method, path, view in routes:
        add = web_app.router.add_get if method == "GET" else web_app.router.add_post
        add(path, view, expect_handler=expect_continue)
    return registry
