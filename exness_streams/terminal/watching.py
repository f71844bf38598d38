"""What a person watches: an account at the market, kept up to date from the live stream's frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

import msgspec

from exness_streams.messages import AccountMessage, PositionMessage, StateMessage

NEWS_MAX = 6
SILENCE_S_MAX = 30.0
"""Until the server has said how often its heart beats."""

SILENT_BEATS = 2.5
_CENT_OF_A_CENT = Decimal("1e-8")
_HUNDRED = Decimal(100)


class QuoteSeen(msgspec.Struct, frozen=True):
    """The newest quote of a symbol. direction: of its last change of price, 1 up, -1 down, 0 none yet."""

    symbol: str
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    direction: int = 0

    def mark(self, side: str) -> Decimal:
        """What a position could be closed at; the last price while that side is empty."""
        found = self.bid if side == "long" else self.ask
        return self.price if found is None else found


class StateSeen(msgspec.Struct, frozen=True, rename="camel"):
    """What may be done in a market that is not open."""

    symbol: str
    state: str
    state_reason: str | None = None


class Watch:
    """One account: `state` at the newest snapshot, valued at the newest quotes.

    An account event makes it wish for a new snapshot: the platform's figures are shown, not our own sums.
    """

    numbers: Literal["string"] = "string"

    def __init__(self, account_id: str | None) -> None:
        self.account_id = account_id
        self.quotes: dict[str, QuoteSeen] = {}
        self.states: dict[str, StateSeen] = {}
        self.state: StateMessage | None = None
        self.connection = "connecting"
        self.feed = "unknown"
        self.is_simulated = False
        self.news: deque[str] = deque(maxlen=NEWS_MAX)
        self.silence_s_max = SILENCE_S_MAX
        self._wishes_snapshot = False

    def take(self, frame: str | bytes) -> None:
        """Take a frame as it came. msgspec.MsgspecError when it makes no sense."""
        self.hear(msgspec.json.decode(frame))

    def hear(self, frame: Any) -> None:
        """Take a frame of the server's. msgspec.MsgspecError when it is none."""
        kind = msgspec.convert(frame, dict[str, Any]).get("type")
        if kind == "connection":
            self.states.clear()  # they are told anew
            self.silence_s_max = SILENT_BEATS * msgspec.convert(frame.get("heartbeatMs", 10_000), float) / 1000
        elif kind == "state":
            self.state = msgspec.convert(frame, StateMessage)
            self.connection = "connected"
        elif kind == "market_data":
            self._quote(msgspec.convert(frame, QuoteSeen))
        elif kind == "market_state":
            self._market_state(msgspec.convert(frame, StateSeen))
        elif kind == "feed":
            status, reason = frame.get("status", "unknown"), frame.get("reason")
            self.is_simulated = frame.get("source") == "simulated"
            self.feed = f"{status}: {reason}" if reason and status != "connected" else str(status)
        elif "eventId" in frame:
            self._event(frame)

    def disconnected(self, why: str) -> None:
        """The stream broke; what was seen stays to be seen."""
        self.connection = f"disconnected: {why}"
        self._wishes_snapshot = False

    def take_wish(self) -> bool:
        """Whether a new snapshot should be asked for; once per wish."""
        wish, self._wishes_snapshot = self._wishes_snapshot, False
        return wish

    @property
    def positions(self) -> list[PositionMessage]:
        """The open positions at the newest quotes."""
        return [] if self.state is None else [self._valued(position) for position in self.state.positions]

    @property
    def account(self) -> AccountMessage | None:
        """The account's figures at the newest quotes. margin_call stays the snapshot's: its level is the platform's."""
        if self.state is None:
            return None
        account = self.state.account
        unrealized = sum((position.unrealized_pnl for position in self.positions), Decimal(0))
        equity, used = account.balance + unrealized, account.used_margin
        return msgspec.structs.replace(
            account,
            unrealized_pnl=unrealized,
            equity=equity,
            free_margin=equity - used,
            margin_level=equity / used * _HUNDRED if used else None,
        )

    def _quote(self, quote: QuoteSeen) -> None:
        known = self.quotes.get(quote.symbol)
        if known is not None:
            moved = (quote.price > known.price) - (quote.price < known.price)
            quote = msgspec.structs.replace(quote, direction=moved or known.direction)
        self.quotes[quote.symbol] = quote

    def _market_state(self, seen: StateSeen) -> None:
        self.states.pop(seen.symbol, None)
        if seen.state != "open":
            self.states[seen.symbol] = seen

    def _event(self, frame: dict[str, Any]) -> None:
        told = (frame.get(name) for name in ("symbol", "side", "quantity", "closePrice", "realizedPnL", "reason"))
        self.news.append(" ".join([str(frame["type"]), *(str(value) for value in told if value is not None)]))
        self._wishes_snapshot = True

    def _valued(self, position: PositionMessage) -> PositionMessage:
        quote = self.quotes.get(position.symbol)
        if quote is None:
            return position
        mark = quote.mark(position.type)
        gain = mark - position.entry_price if position.type == "long" else position.entry_price - mark
        pnl = max((gain * position.quantity).quantize(_CENT_OF_A_CENT, ROUND_HALF_EVEN), -position.margin)
        return msgspec.structs.replace(position, mark_price=mark, unrealized_pnl=pnl)


class JsonLines:
    """Who follows the stream for a program: each frame as it came, a line each.

    write: takes a line. complain: takes the reason why the stream broke.
    """

    numbers: Literal["number"] = "number"

    def __init__(self, account_id: str | None, write: Callable[[bytes], None], complain: Callable[[str], None]) -> None:
        self.account_id = account_id
        self.silence_s_max = SILENCE_S_MAX
        self._write, self._complain = write, complain
        self._why = ""

    def take(self, frame: str | bytes) -> None:
        """Write a frame. msgspec.MsgspecError when it makes no sense."""
        told = msgspec.json.decode(frame, type=_Heartbeat)
        if told.heartbeat_ms is not None:
            self.silence_s_max = SILENT_BEATS * told.heartbeat_ms / 1000
        self._why = ""
        self._write(frame.encode() if isinstance(frame, str) else frame)

    def disconnected(self, why: str) -> None:
        """The stream broke, which is told once; it is opened again, and begins with a snapshot."""
        if why != self._why:
            self._complain(why)
        self._why = why

    def take_wish(self) -> bool:
        """No snapshot is ever asked for: a program folds the events itself."""
        return False


class _Heartbeat(msgspec.Struct, rename="camel"):
    type: str
    heartbeat_ms: float | None = None
