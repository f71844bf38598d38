"""What can go wrong with the simulated exchange, now or on a schedule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import msgspec

from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma

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


@dataclass(slots=True)
class Faults:
    """Faults that last while they are set.

    silent: the socket stays open, no data is sent. refuse: new connections get HTTP 503.
    rest_down: plain HTTP requests get 503. duplicate: each frame is sent twice.
    reorder: two frames of a stream change places.
    delay_s: frames are sent so much later. hidden_sides: symbol → "bid" or "ask", shown as empty in its book.
    """

    silent: bool = False
    refuse: bool = False
    rest_down: bool = False
    duplicate: bool = False
    reorder: bool = False
    delay_s: float = 0.0
    hidden_sides: dict[str, str] = field(default_factory=dict)
    _held: dict[str, str] = field(default_factory=dict, init=False)

    def deform(self, stream: str, frame: str) -> tuple[str, ...]:
        """What is sent in the place of `frame`, in this order."""
        if self.silent:
            return ()
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
        if fault.kind == "delay":
            self.delay_s = fault.delay_s
        elif fault.kind == "null":
            self.hidden_sides[fault.symbol] = fault.side
        else:
            setattr(self, fault.kind, True)

    def end(self, fault: ScheduledFault) -> None:
        """Undoes `begin`."""
        if fault.kind == "delay":
            self.delay_s = 0.0
        elif fault.kind == "null":
            self.hidden_sides.pop(fault.symbol, None)
        else:
            setattr(self, fault.kind, False)


class ScheduledFault(msgspec.Struct, frozen=True):
    """A fault at a time. at_s: seconds after the simulator's start; duration_s: None lasts to the end."""

    kind: str
    at_s: float
    duration_s: float | None = None
    symbol: str = ""
    side: str = ""
    factor: Decimal = Decimal(1)
    delay_s: float = 0.0


_FORMS = {
    "drop": "drop@AT",
    "garbage": "garbage@AT",
    "jump": "jump:SYMBOL:FACTOR@AT",
    "silent": "silent@AT[+DURATION]",
    "refuse": "refuse@AT[+DURATION]",
    "rest_down": "rest_down@AT[+DURATION]",
    "duplicate": "duplicate@AT[+DURATION]",
    "reorder": "reorder@AT[+DURATION]",
    "delay": "delay:SECONDS@AT[+DURATION]",
    "null": "null:SYMBOL:bid|ask@AT[+DURATION]",
}
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
    if fault.kind == "delay":
        return replace(fault, delay_s=_seconds(arguments[0]))
    if fault.kind == "jump":
        factor = Decimal(arguments[1])
        if not factor.is_finite() or factor <= 0:
            raise ValueError(factor)
        return replace(fault, symbol=arguments[0], factor=factor)
    if fault.kind == "null":
        if arguments[1] not in ("bid", "ask"):
            raise ValueError(arguments[1])
        return replace(fault, symbol=arguments[0], side=arguments[1])
    return fault


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 10**9:
        raise ValueError(text)
    return seconds
