"""Where a command's requests go, for which account, and in which form its answer is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from exness_streams.terminal.console import OneDocument, OneLine, console
from exness_streams.terminal.names import Ambiguous, did_you_mean, find

if TYPE_CHECKING:
    from rich.console import Console

    from exness_streams.client.http import ApiClient
    from exness_streams.client.refusals import RequestFailed
    from exness_streams.messages import MarketMessage

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

URL, ACCOUNT = "http://127.0.0.1:4000", "demo"
_UNKNOWN = "UNKNOWN_ASSET"

TOKEN = "EXNESS_TOKEN"  # nosec B105 - a name

url_option = click.option(
    "--url", envvar="EXNESS_URL", default=URL, show_default=True, show_envvar=True, help="The platform's address."
)
insecure_option = click.option(
    "--insecure",
    "is_plain_allowed",
    envvar="EXNESS_INSECURE",
    show_envvar=True,
    is_flag=True,
    help="Send the token over plain http to another machine, too, where others can read it.",
)
_options = (
    url_option,
    click.option(
        "--account",
        envvar="EXNESS_ACCOUNT",
        show_envvar=True,
        help=f"The account that is looked at or traded on: {ACCOUNT}, or the one that is signed in, if none is given.",
    ),
    insecure_option,
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Write the API's JSON to standard output, and its error to standard error.",
    ),
)


@dataclass(frozen=True, slots=True)
class Desk:
    """url: of the platform. named: the account that was asked for. as_json: answers and errors are the API's documents.
    is_plain_allowed: whether the token may go to another machine over plain http.
    """

    url: str
    named: str | None
    as_json: bool = False
    is_plain_allowed: bool = False

    @property
    def token(self) -> str | None:
        """Of the environment, or else the one that was kept for this server. OneLine or OneDocument when that can't be
        used. A group of commands never asks for it: the command within may have been told another server.
        """
        given = os.environ.get(TOKEN, "").strip()
        if given:
            return given
        from exness_streams.client.tokens import TokenFault, kept_token, server_of

        try:
            server_of(self.url)
        except TokenFault:
            return None  # whoever asks such a server says what is wrong with its address
        try:
            kept = kept_token(self.url)
        except TokenFault as fault:
            raise self.failure("INVALID_TOKEN", str(fault)) from None
        return None if kept is None else kept.token

    @property
    def account(self) -> str | None:
        """The one that was asked for; None: that of the token."""
        return self.named or (None if self.token else ACCOUNT)

    def client(self, **limits: Any) -> ApiClient:
        """Who asks for the commands. limits: as those of the client."""
        from exness_streams.client.http import ApiClient

        return ApiClient(self.url, self.account, token=self.token, is_plain_allowed=self.is_plain_allowed, **limits)

    def ask(self, ask: Callable[[ApiClient], R]) -> R:
        """An answer. OneLine or OneDocument when it is refused, or there is none."""
        from exness_streams.client.refusals import RequestFailed

        try:
            return ask(self.client())
        except RequestFailed as failed:
            raise self.fault(failed) from None

    def answer(self, ask: Callable[[ApiClient], R], show: Callable[[Console, R], None]) -> R:
        """Ask, and tell the answer: as it came, or as a person is shown it."""

        def with_document(client: ApiClient) -> tuple[R, bytes]:
            return ask(client), client.answered

        answer, document = self.ask(with_document)
        self.tell(answer, show, document)
        return answer

    def tell(self, answer: R, show: Callable[[Console, R], None], document: bytes) -> None:
        """An answer that is known: as its document, or as a person is shown it."""
        if self.as_json:
            write(document)
        else:
            show(console(), answer)

    def order(self, asset: str, ask: Callable[[ApiClient, str], R], show: Callable[[Console, R], None]) -> None:
        """The same for an order of an instrument. The name is sent as it was typed: the platform knows what is on
        offer, and refuses any other before it does anything; then the one that was meant is sent.
        """
        from exness_streams.client.refusals import RequestFailed

        def under_its_name(client: ApiClient) -> R:
            try:
                return ask(client, asset)
            except RequestFailed as failed:
                return ask(client, self._meant(asset, failed))

        self.answer(under_its_name, show)

    def _meant(self, asset: str, failed: RequestFailed) -> str:
        names = failed.error.details.get("allowed")
        if failed.error.error != _UNKNOWN or not isinstance(names, list):
            raise failed
        try:
            meant = find(asset, names)
        except Ambiguous as ambiguous:
            raise self.fault(failed, f"{_UNKNOWN}: {ambiguous}") from None
        if meant is None:
            raise self.fault(failed, f"{failed}{did_you_mean(asset, names)}")
        return meant

    def symbol_of(self, asset: str, *, may_be_gone: bool = False) -> str:
        """The symbol that is meant. may_be_gone: an instrument that is on offer no more has its trades still."""
        markets = self.ask(lambda client: client.markets()).markets
        is_known = self._meant_of(asset, markets) is not None
        if may_be_gone and not is_known and self.ask(lambda client: list(client.trades(1, {"symbol": asset}))):
            return asset
        return self.symbol_among(asset, markets)

    def symbol_among(self, asset: str, markets: Iterable[MarketMessage]) -> str:
        """The symbol that is meant, or the end of the command."""
        markets = list(markets)
        meant = self._meant_of(asset, markets)
        if meant is None:
            names = [market.symbol for market in markets]
            told = f"asset must be one of {', '.join(names)}"
            raise self.failure(_UNKNOWN, f"{told}{did_you_mean(asset, {*names, *(one.asset for one in markets)})}")
        return meant

    def _meant_of(self, asset: str, markets: Iterable[MarketMessage]) -> str | None:
        symbols = {market.asset: market.symbol for market in reversed(list(markets))}  # the first of a base counts
        symbols |= {market.symbol: market.symbol for market in markets}
        try:
            meant = find(asset, symbols)
        except Ambiguous as ambiguous:
            raise self.failure(_UNKNOWN, str(ambiguous)) from None
        return None if meant is None else symbols[meant]

    def fault(self, failed: RequestFailed, told: str = "") -> click.ClickException:
        """The end of a command whose request failed. told: to a person, instead of what the platform says."""
        return OneDocument(failed.document) if self.as_json else OneLine(told or str(failed))

    def failure(self, code: str, told: str) -> click.ClickException:
        """The end of a command that did not do all that it should."""
        from exness_streams.client.refusals import RequestFailed
        from exness_streams.messages import ErrorMessage

        return self.fault(RequestFailed(f"{code}: {told}" if code == _UNKNOWN else told, ErrorMessage(told, code)))


def write(document: bytes) -> None:
    """One document on standard output."""
    output = click.get_binary_stream("stdout")
    output.write(document.rstrip(b"\n") + b"\n")
    output.flush()


def desk_of(context: click.Context) -> Desk:
    """What was said of it to the command, or else to the group before it: `orders --account ann place …`."""
    return Desk(
        _chosen(context, "url") or URL,
        _chosen(context, "account") or None,
        bool(_chosen(context, "as_json")),
        bool(_chosen(context, "is_plain_allowed")),
    )


def _chosen(context: click.Context, name: str) -> Any:
    inner: click.Context | None = context
    while inner is not None:
        if inner.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return inner.params.get(name)
        inner = inner.parent
    return context.params.get(name)


def at_a_desk(command: F) -> F:
    """Options that choose the platform, the account and the form of the answer; the command gets them as a Desk."""

    @wraps(command)
    def called(url: str, account: str, as_json: bool, is_plain_allowed: bool, **arguments: Any) -> Any:
        return command(desk_of(click.get_current_context()), **arguments)

    for option in reversed(_options):
        called = option(called)
    return called  # type: ignore[return-value]
