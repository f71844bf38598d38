"""The commands of who asks: signing in and out, and who the platform takes one for."""

from __future__ import annotations

import os
import re
import sys
import urllib.parse
import uuid
from typing import TYPE_CHECKING

import click

from exness_streams.terminal.command import Command
from exness_streams.terminal.console import OneLine, console, errors
from exness_streams.terminal.desk import TOKEN, Desk, at_a_desk, insecure_option, url_option

if TYPE_CHECKING:
    from exness_streams.client.access import SignedIn
    from exness_streams.client.http import ApiClient
    from exness_streams.client.refusals import RequestFailed

TRIES = 3


@click.command(cls=Command)
@click.option("--email", help="The address that the link is mailed to; it is asked for if none is given.")
@url_option
@insecure_option
def login(email: str | None, url: str, is_plain_allowed: bool) -> None:
    """Sign in: a link is mailed, and pasted here.

    The session's token is kept for this server in the user's config directory, where nobody else can read it.
    """
    from exness_streams.client.http import ApiClient
    from exness_streams.client.refusals import RequestFailed, check_plain
    from exness_streams.client.tokens import TokenFault, server_of

    try:
        server = server_of(url)
        check_plain(url, is_plain_allowed)
        email = (email or click.prompt("E-mail address", err=True)).strip()
        client = ApiClient(url, None)
        click.echo(client.request_link(email).message)
        signed_in = _redeemed(client, email)
        _keep(url, server, signed_in, is_plain_allowed)
    except (RequestFailed, TokenFault) as failed:
        raise OneLine(str(failed)) from None
    from exness_streams.terminal.access_view import show_signed_in

    show_signed_in(console(), server, signed_in)
    if os.environ.get(TOKEN):
        errors().print(f"{TOKEN} is set, and is used instead of this session until it is not.", markup=False)


def _redeemed(client: ApiClient, email: str) -> SignedIn:
    """The session of the link that is pasted; a link that is refused may be followed by another."""
    from exness_streams.client.refusals import RequestFailed

    nonce = uuid.uuid4().hex  # the same for each try: an answer that was lost is given again
    for left in reversed(range(TRIES)):
        pasted = _pasted()
        try:
            return client.redeem(_token_in(pasted, email), email, nonce)
        except RequestFailed as failed:
            if failed.status != 400 or not left:
                raise
            errors().print(f"{failed}", markup=False, soft_wrap=True)
        except ValueError as error:
            if not left:
                raise OneLine(str(error)) from None
            errors().print(f"{error}", markup=False, soft_wrap=True)
    raise AssertionError  # the last try returns or raises


def _pasted() -> str:
    """What is pasted, unseen; from a program's pipe, its next line."""
    if sys.stdin.isatty():
        told: str = click.prompt(
            "Paste the link from the mail, or its token (it is not shown)", hide_input=True, err=True
        )
        return told
    line = sys.stdin.readline()
    if not line:
        raise click.Abort
    return line


def _token_in(pasted: str, email: str) -> str:
    """The token of a mailed link, or what was pasted when it is no link. ValueError when it is another's link."""
    pasted = "".join(pasted.split())  # a mail program may have broken the line
    found = re.search(r"[?&]token=([^&#]+)", pasted)
    if found is None:
        if "://" in pasted:
            raise ValueError("there is no token in this link: it must be the one from the mail")
        return pasted
    whose = re.search(r"[?&]email=([^&#]+)", pasted)
    if whose is not None and urllib.parse.unquote(whose[1]).casefold() != email.casefold():
        raise ValueError(f"this link was mailed to another address than {email}")
    return urllib.parse.unquote(found[1])


def _keep(url: str, server: str, signed_in: SignedIn, is_plain_allowed: bool) -> None:
    """Keep the session, and end the one that it takes the place of."""
    from exness_streams.client.refusals import RequestFailed
    from exness_streams.client.tokens import KeptToken, TokenFault, keep_token, replaced_token

    if signed_in.token is None:
        raise RequestFailed(f"{server} gave no token: is it a platform of this version?")
    kept = KeptToken(server, signed_in.token, signed_in.user.email, signed_in.account, signed_in.expires_at)
    before = replaced_token(url)
    try:
        keep_token(kept)
    except TokenFault as fault:
        failed = _end(url, kept.token, is_plain_allowed)
        raise TokenFault(
            str(fault) if failed is None else f"{fault}; its session could not be ended: {failed}"
        ) from None
    if before is None or before.token == kept.token:
        return
    failed = _end(url, before.token, is_plain_allowed)
    if failed is not None:
        errors().print(f"The session before this one could not be ended: {failed}", markup=False, soft_wrap=True)


def _end(url: str, token: str, is_plain_allowed: bool) -> RequestFailed | None:
    """End a session; why it could not be ended. One that has ended before is no fault."""
    from exness_streams.client.http import ApiClient
    from exness_streams.client.refusals import RequestFailed

    try:
        ApiClient(url, None, token=token, is_plain_allowed=is_plain_allowed).logout()
    except RequestFailed as failed:
        return None if failed.status == 401 else failed
    return None


@click.command(cls=Command)
@url_option
@insecure_option
def logout(url: str, is_plain_allowed: bool) -> None:
    """Sign out: end the session at the platform, and remove its token here.

    The token is removed even if the platform does not answer; exit code 1 then.
    """
    from exness_streams.client.tokens import TokenFault, forget_token, replaced_token, server_of
    from exness_streams.terminal.tables import moment

    try:
        server, kept = server_of(url), replaced_token(url)
        forget_token(url)
    except TokenFault as fault:
        raise OneLine(str(fault)) from None
    if os.environ.get(TOKEN):
        errors().print(f"{TOKEN} is set: its session is not ended, and it is used until it is not.", markup=False)
    if kept is None:
        click.echo(f"Not signed in at {server}.")
        return
    failed = _end(url, kept.token, is_plain_allowed)
    if failed is not None:
        told = f"the token is removed here, but the session lives on until {moment(kept.expires_at)}"
        raise OneLine(f"{told}: {failed}")
    click.echo(f"Signed out of {server}.")


@click.command(cls=Command)
@at_a_desk
def whoami(desk: Desk) -> None:
    """Show who the platform takes this terminal for."""
    from exness_streams.terminal.access_view import show_caller

    desk.answer(lambda client: client.me(), show_caller)
