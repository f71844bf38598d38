"""What a person is shown of who asks: the caller, and API keys."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from exness_streams.client.access import Caller, Done, KeysSeen, NewKey, SessionsSeen, SignedIn
from exness_streams.terminal.fitting import Column, FittedTable
from exness_streams.terminal.tables import moment, sentence, show


def show_signed_in(console: Console, server: str, signed_in: SignedIn) -> None:
    """Where, as whom, and for how long."""
    sentence(
        console,
        f"Signed in at {escape(server)} as [bold]{escape(signed_in.user.email)}[/], "
        f"account {escape(signed_in.account)}, until {moment(signed_in.expires_at)}",
    )


def show_caller(console: Console, caller: Caller) -> None:
    """Who the platform takes the terminal for."""
    if caller.kind == "guest":
        sentence(console, "not signed in; sign in with: exness-streams login")
        return
    how = {"open": "without sign-in", "session": "signed in", "key": "with an API key"}.get(caller.kind, caller.kind)
    who = "" if caller.email is None else f" as [bold]{escape(caller.email)}[/]"
    role = ", operator" if caller.operator else ""
    sentence(console, f"{escape(how)}{who}{role}")
    sentence(console, f"account {escape(caller.account or '-')}")
    if caller.scopes:
        sentence(console, f"may {escape(', '.join(caller.scopes))}")
    if caller.expires_at is not None:
        sentence(console, f"until {moment(caller.expires_at)}")


def show_sessions(console: Console, seen: SessionsSeen) -> None:
    """A session a row."""
    columns = (
        Column("Session", is_figure=False),
        Column("", is_figure=False),
        Column("Signed in", is_figure=False),
        Column("Until", is_figure=False, goes=1),
        Column("By", is_figure=False, goes=2),
    )
    rows = (
        (
            escape(one.id),
            "this one" if one.current else "",
            moment(one.created_at),
            moment(one.expires_at),
            escape(one.agent),
        )
        for one in seen.sessions
    )
    show(console, FittedTable(columns, rows) if seen.sessions else "no sessions")


def show_keys(console: Console, seen: KeysSeen) -> None:
    """A key a row."""
    columns = (
        Column("Key", is_figure=False),
        Column("Name", is_figure=False),
        Column("Scopes", is_figure=False, goes=1),
        Column("Made", is_figure=False, goes=3),
        Column("Expires", is_figure=False, goes=2),
    )
    rows = (
        (
            escape(key.id),
            escape(key.name),
            escape(", ".join(key.scopes)),
            moment(key.created_at),
            "never" if key.expires_at is None else moment(key.expires_at),
        )
        for key in seen.keys
    )
    show(console, FittedTable(columns, rows) if seen.keys else "no API keys")


def show_new_key(console: Console, key: NewKey) -> None:
    """A key, with its secret on a line of its own, whole on any screen."""
    until = "" if key.expires_at is None else f", until {moment(key.expires_at)}"
    sentence(console, f"[bold]{escape(key.name)}[/] ({escape(key.id)}) may {escape(', '.join(key.scopes))}{until}")
    console.print(key.key, markup=False, soft_wrap=True)
    sentence(console, "This secret is not shown again. Programs send it as: Authorization: Bearer SECRET")


def show_done(console: Console, done: Done) -> None:
    """What was done."""
    sentence(console, escape(done.message))
