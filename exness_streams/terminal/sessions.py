"""The commands of the account's sessions: where somebody is signed in."""

from __future__ import annotations

import click

from exness_streams.terminal.arguments import SESSION_ID
from exness_streams.terminal.command import Command, Group
from exness_streams.terminal.desk import Desk, at_a_desk


@click.group(cls=Group, invoke_without_command=True)
@at_a_desk
def sessions(desk: Desk) -> None:
    """Show where the account is signed in; `sessions end` and `sessions end-all` end that."""
    if click.get_current_context().invoked_subcommand is None:
        _show(desk)


@sessions.command("list", cls=Command)
@at_a_desk
def list_(desk: Desk) -> None:
    """Show where the account is signed in."""
    _show(desk)


def _show(desk: Desk) -> None:
    from exness_streams.terminal.access_view import show_sessions

    desk.answer(lambda client: client.sessions(), show_sessions)


@sessions.command(cls=Command)
@click.argument("session_id", type=SESSION_ID)
@at_a_desk
def end(desk: Desk, session_id: str) -> None:
    """End a session at once.

    SESSION_ID is that of `sessions list`.
    """
    from exness_streams.terminal.access_view import show_done

    desk.answer(lambda client: client.end_session(session_id), show_done)


@sessions.command("end-all", cls=Command)
@at_a_desk
def end_all(desk: Desk) -> None:
    """End every session of the account at once, this one too."""
    from exness_streams.terminal.access_view import show_done

    desk.answer(lambda client: client.end_sessions(), show_done)
