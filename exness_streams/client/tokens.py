"""Where a user's session tokens are kept: a file for each server, that nobody else may read."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import urllib.parse
from pathlib import Path

import msgspec

_BYTES_MAX = 64 << 10
_PORTS = {"http": 80, "https": 443}


class TokenFault(Exception):
    """A kept token can't be used, or not be kept; str() says why, and the cure, in one line without the token."""


class KeptToken(msgspec.Struct, frozen=True, rename="camel"):
    """A session's token. server: the one it was made for, and is sent to. expires_at: ms."""

    server: str
    token: str
    email: str
    account: str
    expires_at: int

    def __repr__(self) -> str:
        return f"KeptToken(server={self.server!r}, account={self.account!r})"


def server_of(url: str) -> str:
    """A server's address in the one form that it is known by. TokenFault when it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise TokenFault(f"{url} is no address of a platform: {error}") from None
    if parts.scheme not in _PORTS or not host:
        raise TokenFault(f"{url} is no address of a platform: it must begin with http:// or https://")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port or _PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def config_dir() -> Path:
    """The user's directory for settings: XDG_CONFIG_HOME, or ~/.config. TokenFault when there is neither."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if given.is_absolute():  # the specification has others ignored
        return given
    try:
        return Path.home() / ".config"
    except RuntimeError as error:
        raise TokenFault(f"there is no directory for settings ({error}): set XDG_CONFIG_HOME") from None


def token_path(server: str) -> Path:
    """The file of a server's token. The name tells which; the digest keeps apart what a name can't."""
    told = re.sub(r"[^a-z0-9.]+", "-", server.partition("://")[2].lower()).strip("-.")[:80]
    digest = hashlib.sha256(server.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return config_dir() / "exness-streams" / "tokens" / f"{told}-{digest}.json"


def kept_token(url: str) -> KeptToken | None:
    """The token that was made for a server, if there is one. TokenFault when others can read it."""
    server = server_of(url)
    path = token_path(server)
    content = _read(path, is_private=True)
    if content is None:
        return None
    try:
        kept = msgspec.json.decode(content, type=KeptToken)
    except msgspec.MsgspecError:
        raise TokenFault(f"{path} holds no token: sign in again with `exness-streams login`") from None
    if kept.server != server:
        raise TokenFault(f"the token in {path} was made for {kept.server}, and is not sent to {server}: sign in there")
    return kept


def keep_token(kept: KeptToken) -> Path:
    """Write a token: whole or not at all, for this user alone. TokenFault when it can't be written."""
    path = token_path(kept.server)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TokenFault(f"the token can't be kept in {path}: {error.strerror or error}") from None
    return path


def replaced_token(url: str) -> KeptToken | None:
    """What is kept for a server if it is a token at all, whoever can read it: fit to be ended, not to be used."""
    server = server_of(url)
    content = _read(token_path(server), is_private=False)
    try:
        kept = None if content is None else msgspec.json.decode(content, type=KeptToken)
    except msgspec.MsgspecError:
        return None
    return kept if kept is not None and kept.server == server else None


def forget_token(url: str) -> None:
    """Remove what is kept for a server, whatever it is. TokenFault when that can't be."""
    path = token_path(server_of(url))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise TokenFault(f"{path} can't be removed: {error.strerror or error}") from None


def _read(path: Path, *, is_private: bool) -> bytes | None:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            is_open_to_others = os.name == "posix" and (
                found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or found.st_uid != os.geteuid()
            )
            if is_private and is_open_to_others:
                raise TokenFault(f"others can read the token in {path}: run `chmod 600 {path}`, or sign in again")
            return file.read(_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        if not is_private:
            return None
        raise TokenFault(f"{path} can't be read: {error.strerror or error}") from None
