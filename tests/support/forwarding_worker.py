"""A worker that owns some of the cells and passes other accounts' requests on to their owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from guards import guard

from exness_streams.api.errors import ApiError, error_middleware
from exness_streams.api.forwarding import Forwarding
from exness_streams.messages import JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, PLAIN_TOPICS


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def worker(
    owner_url: str | None,
    *,
    owned: set[int],
    topics: dict[str, Any] | None = None,
    keeps_candles: bool = False,
    refusals: list[ApiError] | None = None,
) -> AsyncIterator[tuple[str, list[str]]]:
    """A worker that owns some of eight cells; the URL of each account's partition is its last digit.

    refusals: what its own view raises, in turn, before it answers.
    """
    local: list[str] = []

    async def view(request: web.Request) -> web.Response:
        local.append(request.path)
        await request.read()
        if refusals:
            raise refusals.pop(0)
        return web.Response(text="local")

    async with aiohttp.ClientSession() as client:
        topics = {} if topics is None else topics
        if owner_url is not None:
            topics[owner_url] = {JOURNAL_TOPIC: list(range(8)), MARKET_UPDATES_TOPIC: [0]}
        engine: Any = SimpleNamespace(
            app=SimpleNamespace(
                router=SimpleNamespace(external_topics_metadata=lambda: deepcopy(topics)),
                conf=SimpleNamespace(canonical_url="http://127.0.0.1:1"),
                http_client=client,
                should_stop=False,
            ),
            candles=SimpleNamespace(is_owned=keeps_candles),
            is_shared=True,
            topics=PLAIN_TOPICS,
            cells=(cells := SimpleNamespace(cell=lambda partition: "cell" if partition in owned else None)),
            fresh_cells=cells,
            partition_of=lambda account_id: int(account_id[-1]),
        )
        own_guard = guard()
        app = web.Application(middlewares=[error_middleware, own_guard.middleware], client_max_size=16 * 1024)
        app.router.add_route("*", "/candles", Forwarding(engine, own_guard).to_market_owner(view))
        app.router.add_route("*", "/{path:.*}", Forwarding(engine, own_guard).to_owner(view))
        async with serving(app) as url:
            yield url, local
