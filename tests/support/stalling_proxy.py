"""A network between a worker and its broker that can stop carrying anything, cut or lose connections, and be slow."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

CHUNK = 1 << 16
LOOK_S = 0.05
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's: the peer hears of a reset, not of an end."""


@dataclass(eq=False)
class _Link:
    """A connection through the network, by its two ends. is_lost: it carries nothing any more, and nobody hears."""

    near: socket.socket
    far: socket.socket
    is_cut: threading.Event = field(default_factory=threading.Event)
    is_lost: bool = False


class StallingProxy:
    """TCP from `port` to `target_port`, both on 127.0.0.1, while the context lasts.

    delay_s: how long each piece is on its way.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.delay_s = 0.0
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", port))
        self._flows = threading.Event()
        self._flows.set()
        self._links: set[_Link] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> StallingProxy:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flows.set()
        # Closed only, it would still listen while a thread waits in `accept`.
        self._server.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._server.close()
        self.cut()

    def stall(self) -> None:
        """From now on nothing arrives, either way; it waits."""
        self._flows.clear()

    def resume(self) -> None:
        """What has waited arrives."""
        self._flows.set()

    def cut(self) -> None:
        """Reset all connections that there are; others may be made at once."""
        for link in list(self._links):
            link.is_cut.set()

    def lose(self) -> None:
        """As a router does that forgets: connections that there are carry nothing any more, in silence. Others do."""
        for link in list(self._links):
            link.is_lost = True

    def _accept(self) -> None:
        with suppress(OSError):  # closed in the end
            while True:
                near = self._server.accept()[0]
                threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        self._flows.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            near.close()
            return
        link = _Link(near, far)
        self._links.add(link)
        threading.Thread(target=self._pump, args=[link, far, near], daemon=True).start()
        self._pump(link, near, far)

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):  # the other pump has ended it
            while not link.is_cut.is_set():
                if not select.select([source], [], [], LOOK_S)[0]:
                    continue
                data = source.recv(CHUNK)
                if not data:
                    break
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._flows.wait()
                if not link.is_lost:
                    sink.sendall(data)
        self._links.discard(link)
        for one in (source, sink):
            _end(one, is_cut=link.is_cut.is_set())
        link.is_cut.set()  # the other pump ends, too


def _end(connection: socket.socket, *, is_cut: bool) -> None:
    with suppress(OSError):  # it has ended already
        if is_cut:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    connection.close()
