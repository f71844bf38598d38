"""GET /ws: a snapshot of an account, then its events and the market as they come (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import time

import msgspec
from aiohttp import web

from exness_streams.api.access.address import address_of, network_of
from exness_streams.api.access.caller import caller_of
from exness_streams.api.access.rate_limits import Bill, bill_of
from exness_streams.api.accounts import Accounts
from exness_streams.api.encoded_states import EncodedStates
from exness_streams.api.errors import FIELD_SHOWN_MAX, ApiError, invalid_request, unknown_asset
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.market_list import MarketList
from exness_streams.api.number_form import form_asked
from exness_streams.api.ports import Stopping
from exness_streams.api.requests import only_known, repeated_name
from exness_streams.api.stream.asked import StreamRequest
from exness_streams.api.stream.client_frames import FrameLimits, client_texts
from exness_streams.api.stream.hub import HEARTBEAT_MS, MOVING, SIGNED_OUT_WORDS, StreamHub
from exness_streams.api.stream.market import Symbols
from exness_streams.api.stream.messages import (
    ConnectionMessage,
    PongMessage,
    StreamErrorMessage,
    client_frame_decoder,
    framed_as,
)
from exness_streams.api.stream.reader import SERVICE_RESTART, SIGNED_OUT, TRY_AGAIN_LATER, Reader, part, upgrade
from exness_streams.api.stream.relay import StreamRelay
from exness_streams.domain.cell import Cell
from exness_streams.domain.outside_text import in_one_line

NO_PARTITION = -1
"""Of a guest, who has no account."""

RESYNC_PAUSE_S = 0.25
"""After a snapshot that a client asked for, its next frame is read only then: a snapshot may be large."""


class StreamViews:
    """The live stream. Readers of accounts owned elsewhere are served by way of this worker, too."""

    def __init__(
        self,
        accounts: Accounts,
        states: EncodedStates,
        worker: Stopping,
        hub: StreamHub,
        forwarding: Forwarding,
        markets: MarketList,
        limits: FrameLimits,
    ) -> None:
        self._limits = limits
        self._markets = markets
        self.hub = hub
        self._accounts = accounts
        self._states = states
        self._worker = worker
        self._forwarding = forwarding
        self._relay = StreamRelay(self.hub, forwarding, limits)

    def mount(self, web_app: web.Application) -> None:
        """Give it its route. It begins and ends with the web server.

        It is no page of Faust's: its sensors would take a reader's stay for a very long request.
        """
        web_app.router.add_get("/ws", self.connect)
        web_app.on_startup.extend([self.hub.start, self._relay.start])
        web_app.on_shutdown.extend([self.hub.stop, self._relay.stop])

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """GET /ws"""
        return await self._connect(request, self._read(request))

    async def connect_root(self, request: web.Request) -> web.StreamResponse:
        """GET / by a WebSocket: as /ws, with the first instrument's market data unless others are named."""
        asked = self._read(request)
        if asked.symbols is None:
            asked = asked._replace(symbols=frozenset(terms.symbol for terms in list(self._markets.catalogue)[:1]))
        return await self._connect(request, asked)

    async def _connect(self, request: web.Request, asked: StreamRequest) -> web.StreamResponse:
        if self._worker.should_stop:
            raise ApiError(503, "NOT_READY", "this worker is stopping: use another one")
        forwarding, account_id = self._forwarding, asked.account_id
        owner = (
            forwarding.owner_elsewhere(request, account_id) if account_id else forwarding.any_cell_elsewhere(request)
        )
        if owner is not None:
            return await self._relay.serve(request, *owner, asked)
        return await self._serve(request, asked)

    def _read(self, request: web.Request) -> StreamRequest:
        if not web.WebSocketResponse().can_prepare(request):
            raise ApiError(
                426, "UPGRADE_REQUIRED", "connect with a WebSocket, version 13", None, {"Upgrade": "websocket"}
            )
        only_known(request, "account", "symbols")
        caller, form = caller_of(request), form_asked(request)
        return StreamRequest(caller.account_id or "", form, self._symbols_of(request), caller)

    def _symbols_of(self, request: web.Request) -> Symbols:
        text = request.query.get("symbols")
        if text is None:
            return None
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise invalid_request(
                "symbols", '"symbols" names none; give some, as in ?symbols=SOL,BTC_USDC, or leave it out'
            )
        found = set()
        for name in names:
            if (symbol := self._markets.symbol_of(name)) is None:
                raise unknown_asset("symbols", name, self._markets.catalogue)
            found.add(symbol)
        return frozenset(found)

    async def _serve(self, request: web.Request, asked: StreamRequest) -> web.StreamResponse:
        if asked.account_id:  # complains before the upgrade, while an answer can say why
            self._accounts.cell_of(asked.account_id)
            self._forwarding.check_alive(request)
        response, transport = await upgrade(request)
        partition = self._accounts.partition_of(asked.account_id) if asked.account_id else NO_PARTITION
        address, credential = network_of(address_of(request)), asked.caller.credential
        reader = Reader(transport, asked.account_id, partition, asked.form, address, asked.symbols, credential)
        over = self._end_with_session(reader, asked.caller.expires_ms)
        bill = bill_of(request)
        try:
            self._begin(reader, bill)
            async for text in client_texts(response, reader, self.hub, self._limits):
                await self._answer(reader, text, bill)
        finally:
            if over is not None:
                over.cancel()
            self.hub.gone(reader)
        await part(response, request, reader)
        return response

    def _end_with_session(self, reader: Reader, expires_ms: int | None) -> asyncio.TimerHandle | None:
        if expires_ms is None:
            return None
        left_s = max(0.0, expires_ms / 1000 - time.time())
        return asyncio.get_running_loop().call_later(left_s, self.hub.dismiss, reader, SIGNED_OUT, SIGNED_OUT_WORDS)

    def _begin(self, reader: Reader, bill: Bill) -> None:
        """Everything up to the first event, in one step of the event loop."""
        reader.say(ConnectionMessage(message="Connected to Exness Streams", heartbeat_ms=HEARTBEAT_MS))
        # Looked at again: the partition may have gone, and come back, while the connection was made.
        cell = None if reader.partition == NO_PARTITION else self._accounts.serving_cell(reader.partition)
        if full := self.hub.make_room_for(reader.account_id, reader.address):
            self.hub.dismiss(reader, TRY_AGAIN_LATER, full)
        elif reader.partition == NO_PARTITION and not self._worker.should_stop:
            self.hub.follow(reader, None, 0)
        elif cell is None or self._worker.should_stop:
            self.hub.dismiss(reader, SERVICE_RESTART, MOVING)
        elif not self._forwarding.guard.still_holds(reader.account_id, reader.credential, cell):
            self.hub.dismiss(reader, SIGNED_OUT, SIGNED_OUT_WORDS)  # it ended while the connection was made
        else:
            self.hub.follow(reader, *self._snapshot(reader, cell, bill))

    def _snapshot(self, reader: Reader, cell: Cell, bill: Bill) -> tuple[bytes, int]:
        state = self._states.state(cell, reader.account_id, reader.form)
        snapshot = framed_as("state", state.content)
        bill.pay_bytes(len(snapshot))
        return snapshot, state.sequence

    async def _answer(self, reader: Reader, text: str, bill: Bill) -> None:
        try:
            asked = client_frame_decoder.decode(text).type
            repeated = repeated_name(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            known = 'unknown frame; send {"type":"resync"} or {"type":"ping"}'
            reader.say(StreamErrorMessage(error="INVALID_REQUEST", message=known))
        else:
            if repeated is not None:
                twice = f'"{in_one_line(repeated, FIELD_SHOWN_MAX)}" is given more than once; send each field once'
                reader.say(StreamErrorMessage(error="INVALID_REQUEST", message=twice))
            elif asked == "ping":
                reader.say(PongMessage())
            elif reader.partition == NO_PARTITION:
                reader.say(StreamErrorMessage(error="UNAUTHORIZED", message="there is no account to resync: sign in"))
            else:
                cell = self._accounts.cell(reader.partition)
                if cell is None:
                    self.hub.dismiss(reader, SERVICE_RESTART, MOVING)
                    return
                self.hub.snapshot(reader, *self._snapshot(reader, cell, bill))
                await asyncio.sleep(RESYNC_PAUSE_S)
        self.hub.is_too_slow(reader)
