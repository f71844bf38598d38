"""The platform's own secrets: from the settings, else made once and kept in the data directory."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from exness_streams.settings.platform import ConfigError, Settings

log = logging.getLogger(__name__)

FILE = "secrets.json"
SECRET_BYTES = 32


class SecretKeys(NamedTuple):
    """signing: the first signs, all verify. pepper: makes account ids, for ever. Shown nowhere."""

    signing: tuple[bytes, ...]
    pepper: bytes

    def __repr__(self) -> str:
        """Nothing of them: they may stand in somebody's traceback."""
        return "SecretKeys(***)"

    @property
    def pepper_mark(self) -> str:
        """Tells peppers apart, and nothing of them."""
        return self.digest("pepper-mark", "")[:16]

    def account_id(self, email: str) -> str:
        """The account of a normalized e-mail address."""
        return "u_" + hmac.new(self.pepper, b"account\0" + email.encode(), hashlib.sha256).hexdigest()[:40]

    def digest(self, purpose: str, text: str) -> str:
        """A keyed digest, as hex: the same on every worker, and nobody else's."""
        return hmac.new(self.pepper, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def secret_keys(settings: Settings) -> SecretKeys:
    """Those of a platform. ConfigError when they are kept in a file that can't be read or made."""
    signing = tuple(secret.encode() for secret in settings.secret_key)
    if signing and settings.pepper:
        return SecretKeys(signing, settings.pepper.encode())
    path = settings.data_dir.absolute() / FILE
    is_missed = settings.log_dir.exists() and not path.exists()
    kept = _kept(path)
    if is_missed:
        log.warning(
            "there was no %s beside the log, so new secrets were made: who signed in before gets another, empty "
            "account. If it was lost, stop, restore it from a backup, and start again",
            path,
        )
    return SecretKeys(signing or (kept["secretKey"].encode(),), (settings.pepper or kept["pepper"]).encode())


def _kept(path: Path) -> dict[str, str]:
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path} can be read by others: chmod 600 {path}")
        found = json.loads(path.read_text("utf-8"))
        if not all(len(str(found[name])) >= SECRET_BYTES for name in ("secretKey", "pepper")):
            raise ValueError("a secret is too short")
    except OSError as error:
        raise ConfigError(f"the secrets in {path} can't be read or made: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} does not hold the platform's secrets: restore it from a backup") from None
    return {name: str(found[name]) for name in ("secretKey", "pepper")}


def _make(path: Path) -> None:
    """Write it whole, and only if nobody else has: several workers of one directory may start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = json.dumps({"secretKey": secrets.token_urlsafe(48), "pepper": secrets.token_urlsafe(48)})
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(words)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
