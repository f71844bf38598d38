"""A guard of tests, and what its workers sign."""

from __future__ import annotations

from typing import Any

from exness_streams.api.access.guard import Guard
from exness_streams.identity.secret_keys import SecretKeys

KEYS = SecretKeys((b"a secret of the tests, of 32 bytes or more",), b"a pepper of the tests, of 32 bytes or more")
API_KEY = "exn_{account}.0123456789abcdef." + "k" * 43
"""In shape: what a worker sees that does not own the account."""


def guard(*, required: bool = False, shared: bool = True) -> Guard:
    return Guard(KEYS, ["boss@example.com"], required=required, shared=shared)


def signed(value: str) -> dict[str, Any]:
    """What a worker said when it passed a request on. NotOurs when none did."""
    return guard().tokens.read_passing(value)
