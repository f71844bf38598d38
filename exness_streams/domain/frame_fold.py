"""What a frame does in a cell: which of its ticks are news, what they set off, and what time has ended by then.

By the first rules a cell orders ticks by their sequence, and an order expires by the time of the record that comes
next. Since rules.FRAMES_BY_OFFSET the ticks of numbered frames are ordered by their offset, each is taken once whoever
sends it, and time is what frames say: an order expires among the ticks, by their receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import Enum

import msgspec

from exness_streams.domain import codec, rules
from exness_streams.domain.events import CloseReason
from exness_streams.domain.expiries import ExpiryIndex
from exness_streams.domain.folding import Folding
from exness_streams.domain.frames import DayFigures, PriceFrame, Step, SymbolFrame
from exness_streams.domain.market_states import MarketState, MarketTold
from exness_streams.domain.orders import cancel_order, expire_order, fill_order
from exness_streams.domain.positions import fill_close
from exness_streams.domain.quotes import Quote, ReceivedQuote, follows, sequence_bound
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.standing import Standing
from exness_streams.domain.triggers import Fired, TriggerIndex, TriggerKind, first_exit

_REASONS: dict[TriggerKind, CloseReason] = {
    TriggerKind.LIQUIDATION: "liquidation",
    TriggerKind.STOP_LOSS: "stop_loss",
    TriggerKind.TAKE_PROFIT: "take_profit",
}


class IgnoredFrame(str, Enum):
    """Why the ticks of a frame were not taken; the values are stable and serve as metric labels.

    OLD_EPOCH, OLD_TOPIC: a former owner of the ticks wrote it, or a topic that is no more was its source. REPEATED:
    each of its ticks was taken before. These are of the day. STRADDLE, GAP are a fault: it would hide or leave out
    ticks that this cell has not seen.
    """

    OLD_EPOCH = "old_epoch"
    OLD_TOPIC = "old_topic"
    REPEATED = "repeated"
    STRADDLE = "straddle"
    GAP = "gap"


class FrameFold:
    """The market of a cell, and how far it has come.

    quotes: the newest of each symbol. days, source, settings: as last told. epoch: of the newest owner of the ticks
    that this cell has heard of. ticks_end: the offset of the tick that is to come next, -1 while no numbered frame has
    come. restarts: of the ticks' topic. is_lost: frames may have been given up, so that the next one may begin later.
    now_ms: as told by frames; 0 before the first. markets: by symbol, those that are not open.
    """

    def __init__(
        self,
        triggers: TriggerIndex,
        expiries: ExpiryIndex,
        standing: Standing,
        pending: dict[bytes, bytes | None],
        settle: Callable[[], None],
    ) -> None:
        """settle: brings the indexes up to the rows."""
        self.quotes: dict[str, Quote] = {}
        self.days: dict[str, DayFigures] = {}
        self.markets: dict[str, MarketTold] = {}
        self.source: str | None = None
        self.settings: str | None = None
        self.epoch = self.restarts = self.now_ms = 0
        self.ticks_end = -1
        self.is_lost = False
        self._triggers, self._expiries, self._standing = triggers, expiries, standing
        self._pending = pending
        self._settle = settle

    def load(self, quotes: Iterable[tuple[str, Quote]], meta: codec.Meta | None) -> None:
        """Start from what was committed."""
        self.quotes = dict(quotes)
        self.epoch = 0 if meta is None else meta.framer_epoch
        self.restarts = 0 if meta is None else meta.ticks_restarts
        self.now_ms = 0 if meta is None else meta.now_ms
        self.ticks_end = -1 if meta is None else meta.ticks_end
        self.is_lost = False if meta is None else meta.ticks_lost
        self.markets = {} if meta is None else {told.symbol: told for told in meta.markets}

    def expire(self, folding: Folding, time_ms: int) -> None:
        """Take out the orders that are over by then."""
        if not self._expiries.due(time_ms):
            return
        self._settle()  # some are filled since
        for account_id, order_id in self._expiries.due(time_ms):
            row = folding.known_row(account_id)
            folding.apply(row, expire_order(row, row.orders[order_id], folding.at))
        self._settle()  # what is over fires no more

    def outdate(self, epoch: int) -> None:
        """Whoever owned the ticks before this epoch is heard no more."""
        self.epoch = max(self.epoch, epoch)

    def fold(self, folding: Folding, frame: PriceFrame | RawFrame) -> IgnoredFrame | None:
        """Apply a frame by the record's rules. Returns why its ticks were ignored, if they were.

        ValueError when it says what those rules don't know.
        """
        active = folding.rules
        if active < rules.MARKET_STATES and (frame.books or frame.markets is not None):
            raise ValueError(f"rules {active} have no states of markets")
        if active < rules.FRAMES_BY_OFFSET:
            if isinstance(frame, RawFrame):
                raise ValueError(f"rules {active} have no raw frames")
            self._note(frame)
            self._fold_by_sequence(folding, frame)
            return None
        if frame.epoch < self.epoch:
            return IgnoredFrame.OLD_EPOCH
        if isinstance(frame, PriceFrame) and frame.epoch == 0:
            self._note(frame)
            self._move_time(folding, frame.time_ms)
            self._fold_by_sequence(folding, frame)
            return None
        return self._fold_numbered(folding, frame)

    def _note(self, frame: PriceFrame | RawFrame) -> None:
        self.source = frame.source or self.source
        self.settings = frame.settings or self.settings
        for day in frame.days:
            self.days[day.symbol] = day

    # By sequence

    def _fold_by_sequence(self, folding: Folding, frame: PriceFrame) -> None:
        fired: list[Fired] = []
        for symbol_frame in frame.symbols:
            fired += self._fold_symbol(symbol_frame, frame.sequence_max)
        born = self._fire(folding, sorted(fired))  # by tick, whatever its symbol
        self._check_newborn(folding, born)

    def _fold_symbol(self, frame: SymbolFrame, sequence_max: int) -> list[Fired]:
        known = self.quotes.get(frame.symbol)
        seen = -1 if known is None else known.sequence
        if not follows(frame.last.sequence, seen, sequence_max):
            return []  # repeated or late: every tick of it has had its effect
        if frame.last.sequence <= seen:
            seen = -1  # what was seen claimed to be of the future
        self.quotes[frame.symbol] = frame.last
        self._pending[codec.quote_key(frame.symbol)] = codec.encode(frame.last)
        return self._triggers.fired_by(frame, seen)

    # By offset

    def _fold_numbered(self, folding: Folding, frame: PriceFrame | RawFrame) -> IgnoredFrame | None:
        if frame.restarts < self.restarts:
            return IgnoredFrame.OLD_TOPIC
        self.epoch = frame.epoch
        if frame.restarts > self.restarts:
            self.restarts = frame.restarts
            self.ticks_end = min(self.ticks_end, 0)
        known_end = self.ticks_end
        ignored = _refused(frame, known_end, is_lost=self.is_lost)
        if ignored in (IgnoredFrame.STRADDLE, IgnoredFrame.GAP):
            return ignored
        self._note(frame)
        born: list[tuple[str, str]] = []
        if frame.to_offset > known_end:
            self.ticks_end, self.is_lost = frame.to_offset, False
            if isinstance(frame, RawFrame):
                self._fold_raw(folding, frame, known_end)
            else:
                born = self._fold_staircases(folding, frame)
        self._move_time(folding, frame.time_ms)
        self._check_newborn(folding, born)
        if frame.markets is not None:
            self.markets = {told.symbol: told for told in frame.markets}
            self._settle_markets(folding)
        return ignored

    def _settle_markets(self, folding: Folding) -> None:
        """Close all that stands in markets that are settled. A position is born in none of them any more."""
        for told in self.markets.values():
            if told.state is not MarketState.SETTLED or told.price is None or told.symbol not in self._standing.symbols:
                continue
            self._settle()  # what this frame has closed and opened
            for account_id, item_id in self._standing.of(told.symbol):
                row = folding.known_row(account_id)
                if item_id in row.orders:
                    folding.apply(row, cancel_order(row, row.orders[item_id], "settlement", folding.at))
                else:
                    position = row.positions[item_id]
                    folding.apply(row, fill_close(row, position, told.price, "settlement", folding.at))
            self._settle()

    def _move_time(self, folding: Folding, time_ms: int) -> None:
        """Time goes on to `time_ms`, and never back."""
        self.now_ms = folding.time_ms = max(self.now_ms, time_ms)
        self.expire(folding, self.now_ms)

    def _fold_staircases(self, folding: Folding, frame: PriceFrame) -> list[tuple[str, str]]:
        fired: list[Fired] = []
        book_ages = {book.offset: book.age_ms for book in frame.books}
        for symbol_frame in frame.symbols:
            told = symbol_frame
            known = self._seen_by_sequence(symbol_frame.symbol) if frame.sequence_max >= 0 else None
            if known is not None:
                news = _after_sequence(symbol_frame, known.sequence, frame.sequence_max)
                if news is None:
                    continue
                told = news
            book_age_ms = book_ages.get(told.offset, 0)
            self._put_quote(told.symbol, told.last, frame.time_ms - told.before_ms - book_age_ms)
            self._keep_quote(told.symbol)
            fired += self._triggers.fired_by_offset(told)
        born: list[tuple[str, str]] = []
        fired.sort()
        first = 0
        for nth in range(1, len(fired) + 1):
            if nth == len(fired) or fired[nth].number != fired[first].number:
                self._move_time(folding, frame.time_ms - fired[first].before_ms)
                born += self._fire(folding, fired[first:nth])
                first = nth
        return born

    def _seen_by_sequence(self, symbol: str) -> Quote | None:
        """The quote of a symbol, while it is of a frame without a number: how far those went, only sequences tell."""
        known = self.quotes.get(symbol)
        return None if isinstance(known, ReceivedQuote) else known

    def _fold_raw(self, folding: Folding, frame: RawFrame, known_end: int) -> None:
        sequence_max = sequence_bound(frame.time_ms)
        book_ages = {book.offset: book.age_ms for book in frame.books}
        moved: dict[str, None] = {}
        for tick in frame.ticks:
            if frame.from_offset + tick.offset < known_end:
                continue
            known = self._seen_by_sequence(tick.symbol)
            if known is not None and not follows(tick.quote.sequence, known.sequence, sequence_max):
                continue
            received_ms = frame.time_ms - tick.before_ms
            self._move_time(folding, received_ms)
            self._put_quote(tick.symbol, tick.quote, received_ms - book_ages.get(tick.offset, 0))
            moved[tick.symbol] = None
            fired = self._triggers.fired_by_offset(SymbolFrame(tick.symbol, tick.quote))
            self._check_newborn(folding, self._fire(folding, fired))
            self._settle()
        for symbol in moved:
            self._keep_quote(symbol)

    def _put_quote(self, symbol: str, quote: Quote, received_ms: int) -> None:
        self.quotes[symbol] = ReceivedQuote(
            quote.sequence, quote.time_ms, quote.price, quote.bid, quote.ask, quote.volume, received_ms
        )

    def _keep_quote(self, symbol: str) -> None:
        self._pending[codec.quote_key(symbol)] = codec.encode(self.quotes[symbol])

    # What ticks set off

    def _fire(self, folding: Folding, fired: Sequence[Fired]) -> list[tuple[str, str]]:
        """Returns (account, position) of what was born. An order that has expired meanwhile is passed over."""
        born: list[tuple[str, str]] = []
        for crossing in fired:
            if crossing.kind is TriggerKind.ENTRY:
                born += self._fire_entry(folding, crossing)
            else:
                self._fire_exit(folding, crossing.account_id, crossing.item_id, crossing.price, crossing.kind)
        return born

    def _fire_exit(
        self, folding: Folding, account_id: str, position_id: str, price: Decimal, kind: TriggerKind
    ) -> None:
        row = folding.known_row(account_id)
        folding.apply(row, fill_close(row, row.positions[position_id], price, _REASONS[kind], folding.at))

    def _fire_entry(self, folding: Folding, fired: Fired) -> list[tuple[str, str]]:
        row = folding.known_row(fired.account_id)
        order = row.orders.get(fired.item_id)
        if order is None:
            return []
        told = self.markets.get(order.symbol)
        if told is not None and told.state is MarketState.CLOSE_ONLY:
            folding.apply(row, cancel_order(row, order, "close_only", folding.at))
            return []
        newest, looks = self.quotes[order.symbol], folding.rules >= rules.ORDERS_AT_MARKET
        for change in fill_order(row, order, fired.price, newest, folding.later, looks=looks):
            row = folding.apply(row, change)
        return [(fired.account_id, order.position_id)] if order.position_id in row.positions else []

    def _check_newborn(self, folding: Folding, born: Iterable[tuple[str, str]]) -> None:
        """A staircase says nothing about what followed its middle: a position is live from the frame's end."""
        for account_id, position_id in born:
            position = folding.known_row(account_id).positions[position_id]
            price = self.quotes[position.symbol].closing_price(position.side)
            kind = None if price is None else first_exit(position, price)
            if price is not None and kind is not None:
                self._fire_exit(folding, account_id, position_id, price, kind)


