"""Frames as most of a journal holds them: JSON, packed by DEFLATE with a dictionary of the words that every frame has.

Each cell gets every frame, so frames are most of what a quiet platform writes; and a frame is too short for a packer
that begins without a dictionary. A packed record begins with a byte that no JSON begins with.

Releases that know no rules.PACKED_FRAMES can't read it: it is written where every partition goes by those.
"""

from __future__ import annotations

import zlib

import msgspec

SIGN = b"\x01"
"""Of the first way to pack, with the first dictionary. Another dictionary is another way, with a sign of its own."""

DICTIONARY = (
    b',"quantity":"price":"restarts":1,"gap":true,"books":[[0,10],[1,10]]'
    b'"markets":[{"symbol":"","state":"suspended","reason":"price_guard","since_ms":17"state":"halted","reason":'
    b'"operator""exchange""state":"close_only""settled""not_offered"}],'
    b'{"type":"RawFrame","time_ms":,"ticks":[["'
    b'"days":[["BTC_USDC",],["ETH_USDC",],["SOL_USDC",null,null]],'
    b'"source":"backpack","source":"simulated","epoch":,"settings":"","markets":[]}'
    b"[],[[0,1,5],[0,1,4]],[[0,1,5]],[[0,2,5]],[[0,0,5]],3,4,5],null]"
    b'{"type":"PriceFrame","time_ms":,"symbols":[["BTC_USDC",[],[],[],[],[],1,4],["ETH_USDC",[],[],[],[],[],2,4],'
    b'["SOL_USDC",[],[],[],[],[],0,4]],"epoch":,"from":,"to":}'
)
"""Never changed: what was packed with it can't be read without it."""

FRAME_BYTES_MAX = 64 << 20
"""No frame is larger by far: of what unpacks to more, nothing is believed."""

_SMALL_BYTES_MAX = 4_096
_WINDOW, _WINDOW_MAX = -12, -15
"""Bits, without a header. A small frame needs no more than 4 kB, which are made ready in a fifth of the time."""


def pack(frame: bytes) -> bytes:
    """A frame's JSON as a record that `unpack` reads."""
    is_small = len(frame) <= _SMALL_BYTES_MAX
    packer = zlib.compressobj(
        wbits=_WINDOW if is_small else _WINDOW_MAX, memLevel=5 if is_small else zlib.DEF_MEM_LEVEL, zdict=DICTIONARY
    )
    return SIGN + packer.compress(frame) + packer.flush()


def is_packed(record: bytes) -> bool:
    """Whether a record says that it is packed."""
    return record.startswith(SIGN)


def unpack(record: bytes) -> bytes:
    """The JSON of what `pack` gave. msgspec.DecodeError when it was damaged, is cut off, or holds more behind it."""
    unpacker = zlib.decompressobj(_WINDOW_MAX, DICTIONARY)
    try:
        frame = unpacker.decompress(memoryview(record)[len(SIGN) :], FRAME_BYTES_MAX)
    except zlib.error as error:
        raise msgspec.DecodeError(f"a packed frame is damaged ({error})") from error
    if not unpacker.eof or unpacker.unused_data:
        raise msgspec.DecodeError("a packed frame is damaged (it does not end where its record ends)")
    return frame
