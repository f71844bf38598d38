"""What can go wrong with the simulated exchange, now or on a schedule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import msgspec

from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma
from exness_streams.simulator.book import Book

GARBAGE: tuple[str | bytes, ...] = (
    "",
    "not json",
    "[]",
    "null",
    "[" * 5_000,
    b"\xff\xfe\x00",
    '{"stream":"ticker.SOL_USDC"}',
    '{"data":null,"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"c":null,"e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"c":"0","e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"c":"-1","e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"c":"NaN","e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"E":1790134358087727,"c":"1e400","e":"ticker","s":"SOL_USDC"},"stream":"ticker.SOL_USDC"}',
    '{"data":{"T":1790134358087727,"a":"1","b":"2","e":"bookTicker","s":"SOL_USDC"},"stream":"bookTicker.SOL_USDC"}',
    '{"data":{"e":"weather","s":"SOL_USDC"},"stream":"weather.SOL_USDC"}',
)
"""Frames that no exchange should send; none of them holds a price."""


class MarketState(str, Enum):
    """A market's order book, in the exchange's words. One that is not open stands still; a closed one sends nothing."""

    OPEN = "Open"
    CLOSED = "Closed"
    CANCEL_ONLY = "CancelOnly"
    LIMIT_ONLY = "LimitOnly"
    POST_ONLY = "PostOnly"


_NUMBERS = re.compile(r'"([ETUu])":([0-9]+)')


@dataclass(slots=True)
class Faults:
    """Faults that last while they are set.

    silent: the socket stays open, no data is sent. refuse: new connections get HTTP 503.
    rest_down: plain HTTP requests get 503. rate_limit_s: they get 429 with that Retry-After. slow_rest_s: they are
    answered so much later. duplicate: each frame is sent twice. reorder: two frames of a stream change places.
    text_times: E, T, U and u are strings. delay_s: frames are sent so much later.
    skew_s: the exchange's clock is so much ahead of ours; ahead_s: symbol → its frames claim to be so much later.
    hidden_sides: symbol → "bid" or "ask", shown as empty in its book. crossed: symbols shown with a bid above the ask.
    no_last: symbols whose ticker has no last price. states: symbol → the state of its order book, when it is not open.
    """

    silent: bool = False
    refuse: bool = False
    rest_down: bool = False
    duplicate: bool = False
    reorder: bool = False
    text_times: bool = False
    delay_s: float = 0.0
    rate_limit_s: float = 0.0
    slow_rest_s: float = 0.0
    skew_s: float = 0.0
    hidden_sides: dict[str, str] = field(default_factory=dict)
    ahead_s: dict[str, float] = field(default_factory=dict)
    states: dict[str, MarketState] = field(default_factory=dict)
    crossed: set[str] = field(default_factory=set)
    no_last: set[str] = field(default_factory=set)
    _held: dict[str, str] = field(default_factory=dict, init=False)

    def state(self, symbol: str) -> MarketState:
        """The state of a market's order book."""
        return self.states.get(symbol, MarketState.OPEN) if self.states else MarketState.OPEN

    def shown(self, symbol: str, book: Book) -> Book:
        """The best prices as they are told: with an empty side, or crossed."""
        if not self.crossed and not self.hidden_sides:
            return book
        hidden = self.hidden_sides.get(symbol)
        if symbol in self.crossed and book.bid is not None and book.ask is not None:
            # By as much as they are apart; a book that has no spread is crossed by one tick.
            book = book._replace(bid=book.ask + 1, ask=book.bid)
        if hidden == "bid":
            return book._replace(bid=None)
        return book._replace(ask=None) if hidden == "ask" else book

    def deform(self, stream: str, frame: str) -> tuple[str, ...]:
        """What is sent in the place of `frame`, in this order."""
        if self.silent:
            return ()
        if self.text_times:
            frame = _NUMBERS.sub(r'"\1":"\2"', frame)
        frames: tuple[str, ...] = (frame,)
        held = self._held.pop(stream, None)
        if held is not None:
            frames = (frame, held) if self.reorder else (held, frame)
        elif self.reorder:
            self._held[stream] = frame
            return ()
        return tuple(copy for copy in frames for _ in range(2)) if self.duplicate else frames

    def begin(self, fault: ScheduledFault) -> None:
        """Sets a scheduled fault that lasts."""
        kind, symbol = fault.kind, fault.symbol
        if kind in _SECONDS:
            setattr(self, f"{kind}_s", fault.seconds)
        elif kind == "null":
            self.hidden_sides[symbol] = fault.side
        elif kind == "ahead":
            self.ahead_s[symbol] = fault.seconds
        elif kind == "state":
            self.states[symbol] = fault.state
        elif kind in ("crossed", "no_last"):
            getattr(self, kind).add(symbol)
        else:
            setattr(self, kind, True)

    def end(self, fault: ScheduledFault) -> None:
        """Undoes `begin`."""
        kind, symbol = fault.kind, fault.symbol
        if kind in _SECONDS:
            setattr(self, f"{kind}_s", 0.0)
        elif kind in ("null", "ahead", "state"):
            by_symbol: dict[str, dict[str, Any]] = {
                "null": self.hidden_sides, "ahead": self.ahead_s, "state": self.states,
            }  # fmt: skip
            by_symbol[kind].pop(symbol, None)
        elif kind in ("crossed", "no_last"):
            getattr(self, kind).discard(symbol)
        else:
            setattr(self, kind, False)


