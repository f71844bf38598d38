"""What every command shares: where it writes, and faults in one line."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

EXIT_FAILED = 1
EXIT_MISUSED = 2


@lru_cache(maxsize=1)
def console() -> Console:
    """Standard output, for a person."""
    from rich.console import Console

    return Console(highlight=False)


@lru_cache(maxsize=1)
def errors() -> Console:
    """Standard error, for a person."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


class OneLine(click.ClickException):
    """A fault in one line, without a traceback."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: Any = None) -> None:
        errors().print(f"exness-streams: {self.message}", style="bold red", markup=False, soft_wrap=True)


class OneDocument(click.ClickException):
    """A fault for a program: the API's JSON of it, in one line on standard error."""

    def __init__(self, document: bytes, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(document.decode("utf-8", "replace"))
        self.exit_code = exit_code

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)
