"""An exchange that costs next to nothing: frames of Backpack's form, written straight to the socket at a rate.

Usage: fast_exchange.py PORT RATE SYMBOL... (RATE: book updates a second, of all symbols together). The simulator makes
some thousands a second; here the price walk, the JSON and the WebSocket framing are a few microseconds.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import sys
import time

TURN_S = 0.002
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FastExchange:
    """Books of `symbols` in turn, and a ticker of each once a second."""

    def __init__(self, rate: float, symbols: list[str]) -> None:
        self._rate = rate
        self._symbols = symbols
        self._bids = dict.fromkeys(symbols, 1_500_000)
        self._draw = random.Random(1)
        self._number = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes. Whatever it subscribes to, it gets everything."""
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        await reader.read(1)
        begun_s, sent, ticked_s = time.monotonic(), 0, 0.0
        try:
            while not writer.is_closing():
                now_s = time.monotonic()
                if now_s - ticked_s >= 1:
                    ticked_s = now_s
                    writer.write(b"".join(map(self._ticker, self._symbols)))
                due = int((now_s - begun_s) * self._rate) - sent
                writer.write(b"".join(self._book() for _ in range(due)))
                sent += due
                await writer.drain()
                await asyncio.sleep(TURN_S)
        except OSError:
            return

    def _book(self) -> bytes:
        self._number += 1
        symbol = self._symbols[self._number % len(self._symbols)]
        bid = self._bids[symbol] = max(1_000, self._bids[symbol] + self._draw.randint(-20, 20))
        ask = bid + self._draw.randint(1, 12)
        now_us = time.time_ns() // 1000
        return _framed(
            f'{{"data":{{"A":"2.01178","B":"1.94230","E":{now_us},"T":{now_us - 211},"a":"{ask / 100:.2f}",'
            f'"b":"{bid / 100:.2f}","e":"bookTicker","s":"{symbol}","u":{6_730_019_258 + self._number}}},'
            f'"stream":"bookTicker.{symbol}"}}'
        )

    def _ticker(self, symbol: str) -> bytes:
        price = f"{self._bids[symbol] / 100:.2f}"
        return _framed(
            f'{{"data":{{"E":{time.time_ns() // 1000},"V":"154927125.41812","c":"{price}","e":"ticker","h":"{price}",'
            f'"l":"{price}","n":32259,"o":"{price}","s":"{symbol}","v":"1801.83549"}},"stream":"ticker.{symbol}"}}'
        )


def _framed(text: str) -> bytes:
    """A text frame from a server: 126 to 65,535 bytes."""
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text.encode()


async def main(port: int, rate: float, symbols: list[str]) -> None:
    """Serve until it is ended."""
    server = await asyncio.start_server(FastExchange(rate, symbols).serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
