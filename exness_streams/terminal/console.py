"""What every command shares: where it writes, and faults in one line."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_MISUSED = 2


class OneLine(click.ClickException):
    """A fault in one line, without a traceback."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: Any = None) -> None:
        errors.print(f"exness-streams: {self.message}", style="bold red", markup=False, soft_wrap=True)
