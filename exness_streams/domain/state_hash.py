"""The state hash: one figure for everything a cell holds."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from exness_streams.domain.canonical_entries import meaning_of


def state_hash(entries: Iterable[tuple[bytes, bytes]]) -> str:
    """SHA-256 over what the entries mean, in the order of their keys, as hex: one figure per state.

    Neither the history nor the release that wrote an entry makes a difference.
    """
    return bytes_hash((key, meaning_of(key, value)) for key, value in entries)


def bytes_hash(entries: Iterable[tuple[bytes, bytes]]) -> str:
    """Likewise over the bytes of the entries as they are: that of the checkpoints of 0.1.0."""
    digest = sha256()
    for key, value in sorted(entries):
        digest.update(b"%d %d " % (len(key), len(value)))
        digest.update(key)
        digest.update(value)
    return digest.hexdigest()
