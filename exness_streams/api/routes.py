"""Every route in one place. What each takes and answers is in openapi/routes.py: a new row needs one there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from exness_streams.api.aiohttp_mends import refuse_other_aiohttp
from exness_streams.api.commands import CommandDesk
from exness_streams.api.door import Door
from exness_streams.api.errors import Handler, error_middleware, expect_continue
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.metrics import StreamCollector, engine_metrics, exposition
from exness_streams.api.openapi.document import serve_openapi
from exness_streams.api.stream.view import StreamViews
from exness_streams.api.views.account import AccountViews
from exness_streams.api.views.candles import CandleViews
from exness_streams.api.views.health import PublicViews
from exness_streams.api.views.history import HistoryViews
from exness_streams.api.views.orders import OrderViews
from exness_streams.api.views.page import Page, add_page
from exness_streams.api.views.trading import TradingViews

if TYPE_CHECKING:
    from exness_streams.engine.engine import Engine


def add_routes(engine: Engine) -> CollectorRegistry:
    """Mount the API on the worker's web server. Returns the metrics it shows, for others to join."""
    refuse_other_aiohttp()
    desk = CommandDesk(engine)
    public, trading, orders, account = PublicViews(engine), TradingViews(desk), OrderViews(desk), AccountViews(desk)
    history = HistoryViews(desk)
    forwarding = Forwarding(engine)
    to_owner = forwarding.to_owner
    registry, metrics = engine_metrics(engine)
    streams = StreamViews(desk, forwarding)
    streams.attach(engine)
    registry.register(StreamCollector(streams.hub))
    web_app = engine.app.web.web_app
    web_app.middlewares.append(metrics.middleware)
    web_app.middlewares.append(error_middleware)
    web_app.middlewares.append(Door(engine.settings.own_hosts).middleware)
    add_page(web_app, Page(engine.settings.margin_call_level, engine.settings.max_quote_age_ms), public.banner)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/livez", public.live),
        ("GET", "/readyz", public.ready),
        ("GET", "/metrics", exposition(registry)),
        ("GET", "/ws", streams.connect),
        ("GET", "/api/v1/openapi.json", serve_openapi),
        ("GET", "/api/v1/markets", public.markets),
        ("GET", "/api/v1/candles", forwarding.to_market_owner(CandleViews(engine).candles)),
        ("GET", "/api/v1/state", to_owner(trading.state)),
        ("GET", "/api/v1/trades", to_owner(history.trades)),
        ("GET", "/api/v1/equity", to_owner(history.equity)),
        ("POST", "/api/v1/positions/open", to_owner(trading.open)),
        ("POST", "/api/v1/positions/close", to_owner(trading.close)),
        ("POST", "/api/v1/positions/close-all", to_owner(trading.close_all)),
        ("POST", "/api/v1/positions/modify", to_owner(trading.modify)),
        ("POST", "/api/v1/orders/place", to_owner(orders.place)),
        ("POST", "/api/v1/orders/cancel", to_owner(orders.cancel)),
        ("POST", "/api/v1/account/deposit", to_owner(account.deposit)),
        ("POST", "/api/v1/account/reset", to_owner(account.reset)),
    ]
    for method, path, view in routes:
        add = web_app.router.add_get if method == "GET" else web_app.router.add_post
        add(path, view, expect_handler=expect_continue)
    return registry
