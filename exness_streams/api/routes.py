"""Every route in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exness_streams.api.errors import error_middleware
from exness_streams.api.health import PublicViews
from exness_streams.api.trading import TradingViews

if TYPE_CHECKING:
    from exness_streams.engine.app import Engine


def add_routes(engine: Engine) -> None:
    """Mount the API on the worker's web server."""
    public, trading = PublicViews(engine), TradingViews(engine)
    web_app = engine.app.web.web_app
    web_app.middlewares.append(error_middleware)
    router = web_app.router
    router.add_get("/", public.banner)
    router.add_get("/livez", public.live)
    router.add_get("/readyz", public.ready)
    router.add_get("/api/v1/markets", public.markets)
    router.add_get("/api/v1/state", trading.state)
    router.add_post("/api/v1/positions/open", trading.open)
    router.add_post("/api/v1/positions/close", trading.close)
