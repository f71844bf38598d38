"""A client of the simulated exchange over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from exness_streams.simulator.server import BackpackSimulator

WAIT_S = 20.0


@asynccontextmanager
async def client(simulator: BackpackSimulator, *streams: str) -> AsyncIterator[ClientConnection]:
    """One that has subscribed to these streams."""
    async with connect(simulator.url, proxy=None, close_timeout=2) as connection:
        if streams:
            await subscribe(connection, *streams)
        yield connection


async def subscribe(connection: ClientConnection, *streams: str) -> None:
    """From now on these, too."""
    await connection.send(json.dumps({"method": "SUBSCRIBE", "params": streams}))


async def data_where(connection: ClientConnection, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The data of the next frame that fulfils the condition."""

    async def search() -> dict[str, Any]:
        while True:
            data: dict[str, Any] = json.loads(await connection.recv())["data"]
            if condition(data):
                return data

    return await asyncio.wait_for(search(), WAIT_S)
