"""The command line: running the platform, looking at it, and trading from a terminal.

A command is imported when it is named, and imports what it needs when it runs: `--version`, `--help` and a press of TAB
load neither Faust nor an HTTP library.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

import click

from exness_streams import __version__
from exness_streams.terminal.command import Group

_RUNNING, _CHECKING = "exness_streams.cli.running", "exness_streams.cli.checking"
_TRADING, _LOOKING = "exness_streams.terminal.trading", "exness_streams.terminal.looking"
_ACCESS = "exness_streams.terminal.access"

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Trade": {
        "open": (_TRADING, "open_"),
        "close": (_TRADING, "close"),
        "close-all": (_TRADING, "close_all"),
        "modify": (_TRADING, "modify"),
        "orders": ("exness_streams.terminal.orders", "orders"),
        "cancel-all": ("exness_streams.terminal.orders", "cancel_all"),
        "deposit": (_TRADING, "deposit"),
        "reset": (_TRADING, "reset"),
    },
    "Look": {
        "markets": (_LOOKING, "markets"),
        "state": (_LOOKING, "state"),
        "trades": (_LOOKING, "trades"),
        "watch": (_LOOKING, "watch"),
    },
    "Access": {
        "login": (_ACCESS, "login"),
        "logout": (_ACCESS, "logout"),
        "whoami": (_ACCESS, "whoami"),
        "sessions": ("exness_streams.terminal.sessions", "sessions"),
        "keys": ("exness_streams.terminal.keys", "keys"),
    },
    "Operate": {
        "market": ("exness_streams.terminal.market_states", "market"),
    },
    "Run": {
        "init": ("exness_streams.cli.environment_file", "init"),
        "run": (_RUNNING, "run"),
        "engine": (_RUNNING, "engine"),
        "market-data": (_RUNNING, "market_data"),
        "simulate-backpack": (_RUNNING, "simulate_backpack"),
    },
    "Check": {
        "audit": (_CHECKING, "audit"),
        "checkpoint": (_CHECKING, "checkpoint"),
        "journal": ("exness_streams.cli.reading", "journal"),
        "upgrade": ("exness_streams.cli.upgrading", "upgrade"),
        "repair": ("exness_streams.cli.repairing", "repair"),
    },
}
"""Every command by what it is for: the module it is in, and its name there."""

_PLACES = {name: place for commands in SECTIONS.values() for name, place in commands.items()}


class CommandLine(Group):
    """All commands, none of which is imported before it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PLACES:
            return None
        module, name = _PLACES[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def sections(self) -> Iterable[tuple[str, Iterable[str]]]:
        return SECTIONS.items()


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, help="Show the version and end.")
def main() -> None:
    """A leveraged-trading platform as a stream-processing application."""
