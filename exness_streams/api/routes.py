"""Every route in one place. What each takes and answers is in openapi/routes.py: a new row needs one there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from exness_streams.api.access.address import ClientAddresses
from exness_streams.api.access.guard import Guard
from exness_streams.api.access.rate_limits import RateLimits
from exness_streams.api.access.rate_metrics import RateCollector
from exness_streams.api.accounts import Accounts
from exness_streams.api.aiohttp_mends import refuse_other_aiohttp
from exness_streams.api.api_view import Way, here, mount
from exness_streams.api.asyncapi.document import AsyncApiView
from exness_streams.api.commands import CommandDesk
from exness_streams.api.connection_metrics import ConnectionCollector
from exness_streams.api.door import Door
from exness_streams.api.encoded_states import EncodedStates
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.market_list import MarketList
from exness_streams.api.metrics import MetricsView, StreamCollector, WorkerMetrics
from exness_streams.api.metrics_port import metrics_port_of
from exness_streams.api.openapi.document import OpenApiView
from exness_streams.api.stream.hub import StreamHub, readers_for
from exness_streams.api.stream.view import StreamViews
from exness_streams.api.strict_transport import require_tls
from exness_streams.api.views.account import DepositView, ResetView
from exness_streams.api.views.candles import CandlesView
from exness_streams.api.views.credentials import KeysView, KeyView, SessionsView, SessionView
from exness_streams.api.views.health import LiveView, MarketsView, ReadyView, banner
from exness_streams.api.views.history import EquityView, TradesView
from exness_streams.api.views.operator import AccountOfView, EndSessionsView
from exness_streams.api.views.operator_markets import OperatorMarketsView
from exness_streams.api.views.orders import CancelView, PlaceView
from exness_streams.api.views.page import FILES_PATH, Page, Root
from exness_streams.api.views.sign_in import AskForLinkView, LogoutView, MeView, SignIn, VerifyView
from exness_streams.api.views.trading import CloseAllView, CloseView, ModifyView, OpenView, StateView
from exness_streams.engine.event_sink import EventSinks
from exness_streams.identity.secret_keys import secret_keys
from exness_streams.transport.web_server import limit

if TYPE_CHECKING:
    from exness_streams.engine.engine import Engine, EngineApp


def add_routes(engine: Engine, metrics: WorkerMetrics) -> None:
    """Mount the API on the worker's web server. metrics: those that the engine was built with."""
    refuse_other_aiohttp()
    registry, of_api = metrics.registry, metrics.show(engine)
    web_app = engine.app.web.web_app
    web_app.middlewares.append(ClientAddresses(engine.settings.trusted_proxies).middleware)
    web_app.middlewares.append(of_api.middleware)
    settings = engine.settings
    Door(settings.own_hosts, settings.origins).mount(web_app)
    if settings.scheme == "https":
        web_app.on_response_prepare.append(require_tls)
    keys = secret_keys(settings)
    guard = Guard(keys, settings.operators, required=settings.auth == "required", shared=engine.is_shared)
    web_app.middlewares.append(guard.middleware)
    forwarding = Forwarding(engine, guard, settings.client_tls())
    limits = RateLimits(settings)
    limits.mount(web_app)
    registry.register(RateCollector(limits))
    accounts = Accounts(engine, engine.fresh_cells, engine.settings.starting_balance)
    connections = engine.app.web.connections
    limit(connections, engine.settings)
    registry.register(ConnectionCollector(connections))
    readers_max = readers_for(connections.total_max)
    offered = [terms.symbol for terms in engine.catalogue]
    hub = StreamHub(engine.cells, engine, engine.app, engine.freshness, offered=offered, readers_max=readers_max)
    engine.cells.tell(EventSinks(engine.history, hub))
    registry.register(StreamCollector(hub))
    level = engine.settings.margin_call_level
    states = EncodedStates(accounts, level, quote_age_ms_max=engine.settings.max_quote_age_ms)
    markets = MarketList(engine.catalogue, engine.cells, settings.terms_for, lambda symbol: engine.listed(symbol))
    streams = StreamViews(accounts, states, engine.app, hub, forwarding, markets, limits)
    streams.mount(web_app)
    page = Page(level, engine.settings.max_quote_age_ms)
    web_app.router.add_get(FILES_PATH, page.file)
    web_app.router.add_get("/docs", page.about_api)
    Root(page, partial(banner, can_mail=bool(engine.settings.smtp_host)), streams.connect_root).mount(web_app)
    add_public_views(engine, registry)
    add_price_views(engine, markets, forwarding.to_any_cell)
    add_market_views(engine, forwarding.to_market_owner)
    add_reading_views(engine, accounts, states, forwarding.to_owner)
    frames = engine.cells.frame_times
    desk = CommandDesk(accounts, engine.gateway, settings, engine.catalogue, limits, frames, engine.refused)
    add_command_views(engine.app, desk, forwarding.to_owner)
    add_access_views(engine.app, SignIn(guard, desk, forwarding, limits, settings))
    kept_markets = (engine.markets, engine.freshness, _recovery(engine))
    mount(engine.app, "/api/v1/operator/markets", here, OperatorMarketsView, desk, guard, forwarding, *kept_markets)


