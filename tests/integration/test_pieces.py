"""Long answers: passed on as they come, held back by slow readers, cut when they break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from event_loop import at_rest
from forwarding_worker import serving, worker

from exness_streams.api.chunked_answer import BrokenOff, send_pieces
from exness_streams.api.errors import error_middleware

PIECE = b"x" * 65_536
PIECES_MAX = 4_096
"""256 MB: far more than all buffers on the way."""

HEADERS = {"Content-Type": "text/csv", "Content-Disposition": "attachment", "Vary": "Accept", "X-Internal": "secret"}
GIVE_UP_S = 30.0


class Owner:
    """Another worker, that answers with pieces for as long as it is let."""

    def __init__(self, pieces: int, *, breaks_off: bool = False, waits: bool = False) -> None:
        self.pieces, self.breaks_off = pieces, breaks_off
        self.sent = 0
        self.proceed, self.ended = asyncio.Event(), asyncio.Event()
        if not waits:
            self.proceed.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await send_pieces(request, self._pieces(), HEADERS)
        finally:
            self.ended.set()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for _ in range(self.pieces):
            yield PIECE
            self.sent += 1
            await self.proceed.wait()
        if self.breaks_off:
            raise BrokenOff("here")

    @property
    def app(self) -> web.Application:
        app = web.Application(middlewares=[error_middleware])
        app.router.add_get("/{path:.*}", self.answer)
        return app


@asynccontextmanager
async def client_of(owner: Owner, *, forwarded: bool = True, **options: Any) -> AsyncIterator[Callable[[], Any]]:
    """What asks the owner, through another worker or directly."""
    async with (
        serving(owner.app) as owner_url,
        worker(owner_url, owned=set(), **options) as (url, _),
        aiohttp.ClientSession(headers={"X-Account": "a1"}) as client,
    ):
        yield lambda: client.get(url if forwarded else owner_url)


async def test_an_answer_of_unknown_length_goes_through_piece_by_piece() -> None:
    owner = Owner(5, waits=True)
    async with client_of(owner) as get, get() as answer:
        assert answer.status == 200
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS | {"X-Internal": None}
        first = await answer.content.readexactly(len(PIECE))
        assert (first, owner.sent) == (PIECE, 1), "before the owner has more"
        owner.proceed.set()
        assert await answer.read() == PIECE * 4


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_client_that_does_not_read_holds_the_pieces_back(forwarded: bool) -> None:
    owner = Owner(PIECES_MAX)
    async with client_of(owner, forwarded=forwarded) as get, get() as answer:
        assert await answer.content.readexactly(5) == b"xxxxx"
        assert await at_rest(lambda: owner.sent) < PIECES_MAX
        answer.close()


@pytest.mark.parametrize("forwarded", [False, True])
async def test_what_breaks_off_does_not_look_whole(forwarded: bool) -> None:
    owner = Owner(3, breaks_off=True)
    async with client_of(owner, forwarded=forwarded) as get:
        with pytest.raises(aiohttp.ClientError):
            async with get() as answer:
                await answer.read()
        owner.breaks_off = False
        async with get() as answer:
            assert len(await answer.read()) == 3 * len(PIECE)


async def test_a_cell_that_moves_while_its_owner_is_silent_cuts_the_answer() -> None:
    owner = Owner(3, waits=True)
    topics: dict[str, Any] = {}
    async with client_of(owner, topics=topics) as get, get() as answer:
        await answer.content.readexactly(len(PIECE))
        topics.clear()
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.read(), GIVE_UP_S)
        owner.proceed.set()


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exness_streams.api.chunked_answer.WRITE_S_MAX", 0.2)
    owner = Owner(PIECES_MAX)
    async with client_of(owner, forwarded=False) as get, get() as answer:
        await asyncio.wait_for(owner.ended.wait(), GIVE_UP_S)
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.read(), GIVE_UP_S)
