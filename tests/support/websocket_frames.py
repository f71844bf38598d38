"""WebSocket frames as the server wrote them, taken apart."""

from __future__ import annotations


def payloads(frames: bytes) -> list[bytes]:
    """Of short or middling unmasked text frames."""
    found = []
    while frames:
        assert frames[0] == 0x81
        length, head = frames[1], 2
        if length == 126:
            length, head = int.from_bytes(frames[2:4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[2:10], "big"), 10
        found.append(frames[head : head + length])
        frames = frames[head + length :]
    return found
