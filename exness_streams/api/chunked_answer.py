"""Answers too long to be held in memory: sent piece by piece, no faster than the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from async_timeout import timeout

WRITE_S_MAX = 30.0
"""How long a client may take nothing before it is given up."""


class BrokenOff(Exception):
    """The pieces end before their time."""


async def send_pieces(
    request: web.Request, pieces: AsyncIterator[bytes], headers: Mapping[str, str], status: int = 200
) -> web.StreamResponse:
    """Answer with pieces as they come.

    When they break off, or the client takes nothing, the connection is cut: the client must not take a part for all.
    """
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    try:
        async for piece in pieces:
            async with timeout(WRITE_S_MAX):
                await response.write(piece)
        await response.write_eof()
    except BaseException as error:
        if request.transport is not None:
            request.transport.abort()
        if not isinstance(error, BrokenOff | aiohttp.ClientError | asyncio.TimeoutError | ConnectionError):
            raise
    return response