def add_public_views(engine: Engine, registry: CollectorRegistry) -> None:
    """What every worker answers."""
    app, settings = engine.app, engine.settings
    symbols = [terms.symbol for terms in engine.catalogue]
    mount(app, "/livez", here, LiveView)
    ready = (engine, engine.cells, _recovery(engine), engine.conditions)
    mount(app, "/readyz", here, ReadyView, *ready, symbols, settings.max_quote_age_ms)
    if settings.metrics_beside_api:
        mount(app, "/metrics", here, MetricsView, registry)
    if (apart := metrics_port_of(settings, registry)) is not None:
        app.web.beside.append(apart)
    mount(app, "/api/v1/openapi.json", here, OpenApiView, settings.scheme)
    mount(app, "/api/v1/asyncapi.json", here, AsyncApiView, settings.topics, settings.scheme)


def add_price_views(engine: Engine, markets: MarketList, to_any_cell: Way) -> None:
    """What every worker answers that has a cell."""
    parts = (markets, engine.cells, engine, engine.settings)
    mount(engine.app, "/api/v1/markets", to_any_cell, MarketsView, *parts)


def add_market_views(engine: Engine, to_market_owner: Way) -> None:
    """What the worker answers that keeps the candles."""
    parts = (engine.catalogue, engine.candle_reader, _recovery(engine), engine.freshness)
    mount(engine.app, "/api/v1/candles", to_market_owner, CandlesView, *parts)


def add_reading_views(engine: Engine, accounts: Accounts, states: EncodedStates, to_owner: Way) -> None:
    """What the owner of an account answers from what it has."""
    app, history = engine.app, engine.history
    mount(app, "/api/v1/state", to_owner, StateView, accounts, states)
    mount(app, "/api/v1/trades", to_owner, TradesView, accounts, history, app)
    mount(app, "/api/v1/equity", to_owner, EquityView, accounts, history)


def add_command_views(app: EngineApp, desk: CommandDesk, to_owner: Way) -> None:
    """What changes an account, by its owner."""
    mount(app, "/api/v1/positions/open", to_owner, OpenView, desk)
    mount(app, "/api/v1/positions/close", to_owner, CloseView, desk)
    mount(app, "/api/v1/positions/close-all", to_owner, CloseAllView, desk)
    mount(app, "/api/v1/positions/modify", to_owner, ModifyView, desk)
    mount(app, "/api/v1/orders/place", to_owner, PlaceView, desk)
    mount(app, "/api/v1/orders/cancel", to_owner, CancelView, desk)
    mount(app, "/api/v1/account/deposit", to_owner, DepositView, desk)
    mount(app, "/api/v1/account/reset", to_owner, ResetView, desk)


def add_access_views(app: EngineApp, sign_in: SignIn) -> None:
    """Who may do what: each finds the owner of the account itself, or is answered by it."""
    desk, guard, to_owner = sign_in.desk, sign_in.guard, sign_in.forwarding.to_owner
    mount(app, "/api/auth/signup", here, AskForLinkView, sign_in)
    mount(app, "/api/auth/login", here, AskForLinkView, sign_in)
    mount(app, "/api/auth/verify", here, VerifyView, sign_in)
    mount(app, "/api/auth/logout", here, LogoutView, sign_in)
    mount(app, "/api/auth/me", here, MeView, sign_in)
    mount(app, "/api/auth/sessions", to_owner, SessionsView, desk, guard)
    mount(app, "/api/auth/sessions/{id}", to_owner, SessionView, desk, guard)
    mount(app, "/api/v1/keys", to_owner, KeysView, desk, guard)
    mount(app, "/api/v1/keys/{id}", to_owner, KeyView, desk, guard)
    mount(app, "/api/v1/operator/account", here, AccountOfView, desk, guard, sign_in.forwarding)
    mount(app, "/api/v1/operator/sessions/end", here, EndSessionsView, desk, guard, sign_in.forwarding)


def _recovery(engine: Engine) -> Callable[[], bool]:
    """Whether the tables are recovered."""
    return lambda: bool(engine.app.tables.actives_ready)