_SECONDS = frozenset({"delay", "rate_limit", "slow_rest", "skew"})
"""Faults that are a number of seconds, and 0 when there is none."""


class ScheduledFault(msgspec.Struct, frozen=True):
    """A fault at a time. at_s: seconds after the simulator's start; duration_s: None lasts to the end."""

    kind: str
    at_s: float
    duration_s: float | None = None
    symbol: str = ""
    side: str = ""
    factor: Decimal = Decimal(1)
    seconds: float = 0.0
    state: MarketState = MarketState.OPEN


_FORMS = {
    "drop": "drop@AT",
    "garbage": "garbage@AT",
    "jump": "jump:SYMBOL:FACTOR@AT",
    "spike": "spike:SYMBOL:FACTOR@AT",
    "silent": "silent@AT[+DURATION]",
    "refuse": "refuse@AT[+DURATION]",
    "rest_down": "rest_down@AT[+DURATION]",
    "duplicate": "duplicate@AT[+DURATION]",
    "reorder": "reorder@AT[+DURATION]",
    "delay": "delay:SECONDS@AT[+DURATION]",
    "rate_limit": "rate_limit:SECONDS@AT[+DURATION]",
    "slow_rest": "slow_rest:SECONDS@AT[+DURATION]",
    "skew": "skew:SECONDS@AT[+DURATION]",
    "ahead": "ahead:SYMBOL:SECONDS@AT[+DURATION]",
    "text_times": "text_times@AT[+DURATION]",
    "null": "null:SYMBOL:bid|ask@AT[+DURATION]",
    "crossed": "crossed:SYMBOL@AT[+DURATION]",
    "no_last": "no_last:SYMBOL@AT[+DURATION]",
    "state": "state:SYMBOL:Closed|CancelOnly|LimitOnly|PostOnly@AT[+DURATION]",
}
SECONDS_MAX = 10.0**9
FAULT_FORMS = ", ".join(_FORMS.values())
"""The forms of a fault in a schedule, for a help text."""


def parse_faults(text: str) -> tuple[ScheduledFault, ...]:
    """A schedule from text: faults separated by commas or spaces, times in seconds after the start.

    `silent@20+8,jump:SOL_USDC:0.8@30,drop@40`. Raises ValueError that names the fault and its right form.
    """
    return tuple(_parse_fault(item) for item in text.replace(",", " ").split())


def _parse_fault(item: str) -> ScheduledFault:
    head, _, times = item.partition("@")
    kind, *arguments = head.split(":")
    form = _FORMS.get(kind)
    if form is None:
        raise ValueError(f"unknown fault {item!r}; allowed are {FAULT_FORMS}")
    at, plus, duration = times.partition("+")
    try:
        if len(arguments) != form.count(":") or (plus and "DURATION" not in form):
            raise ValueError(item)
        fault = ScheduledFault(kind, _seconds(at), _seconds(duration) if plus else None)
        return _with_arguments(fault, arguments)
    except (ValueError, InvalidOperation):
        comma = f": {DECIMAL_COMMA}" if any(map(has_decimal_comma, re.split("[:@+]", item))) else ""
        raise ValueError(f"fault {item!r} should read {form}{comma}") from None


def _with_arguments(fault: ScheduledFault, arguments: list[str]) -> ScheduledFault:
    replace = msgspec.structs.replace
    if fault.kind in _SECONDS:
        return replace(fault, seconds=_seconds(arguments[0], is_signed=fault.kind == "skew"))
    if not arguments:
        return fault
    fault = replace(fault, symbol=arguments[0])
    if fault.kind in ("jump", "spike"):
        factor = Decimal(arguments[1])
        if not factor.is_finite() or factor <= 0:
            raise ValueError(factor)
        return replace(fault, factor=factor)
    if fault.kind == "ahead":
        return replace(fault, seconds=_seconds(arguments[1]))
    if fault.kind == "state":
        return replace(fault, state=MarketState(arguments[1]))
    if fault.kind == "null":
        if arguments[1] not in ("bid", "ask"):
            raise ValueError(arguments[1])
        return replace(fault, side=arguments[1])
    return fault


def _seconds(text: str, *, is_signed: bool = False) -> float:
    seconds = float(text)
    if not (-SECONDS_MAX if is_signed else 0) <= seconds <= SECONDS_MAX:
        raise ValueError(text)
    return seconds
