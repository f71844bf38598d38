"""What every command of ours is: it looks at the environment before it runs, and its help cuts nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import click

from exness_streams.settings.prefix import has_settings_of_the_platform
from exness_streams.terminal.console import EXIT_MISUSED, OneLine
from exness_streams.terminal.names import did_you_mean
from exness_streams.transport.faust_environment import forget_faust_variables


def first_sentences(command: click.Command) -> str:
    """The first paragraph of a command's help, in one line."""
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


def _check_environment() -> None:
    """Faust reads its variables while it is imported; a slip in the name of a setting stops every command."""
    forget_faust_variables()
    if not has_settings_of_the_platform():
        return
    from exness_streams.settings.names import refuse_unknown_variables
    from exness_streams.settings.platform import ConfigError

    try:
        refuse_unknown_variables()
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


class Command(click.Command):
    """A command. What it needs beyond click is imported when it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        _check_environment()
        return super().invoke(ctx)


class Group(click.Group):
    """Commands, listed by what they are for, each with all that its first paragraph says."""

    command_class = Command

    def sections(self) -> Iterable[tuple[str, Iterable[str]]]:
        """Titles, and the names of the commands below each."""
        return [("Commands", self.list_commands(click.get_current_context()))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        # One width of the names in all sections, as if they were one list.
        for title, names in self.sections():
            rows = [(name, first_sentences(command)) for name in names if (command := listed.get(name)) is not None]
            with formatter.section(title):
                widest = max(map(len, listed))
                formatter.write_dl([(name.ljust(widest), told) for name, told in rows])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"there is no command {name}{did_you_mean(name, names)}")
        return super().resolve_command(ctx, args)


class Setting(click.Option):
    """An option that stands for a setting. Its variable is read, and complained of, with all the others."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **{"show_envvar": True, **attrs})

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return None