def _refused(frame: PriceFrame | RawFrame, known_end: int, *, is_lost: bool) -> IgnoredFrame | None:
    """Why a cell that has seen the ticks before `known_end` (-1: unknown) takes none of a frame's."""
    if known_end < 0:
        return None
    if frame.from_offset > known_end and not (frame.gap or is_lost):
        return IgnoredFrame.GAP
    if frame.to_offset <= known_end:
        return IgnoredFrame.REPEATED if frame.from_offset < frame.to_offset else None
    if isinstance(frame, PriceFrame) and frame.from_offset < known_end:
        return IgnoredFrame.STRADDLE
    return None


def _after_sequence(frame: SymbolFrame, seen: int, sequence_max: int) -> SymbolFrame | None:
    """What is news of a symbol to a cell that has seen its ticks up to a sequence."""
    if not follows(frame.last.sequence, seen, sequence_max):
        return None
    if frame.last.sequence <= seen:
        return frame

    def later(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(step for step in steps if step.sequence > seen)

    return msgspec.structs.replace(
        frame,
        bid_lows=later(frame.bid_lows),
        bid_highs=later(frame.bid_highs),
        ask_lows=later(frame.ask_lows),
        ask_highs=later(frame.ask_highs),
    )


def is_of_owner(record: object, ignored: IgnoredFrame | None) -> bool:
    """Whether a record is a frame of who owns the ticks now: it is heard from, though nothing may have moved."""
    return isinstance(record, PriceFrame | RawFrame) and ignored in (None, IgnoredFrame.REPEATED)
