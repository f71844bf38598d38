"""What TAB offers of a platform that runs. When there is none, or it is slow, nothing: a press of TAB says no error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from exness_streams.client.http import ApiClient
from exness_streams.client.refusals import RequestFailed
from exness_streams.terminal.desk import desk_of

TIMEOUT_S = 0.3

Offered = list[tuple[str, str]]
R = TypeVar("R")


def _asked(context: click.Context, ask: Callable[[ApiClient], R]) -> R | None:
    try:
        return ask(desk_of(context).client(timeout_s=TIMEOUT_S, attempts=1))
    except (RequestFailed, click.ClickException):
        return None


def instruments(context: click.Context) -> Offered:
    """Base assets, then symbols, each with what it is for."""
    seen = _asked(context, lambda client: client.markets())
    markets = [] if seen is None else seen.markets
    assets = {market.asset: market.symbol for market in reversed(markets)}  # the first of a base is meant by it
    return [(asset, assets[asset]) for asset in sorted(assets)] + [(market.symbol, "") for market in markets]


def positions(context: click.Context) -> Offered:
    """The account's open positions."""
    state = _asked(context, lambda client: client.state())
    held = [] if state is None else state.positions
    return [(one.position_id, f"{one.type} {one.leverage:f}x {one.symbol}") for one in held]


def orders(context: click.Context) -> Offered:
    """The account's pending orders."""
    state = _asked(context, lambda client: client.state())
    waiting = [] if state is None else state.orders
    return [(one.order_id, f"{one.kind} {one.side} {one.market} at {one.price:f}") for one in waiting]


def keys(context: click.Context) -> Offered:
    """The account's API keys."""
    seen = _asked(context, lambda client: client.keys())
    return [(one.id, one.name) for one in ([] if seen is None else seen.keys)]


def sessions(context: click.Context) -> Offered:
    """The account's sessions."""
    seen = _asked(context, lambda client: client.sessions())
    return [(one.id, "this one" if one.current else one.agent) for one in ([] if seen is None else seen.sessions)]
