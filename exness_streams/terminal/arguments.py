"""What the arguments of the commands can be, and what TAB offers for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

import click
from click.shell_completion import CompletionItem

from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma
from exness_streams.terminal.names import did_you_mean

_AGE = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_SIDES = {"long": "long", "short": "short", "buy": "long", "sell": "short"}


class Number(click.ParamType):
    """An exact number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(value)
        except (ArithmeticError, ValueError):
            number = Decimal("NaN")
        if not number.is_finite():
            comma = f": {DECIMAL_COMMA}" if has_decimal_comma(str(value)) else ""
            self.fail(f"{value} is not a number{comma}", param, ctx)
        return number


class Price(Number):
    """A price, or `none`, which clears what is set."""

    name = "price|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return "none" if str(value).casefold() == "none" else super().convert(value, param, ctx)


class Age(click.ParamType):
    """A time from now on."""

    name = "30s|15m|8h|7d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _AGE.fullmatch(value)
        if found is None:
            self.fail(f'"{value}" is not a duration; use for example 30s, 15m, 8h or 7d', param, ctx)
        return int(found[1]) * _UNIT_MS[found[2]]


class Word(click.ParamType):
    """One of some words, in any case; an underscore may be a hyphen. meanings: by what is typed. offered: by TAB."""

    def __init__(self, meanings: dict[str, str], offered: Collection[str], what: str) -> None:
        self._meanings, self._offered, self._what = meanings, offered, what
        self.name = "|".join(offered)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        meant = self._meanings.get(str(value).strip().casefold().replace("-", "_"))
        if meant is None:
            allowed = ", ".join(self._meanings)
            self.fail(f"{value} is no {self._what} ({allowed}){did_you_mean(str(value), self._meanings)}", param, ctx)
        return meant

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # The other words are offered once they are begun.
        words = self._meanings if incomplete else self._offered
        return beginning_with(incomplete, ((word, "") for word in words))


class Instrument(click.ParamType):
    """A market, by symbol or base asset. Which one is meant, the platform knows."""

    name = "asset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value).strip()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exness_streams.terminal.completion import instruments

        return beginning_with(incomplete, instruments(ctx))


class PositionId(click.ParamType):
    """An open position's id."""

    name = "position"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exness_streams.terminal.completion import positions

        return beginning_with(incomplete, positions(ctx))


class OrderId(click.ParamType):
    """A pending order's id."""

    name = "order"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exness_streams.terminal.completion import orders

        return beginning_with(incomplete, orders(ctx))


class SessionId(click.ParamType):
    """A session's id."""

    name = "session"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exness_streams.terminal.completion import sessions

        return beginning_with(incomplete, sessions(ctx))


class KeyId(click.ParamType):
    """An API key's id."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exness_streams.terminal.completion import keys

        return beginning_with(incomplete, keys(ctx))


def beginning_with(incomplete: str, offered: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    """What is offered for a word that is begun, in any case. offered: words with what is told of each."""
    begun = incomplete.casefold()
    return [CompletionItem(word, help=told or None) for word, told in offered if word.casefold().startswith(begun)]


NUMBER, PRICE, AGE = Number(), Price(), Age()
INSTRUMENT, POSITION_ID, ORDER_ID = Instrument(), PositionId(), OrderId()
SESSION_ID, KEY_ID = SessionId(), KeyId()
SIDE = Word(_SIDES, ("long", "short"), "side")
KIND = Word({"limit": "limit", "stop": "stop"}, ("limit", "stop"), "kind of order")
_REASONS = ("manual", "stop_loss", "take_profit", "liquidation", "settlement")
REASON = Word({reason: reason for reason in _REASONS}, _REASONS, "reason")
SCOPE = Word({"read": "read", "trade": "trade"}, ("read", "trade"), "scope")
