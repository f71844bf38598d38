"""The simulator's clients: their subscriptions, their requests, and the frames that wait for them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from exness_streams.simulator.faults import Faults
from exness_streams.simulator.frames import error_frame
from exness_streams.simulator.streams import parse_stream

logger = logging.getLogger(__name__)

INVALID_STREAM = error_frame(4006, "Invalid stream")
PARSE_ERROR = error_frame(4002, "Parse error")

FRAMES_QUEUED_MAX = 100_000
"""A client that falls so many frames behind is cut off."""
_FRAMES_PER_TURN = 200


class _StreamRequest(msgspec.Struct):
    method: Literal["SUBSCRIBE", "UNSUBSCRIBE"]
    params: list[str]


_decode_request = msgspec.json.Decoder(_StreamRequest).decode


OnWanted = Callable[[str, bool], None]
"""Is told of a stream that somebody wants, or nobody any more."""


class Client:
    """One connection and the frames that wait to be sent to it, in order."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._frames: deque[tuple[float, str | bytes]] = deque()
        self._wake = asyncio.Event()

    def put(self, frame: str | bytes, due_s: float = 0.0) -> None:
        """Sends `frame` after those before it, and not before `due_s` on the loop's clock."""
        if len(self._frames) >= FRAMES_QUEUED_MAX:
            logger.warning("a client is %d frames behind: cut off", len(self._frames))
            self._frames.clear()
            self.cut()
        self._frames.append((due_s, frame))
        self._wake.set()

    def cut(self) -> None:
        """Ends the connection without a Close frame, as a network failure does."""
        self._connection.transport.abort()

    async def send_all(self) -> None:
        """Sends what is put, until the connection ends."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._send_queued()
        except ConnectionClosed:
            return

    async def _send_queued(self) -> None:
        loop = asyncio.get_running_loop()
        sent = 0
        while self._frames:
            due_s, frame = self._frames.popleft()
            if due_s and (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            await self._connection.send(frame)
            sent += 1
            if sent % _FRAMES_PER_TURN == 0:
                # send() returns without a pause while the socket takes data; the others want their turn.
                await asyncio.sleep(0)


class Clients:
    """All connections, and who gets what. `faults` deform what is delivered."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        # Dicts as ordered sets: frames go out in the order of the connections.
        self._clients: dict[Client, None] = {}
        self._subscribers: dict[str, dict[Client, None]] = {}
        self._observers: list[OnWanted] = []
        self.accepted = 0

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def subscriptions(self) -> frozenset[str]:
        """The streams that somebody is subscribed to."""
        return frozenset(self._subscribers)

    def observe(self, observer: OnWanted) -> None:
        """From now on `observer` is told when a stream gets its first subscriber, and when it has lost its last."""
        self._observers.append(observer)

    async def serve(self, connection: ServerConnection) -> None:
        """Serves one connection until it ends."""
        client = Client(connection)
        self._clients[client] = None
        self.accepted += 1
        sender = asyncio.create_task(client.send_all())
        try:
            async for request in connection:
                self._answer(client, request)
        except ConnectionClosed:
            # A client that vanishes is nothing special; a normal Close ends the loop without an exception.
            pass
        finally:
            del self._clients[client]
            for stream in tuple(self._subscribers):
                self._unsubscribe(client, stream)
            sender.cancel()
            outcomes = await asyncio.gather(sender, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]

    def wants(self, stream: str) -> bool:
        """Whether anybody is subscribed to `stream`, so that its frame is worth writing."""
        return stream in self._subscribers

    def deliver(self, stream: str, frame: str) -> None:
        """Sends `frame` to the stream's subscribers, as the faults will have it."""
        subscribers = self._subscribers.get(stream)
        if subscribers is None:
            return
        delay_s = self._faults.delay_s
        due_s = asyncio.get_running_loop().time() + delay_s if delay_s else 0.0
        for deformed in self._faults.deform(stream, frame):
            for client in tuple(subscribers):
                client.put(deformed, due_s)

    def put_all(self, frame: str | bytes) -> None:
        """Sends `frame` to every client, subscribed or not."""
        for client in tuple(self._clients):
            client.put(frame)

    def cut_all(self) -> None:
        """Ends every connection without a Close frame."""
        for client in tuple(self._clients):
            client.cut()

    def _answer(self, client: Client, frame: str | bytes) -> None:
        """Does what a request asks for. Success is silent; a stream of an unknown type is answered once."""
        try:
            request = _decode_request(frame)
        except (ValueError, RecursionError):
            client.put(PARSE_ERROR)
            return
        valid = [stream for stream in request.params if parse_stream(stream) is not None]
        for stream in valid:
            if request.method == "SUBSCRIBE":
                self._subscribe(client, stream)
            else:
                self._unsubscribe(client, stream)
        if len(valid) < len(request.params):
            client.put(INVALID_STREAM)

    def _subscribe(self, client: Client, stream: str) -> None:
        if stream not in self._subscribers:
            self._subscribers[stream] = {}
            for observer in self._observers:
                observer(stream, True)
        self._subscribers[stream][client] = None

    def _unsubscribe(self, client: Client, stream: str) -> None:
        subscribers = self._subscribers.get(stream)
        if subscribers is not None:
            subscribers.pop(client, None)
            if not subscribers:
                del self._subscribers[stream]
                for observer in self._observers:
                    observer(stream, False)
