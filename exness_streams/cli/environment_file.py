"""`init`: the file of variables that a platform with sign-in is started from, with secrets of its own."""

from __future__ import annotations

import os
import secrets
import shlex
from contextlib import suppress
from pathlib import Path

import click

from exness_streams.terminal.command import Command
from exness_streams.terminal.console import OneLine, console

SECRET_BYTES = 48

_TEMPLATE = """\
# Settings of an Exness Streams platform with sign-in, written by `exness-streams init`. docs/settings.md explains each.
# This file holds secrets: only you should be able to read it, and it belongs into no repository and no image.

EXNESS_AUTH=required

# Signs links of sign-in, sessions, and what workers pass on to each other; the same for all workers of a platform.
# To change it, put a new one before the old one, with a comma between: the first signs, all are accepted.
EXNESS_SECRET_KEY={secret_key}

# Makes account ids from e-mail addresses. It must never change, and must not get lost: with another pepper everybody
# who signs in gets a new, empty account. Keep a copy where your backups are.
EXNESS_PEPPER={pepper}

# The mail server that sends the links of sign-in. SMTP_SECURE=true means TLS from the first byte (port 465).
# SMTP_HOST=smtp.example.com
# SMTP_PORT=587
# SMTP_SECURE=false
# SMTP_USER=
# SMTP_PASS=
# EXNESS_MAIL_FROM=trading@example.com

# E-mail addresses, comma-separated, of those who may halt markets and read any account.
# EXNESS_OPERATORS=you@example.com

# Names, comma-separated and without ports, under which browsers and programs reach the platform.
# EXNESS_ALLOWED_HOSTS=trade.example.com

# The address of a page of your own that signs people in, instead of the one that the platform serves.
# FRONTEND_URL=https://trade.example.com
"""


def environment_text() -> str:
    """What the file says: lines of NAME=value as docker compose, honcho, systemd and a shell read them."""
    return _TEMPLATE.format(
        secret_key=secrets.token_urlsafe(SECRET_BYTES),
        pepper=secrets.token_urlsafe(SECRET_BYTES),
    )


def write_secret_file(path: Path, text: str) -> None:
    """Write a file that nobody else can read and that was not there. OSError; then there is no half of one."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


@click.command(cls=Command)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path(".env"),
    show_default=True,
    help="Where to write; a file that is there is never overwritten.",
)
def init(path: Path) -> None:
    """Write a file of settings for a platform with sign-in, with fresh secrets."""
    try:
        write_secret_file(path, environment_text())
    except FileExistsError:
        raise OneLine(
            f"{path} is there already and is not overwritten, for its secrets may be in use: choose another --file"
        ) from None
    except OSError as error:
        raise OneLine(f"{path} can't be written: {error.strerror}") from None
    _say_what_next(path)


def _say_what_next(path: Path) -> None:
    said = console()
    from rich.markup import escape

    shown = escape(str(path))
    from_here = escape(shlex.quote(str(path) if path.is_absolute() else f"./{path}"))
    said.print(f"[bold green]{shown} is written[/], with fresh secrets, for your eyes only", soft_wrap=True)
    said.print("  edit     your mail server, operators and host names: the lines that begin with #", soft_wrap=True)
    said.print("  keep     a copy of EXNESS_PEPPER with your backups: it must never change", soft_wrap=True)
    said.print(f"  start    set -a; . {from_here}; set +a; exness-streams run", soft_wrap=True)
    said.print("  or       docker compose -f docker/compose.yaml up   (reads .env beside README.md)", soft_wrap=True)
