"""API keys as a program shows them: `exn_<account>.<key>.<secret>`. The account's cell keeps a digest of the secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

PREFIX = "exn_"
_SHOWN = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{1,64}})\.([A-Za-z0-9]{{16}})\.([A-Za-z0-9_-]{{32,64}})")


class ShownKey(NamedTuple):
    """What an API key says of itself."""

    account_id: str
    key_id: str
    secret: str

    def __str__(self) -> str:
        """As its owner keeps it."""
        return f"{PREFIX}{self.account_id}.{self.key_id}.{self.secret}"

    def __repr__(self) -> str:
        """Without its secret."""
        return f"ShownKey({self.account_id!r}, {self.key_id!r})"

    @property
    def digest(self) -> str:
        """What is kept of the secret. It has 256 bits: nothing slower than SHA-256 is needed."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether it is the key whose digest is kept."""
        return hmac.compare_digest(self.digest, digest)


def new_key(account_id: str) -> ShownKey:
    """A key like no other."""
    return ShownKey(account_id, secrets.token_hex(8), secrets.token_urlsafe(32))


def read_key(text: str) -> ShownKey | None:
    """None when it has not the shape of one."""
    found = _SHOWN.fullmatch(text)
    return None if found is None else ShownKey(found[1], found[2], found[3])
