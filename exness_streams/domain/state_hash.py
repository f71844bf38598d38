"""The state hash: one figure for everything a cell holds."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


def state_hash(entries: Iterable[tuple[bytes, bytes]]) -> str:
    """SHA-256 over the entries in the order of their keys, as hex: one figure per state, whatever its history."""
    digest = sha256()
    for key, value in sorted(entries):
        digest.update(b"%d %d " % (len(key), len(value)))
        digest.update(key)
        digest.update(value)
    return digest.hexdigest()
