"""What is decided of markets, kept by the owner of the ticks beside the candles, over restarts and takeovers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from typing import Protocol

from exness_streams.domain.candles import live_key
from exness_streams.domain.market_states import Markets, MarketState, MarketTold
from exness_streams.engine.candles import CandleHost, OwnedCandles
from exness_streams.engine.history import NotOwned
from exness_streams.engine.market_board import NOTHING_KEPT, KeptMarket, MarketBoard, Said, decode_kept, encode_kept

PREFIX, END = b"market/", b"market0"
FLUSH_S = 1.0
SILENT_MS = 5_000
"""Ticks tell what the exchange says, too, and each second while a market is not open: of one that had none for so long
before the exchange was asked, its answer is the newest word."""

_LIVE = live_key("")


class NoPrice(Exception):
    """A market can't be settled without a price, and none is known."""


class Exchange(Protocol):
    """What the exchange's list of markets says (market_data/exchange_states.py)."""

    @property
    def listed_ms(self) -> int | None:
        """When it was told (ms since the epoch), None: not known."""

    def state(self, symbol: str) -> str | None:
        """Of a market, None: open."""


class KeptMarkets:
    """A board whose decisions are in the table of `candles`, under `market/SYMBOL`.

    It is this worker's while the ticks are; elsewhere it knows of no market that is not open.
    price_of: the last price that was accepted of a symbol, None when there is none. exchange: who asks it, None: nobody
    does here. heard_ms: when the newest tick of each symbol was received; the framer says so.
    """

    def __init__(
        self,
        board: MarketBoard,
        candles: CandleHost,
        price_of: Callable[[str], Decimal | None],
        *,
        seen: Callable[[], Mapping[str, MarketTold]] = dict,
        is_shared: bool = False,
    ) -> None:
        """seen: what the cells here were told. is_shared: whether there may be cells elsewhere, in which something may
        stand that is not known here.
        """
        self._seen = seen
        self.board = board
        self.exchange: Exchange | None = None
        self.heard_ms: dict[str, int] = {}
        self._is_shared = is_shared
        self._candles, self._price_of = candles, price_of
        self._of: OwnedCandles | None = None
        self._unsaved: set[str] = set()
        self._deciding = asyncio.Lock()

    # -- for the framer

    def begin(self) -> None:
        """A framer begins, with what its lease has kept, and perhaps since the clock jumped."""
        self._look()
        self.heard_ms.clear()

    def told(self) -> Markets:
        """All markets that are not open."""
        self._look()
        return self.board.told()

    @property
    def kept(self) -> Container[str]:
        """The symbols that the operator or the exchange holds anything against: always the same object."""
        return self.board.kept_symbols

    def follows(self, symbol: str) -> bool:
        """Whether the ticks of a symbol that is not on offer are wanted still."""
        return self.board.follows(symbol)

    def hear(self, symbol: str, state: str | None) -> bool:
        """The newest tick tells what the exchange says, None: open. Whether cells may get no bid and ask of it."""
        board = self.board
        if board.hear(symbol, MarketState.OPEN if state is None else MarketState(state)):
            self._unsaved.add(symbol)
        return board.masks(symbol)

    def hear_listing(self) -> None:
        """Take the exchange's word on markets that send nothing: one that is closed may never have a tick again."""
        exchange = self.exchange
        listed_ms = None if exchange is None else exchange.listed_ms
        if self._of is None or exchange is None or listed_ms is None:
            return
        for symbol in self.board.followed():
            if listed_ms - self.heard_ms.get(symbol, 0) >= SILENT_MS:
                self.hear(symbol, exchange.state(symbol))

    # -- for the operator

    async def decide(self, symbol: str, state: MarketState, price: Decimal | None = None) -> None:
        """Keep what the operator has decided; it is committed then. price: of a settlement, None: the last accepted.

        SettledForGood, NoPrice, NotOwned, LogFault.
        """
        async with self._deciding:
            owned = self._candles.owned
            self._look()
            before = self.board.kept(symbol)
            kept = self.board.decided(symbol, state, price)
            if kept == before:
                return
            if state is MarketState.SETTLED and price is None:
                price = self._price_of(symbol)
                if price is None:
                    raise NoPrice(symbol)
                kept = self.board.decided(symbol, state, price)
            await self._candles.keep_entries(owned, {_key(symbol): _entry(kept)})
            self._look()
            if self._of is owned:  # what the exchange said meanwhile stays
                heard = self.board.kept(symbol).exchange
                self.board.take(symbol, KeptMarket(kept.decided, heard))
                self.board.told()

    def owned_board(self) -> MarketBoard:
        """The board as it is. NotOwned."""
        if not self._candles.is_owned:
            raise NotOwned("the ticks are another worker's")
        self._look()
        return self.board

    # -- keeping

    async def run(self) -> None:
        """Commit what the exchange has said: seldom, and soon enough. Runs for ever. LogFault."""
        while True:
            self._look()
            self.hear_listing()
            await self.flush()
            await asyncio.sleep(FLUSH_S)

    async def flush(self) -> None:
        """Commit what was heard and not saved. LogFault."""
        self._look()
        owned = self._of
        if owned is None or not self._unsaved:
            return
        symbols, self._unsaved = self._unsaved, set()
        async with self._deciding:
            try:
                entries = {_key(symbol): _entry(self.board.kept(symbol)) for symbol in symbols}
                await self._candles.keep_entries(owned, entries)
            except NotOwned:
                return  # whoever owns it now hears it anew

    def _look(self) -> None:
        """Load what is kept when the ticks have become this worker's, forget it when they are another's."""
        owned = self._candles.owned if self._candles.is_owned else None
        if owned is self._of:
            return
        self._of = owned
        self._unsaved.clear()
        self.heard_ms.clear()
        found = {} if owned is None else dict(self._candles.table.range(owned.partition, PREFIX, END))
        self.board.load({key[len(PREFIX) :].decode(): decode_kept(value) for key, value in found.items()})
        if owned is not None:
            self._settle_again()
        if self._is_shared:  # whatever was ever offered has candles
            live = () if owned is None else self._candles.table.scan(owned.partition, _LIVE)
            self.board.former = frozenset(key[len(_LIVE) :].decode() for key, _ in live) - self.board.offered

    def _settle_again(self) -> None:
        """A table may be lost, and a settlement is for good: what cells have settled is so still."""
        for symbol, told in self._seen().items():
            if told.state is MarketState.SETTLED and not self.board.is_settled(symbol):
                decided = Said(MarketState.SETTLED, told.since_ms, told.price)
                self.board.take(symbol, KeptMarket(decided, self.board.kept(symbol).exchange))
                self._unsaved.add(symbol)


def _key(symbol: str) -> bytes:
    return PREFIX + symbol.encode()


def _entry(kept: KeptMarket) -> bytes | None:
    return None if kept == NOTHING_KEPT else encode_kept(kept)
