"""The commands of API keys, with which programs act for an account."""

from __future__ import annotations

import time

import click

from exness_streams.terminal.arguments import AGE, KEY_ID, SCOPE
from exness_streams.terminal.command import Command, Group
from exness_streams.terminal.desk import Desk, at_a_desk


@click.group(cls=Group, invoke_without_command=True)
@at_a_desk
def keys(desk: Desk) -> None:
    """Show the account's API keys; `keys create` and `keys revoke` change them."""
    if click.get_current_context().invoked_subcommand is None:
        _show(desk)


@keys.command("list", cls=Command)
@at_a_desk
def list_(desk: Desk) -> None:
    """Show the account's API keys, without their secrets."""
    _show(desk)


def _show(desk: Desk) -> None:
    from exness_streams.terminal.access_view import show_keys

    desk.answer(lambda client: client.keys(), show_keys)


@keys.command(cls=Command)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=SCOPE,
    metavar="[read|trade]",
    multiple=True,
    default=("read",),
    show_default=True,
    help="What it may do: look at the account (read), or trade on it, too (trade).",
)
@click.option("--expires", type=AGE, metavar="[15m|8h|30d]", help="End it when this time is over.")
@at_a_desk
def create(desk: Desk, name: str, scopes: tuple[str, ...], expires: int | None) -> None:
    """Make an API key. Its secret is shown this once: keep it where only the program can read it.

    NAME is for people, such as the program's.
    """
    from exness_streams.terminal.access_view import show_new_key

    # Who trades must see what on.
    wanted = ["read", "trade"] if "trade" in scopes else ["read"]
    fields: dict[str, object] = {"name": name, "scopes": wanted}
    if expires is not None:
        fields["expiresAt"] = int(time.time() * 1000) + expires
    desk.answer(lambda client: client.create_key(fields), show_new_key)


@keys.command(cls=Command)
@click.argument("key_id", type=KEY_ID)
@at_a_desk
def revoke(desk: Desk, key_id: str) -> None:
    """End an API key at once.

    KEY_ID is that of `keys list`.
    """
    from exness_streams.terminal.access_view import show_done

    desk.answer(lambda client: client.revoke_key(key_id), show_done)
