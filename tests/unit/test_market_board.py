"""Which markets are not open: what operator, exchange, price guard and offer say, put together, and kept."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from kept_frames import KeptFrames, KeptTicks
from leased_log import LeasedLog
from log_table import LogTable
from trading_samples import terms

from exness_streams.domain import rules
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import FramerState
from exness_streams.engine.history import NotOwned
from exness_streams.engine.kept_markets import KeptMarkets, NoPrice
from exness_streams.engine.market_board import KeptMarket, MarketBoard, Said, SettledForGood
from exness_streams.messages import MarketDataMessage, json_encoder
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

SOL, BTC, GONE = "SOL_USDC", "BTC_USDC", "GONE_USDC"
OPEN, CLOSE_ONLY, SUSPENDED, HALTED, SETTLED = MarketState
OPERATOR, EXCHANGE, GUARD, NOT_OFFERED = StateReason

RANKED = [
    (SETTLED, OPERATOR), (HALTED, OPERATOR), (HALTED, EXCHANGE), (SUSPENDED, GUARD), (CLOSE_ONLY, OPERATOR),
    (CLOSE_ONLY, EXCHANGE), (CLOSE_ONLY, NOT_OFFERED),
]  # fmt: skip
"""What can be said, and by whom: the first that is, counts."""

SINCE_MS = {OPERATOR: 1_000, EXCHANGE: 2_000, GUARD: 3_000, NOT_OFFERED: 4_000}


@pytest.mark.parametrize(
    ("decided", "exchange", "is_suspended", "is_offered"),
    list(
        itertools.product((None, CLOSE_ONLY, HALTED, SETTLED), (None, CLOSE_ONLY, HALTED), (False, True), (False, True))
    ),
)
def test_the_severest_of_what_is_said_counts(
    decided: MarketState | None, exchange: MarketState | None, is_suspended: bool, is_offered: bool
) -> None:
    board = MarketBoard(
        [SOL] if is_offered else [BTC],
        clock_ms=lambda: 4_000,
        suspended=lambda: {SOL: 3_000} if is_suspended else {},
        standing=lambda: [SOL],
    )
    price = Decimal(150) if decided is SETTLED else None
    board.load(
        {
            SOL: KeptMarket(
                None if decided is None else Said(decided, 1_000, price),
                None if exchange is None else Said(exchange, 2_000),
            )
        }
    )
    said = {(decided, OPERATOR), (exchange, EXCHANGE)}
    said |= {(SUSPENDED, GUARD)} if is_suspended else set()
    said |= set() if is_offered else {(CLOSE_ONLY, NOT_OFFERED)}
    expected = next((one for one in RANKED if one in said), None)
    if expected is None:
        assert board.told() == ()
        assert board.of(SOL) is None
    else:
        state, reason = expected
        told = MarketTold(SOL, state, reason, SINCE_MS[reason], price if state is SETTLED else None)
        assert board.told() == (told,)
        assert board.of(SOL) == told
    assert board.masks(SOL) == bool({decided, exchange} & {HALTED, SETTLED})


def test_all_that_are_not_open_are_told_by_symbol_and_each_change_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    suspended: dict[str, int] = {}
    standing = [GONE]
    board = MarketBoard([SOL, BTC], clock_ms=lambda: 7, suspended=lambda: suspended, standing=lambda: standing)
    assert [market.symbol for market in board.told()] == [GONE]
    board.take(SOL, board.decided(SOL, HALTED))
    board.hear(BTC, CLOSE_ONLY)
    for _ in range(3):
        assert [(market.symbol, market.state) for market in board.told()] == [
            (BTC, CLOSE_ONLY), (GONE, CLOSE_ONLY), (SOL, HALTED),
        ]  # fmt: skip
    suspended[BTC] = suspended[SOL] = 8
    assert [market.state for market in board.told()] == [SUSPENDED, CLOSE_ONLY, HALTED]
    suspended.clear()
    board.told()
    standing.clear()
    board.hear(BTC, OPEN)
    board.take(SOL, board.decided(SOL, SETTLED, Decimal("1.50")))
    board.told()
    assert [record.getMessage() for record in caplog.records] == [
        "GONE_USDC is close-only: it is not offered any more",
        "BTC_USDC is close-only: so the exchange says",
        "SOL_USDC is halted: an operator has decided so",
        "BTC_USDC is close-only: so the exchange says",
        "BTC_USDC is open again",
        "nothing stands any more in GONE_USDC, which is not offered",
        "SOL_USDC is settled at 1.50: an operator has decided so",
    ]


def test_a_decision_that_changes_nothing_keeps_its_time_and_settled_is_for_good() -> None:
    now_ms = itertools.count(1)
    board = MarketBoard([SOL], clock_ms=lambda: next(now_ms))

    def decide(state: MarketState, price: str | None = None) -> Said | None:
        board.take(SOL, board.decided(SOL, state, None if price is None else Decimal(price)))
        return board.kept(SOL).decided

    assert decide(OPEN) is None
    assert decide(HALTED) == decide(HALTED) == Said(HALTED, 1)
    assert decide(CLOSE_ONLY) == Said(CLOSE_ONLY, 2)
    assert decide(OPEN) is None
    assert SOL not in board.kept_symbols
    settled = Said(SETTLED, 3, Decimal("1.5"))
    assert decide(SETTLED, "1.5") == decide(SETTLED, "1.50") == decide(SETTLED) == settled
    for state, price in ((OPEN, None), (HALTED, None), (CLOSE_ONLY, None), (SETTLED, "1.6")):
        with pytest.raises(SettledForGood, match=r"^SOL_USDC was settled at 1.5, for good$"):
            decide(state, price)
    assert board.kept(SOL).decided == settled


def test_the_exchange_opens_only_what_it_closed() -> None:
    board = MarketBoard([SOL], clock_ms=lambda: 5)
    board.take(SOL, board.decided(SOL, CLOSE_ONLY))
    assert not board.hear(SOL, OPEN)
    assert board.hear(SOL, HALTED)
    assert not board.hear(SOL, HALTED)
    assert board.told() == (MarketTold(SOL, HALTED, EXCHANGE, 5),)
    assert board.hear(SOL, OPEN)
    assert board.told() == (MarketTold(SOL, CLOSE_ONLY, OPERATOR, 5),)


def test_what_stands_is_followed() -> None:
    board = MarketBoard([SOL], clock_ms=lambda: 5, standing=lambda: {GONE})
    assert [board.follows(symbol) for symbol in (SOL, GONE, BTC)] == [True, True, False]
    assert board.known() == [SOL, GONE]


# -- kept


class Log(LeasedLog):
    """Keeps what is committed; fails as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.changelog: list[LogRecord] = []
        self.fails: LogFault | None = None

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        self.changelog += records
        return range(len(self.changelog) - len(records), len(self.changelog))

    def committed(self, partition: int) -> int | None:
        return 0


class Worker:
    """A process that has just taken the ticks over."""

    def __init__(self, log: Log, **prices: Decimal) -> None:
        table: Any = LogTable("candles-changelog", log.changelog)
        log.fence_now(0)
        self.candles = CandleHost(table, log, [SOL, BTC])
        self.candles.load(0, ticks_start=0, ticks_end=0)
        self.markets = KeptMarkets(MarketBoard([SOL, BTC], clock_ms=lambda: 9), self.candles, prices.get)

    def states(self) -> list[tuple[str, MarketState, Decimal | None]]:
        return [(market.symbol, market.state, market.price) for market in self.markets.told()]


async def test_what_was_decided_and_heard_is_there_after_a_restart() -> None:
    log = Log()
    first = Worker(log, SOL_USDC=Decimal("150.5"))
    assert first.states() == []
    await first.markets.decide(SOL, SETTLED)
    assert not first.markets.hear(BTC, None)
    assert not first.markets.hear(BTC, "close_only")
    await first.markets.flush()
    expected = [(BTC, CLOSE_ONLY, None), (SOL, SETTLED, Decimal("150.5"))]
    assert first.states() == expected
    second = Worker(log)
    second.markets.begin()
    assert second.markets.hear(SOL, None), "before anything was told, the first tick is masked"
    assert second.states() == expected
    assert not second.markets.hear(BTC, None)
    await second.markets.decide(BTC, HALTED)
    assert second.markets.hear(BTC, None)
    await second.markets.decide(BTC, OPEN)
    await second.markets.flush()
    assert Worker(log).states() == [(SOL, SETTLED, Decimal("150.5"))]
    commits = len(log.changelog)
    await second.markets.decide(SOL, SETTLED, Decimal("150.50"))
    await second.markets.flush()
    assert len(log.changelog) == commits, "what changes nothing is not written"


async def test_nothing_counts_before_it_is_committed() -> None:
    log = Log()
    worker = Worker(log)
    log.fails = LogFault("no space")
    with pytest.raises(LogFault):
        await worker.markets.decide(SOL, HALTED)
    assert worker.states() == []
    log.fails = None
    with pytest.raises(NoPrice):
        await worker.markets.decide(SOL, SETTLED)
    assert worker.states() == []


async def test_what_the_exchange_says_while_a_decision_is_written_stays() -> None:
    log = Log()
    worker = Worker(log)
    deciding = asyncio.ensure_future(worker.markets.decide(SOL, CLOSE_ONLY))
    await asyncio.sleep(0)
    assert worker.markets.hear(SOL, "halted")
    await deciding
    assert worker.states() == [(SOL, HALTED, None)]
    await worker.markets.flush()
    again = Worker(log)
    assert again.states() == [(SOL, HALTED, None)]
    assert not again.markets.hear(SOL, None)
    assert again.states() == [(SOL, CLOSE_ONLY, None)]


async def test_who_does_not_own_the_ticks_knows_of_nothing_and_decides_nothing() -> None:
    worker = Worker(Log())
    await worker.markets.decide(SOL, HALTED)
    worker.candles.drop()
    assert worker.states() == []
    with pytest.raises(NotOwned):
        worker.markets.owned_board()
    with pytest.raises(NotOwned):
        await worker.markets.decide(SOL, OPEN)


async def test_what_was_settled_is_so_still_when_the_table_is_lost() -> None:
    log = Log()
    worker = Worker(log)
    told = {
        symbol: MarketTold(symbol, state, OPERATOR, 3, Decimal(7) if state is SETTLED else None)
        for symbol, state in ((SOL, SETTLED), (BTC, HALTED))
    }
    worker.markets = KeptMarkets(worker.markets.board, worker.candles, lambda symbol: None, seen=lambda: told)
    assert worker.states() == [(SOL, SETTLED, Decimal(7))]
    await worker.markets.flush()
    assert Worker(log).states() == [(SOL, SETTLED, Decimal(7))]


# -- in the framer


class Tick(NamedTuple):
    offset: int
    value: bytes


def tick(offset: int, bid: str, symbol: str = SOL, state: str | None = None) -> Tick:
    number, price = offset + 1, Decimal(bid)
    message = MarketDataMessage(symbol, price, number, number, None, price, price + 1, state=state)
    return Tick(offset, json_encoder.encode(message))


async def test_cells_get_no_book_of_a_market_in_which_nothing_may_fill() -> None:
    now_ms = itertools.count(10_000)
    worker, kept = Worker(Log()), KeptFrames()
    markets, lease = worker.markets, KeptTicks(FramerState(1, 0, 0, rules=rules.NEWEST), symbols=(SOL, BTC))
    framer = Framer(
        kept, 1, 0, lease, Catalogue([terms(SOL), terms(BTC)]), markets=markets.told, board=markets,
        clock_ms=lambda: next(now_ms),
    )  # fmt: skip
    await framer.frame(0, [tick(0, "150"), tick(1, "9", BTC), tick(2, "140", state="halted"), tick(3, "10", BTC)])
    frame = kept.frames()[-1]
    sol, btc = frame.symbols[1], frame.symbols[0]
    assert [sol.last.price, sol.last.bid, sol.last.ask] == [140, None, None]
    assert [step.price for step in (*sol.bid_lows, *sol.ask_lows)] == [150, 151]
    assert [btc.last.bid, btc.last.ask] == [10, 11]
    assert frame.markets == (MarketTold(SOL, HALTED, EXCHANGE, 9),)
    await framer.frame(0, [tick(4, "100", state="close_only")])
    assert kept.frames()[-1].symbols[0].last.bid == 100
    await markets.decide(SOL, HALTED)
    await framer.frame(0, [tick(5, "90")])
    frame = kept.frames()[-1]
    assert (frame.symbols[0].last.bid, frame.markets) == (None, (MarketTold(SOL, HALTED, OPERATOR, 9),))


async def test_ticks_of_what_is_not_offered_and_stands_are_framed() -> None:
    worker, kept = Worker(Log()), KeptFrames()
    standing: list[str] = []
    worker.markets.board.standing = lambda: standing
    framer = Framer(kept, 1, 0, KeptTicks(), Catalogue([terms(SOL)]), board=worker.markets)
    await framer.frame(0, [tick(0, "7", GONE)])
    assert kept.frames() == []
    standing.append(GONE)
    await framer.frame(0, [tick(1, "8", GONE)])
    assert [symbol.last.bid for frame in kept.frames() for symbol in frame.symbols] == [8]


# -- the exchange's list of markets


class Listing:
    """What the exchange's list says, and since when."""

    def __init__(self, listed_ms: int | None, **states: str) -> None:
        self.listed_ms, self.states = listed_ms, states

    def state(self, symbol: str) -> str | None:
        return self.states.get(symbol)


async def test_the_exchange_s_list_counts_for_a_market_that_sends_nothing() -> None:
    log = Log()
    worker, kept = Worker(log), KeptFrames()
    markets = worker.markets
    markets.hear_listing()
    assert worker.states() == [], "nobody asks"
    now_ms = 100_000
    framer = Framer(
        kept, 1, 0, KeptTicks(FramerState(1, 0, 0, rules=rules.NEWEST), symbols=(SOL, BTC)),
        Catalogue([terms(SOL), terms(BTC)]), markets=markets.told, board=markets, clock_ms=lambda: now_ms,
    )  # fmt: skip
    await framer.frame(0, [tick(0, "150")])
    for listed_ms in (None, now_ms + 4_999):
        markets.exchange = Listing(listed_ms, SOL_USDC="halted")
        markets.hear_listing()
        assert worker.states() == [], "its ticks say that it is open"
    markets.exchange = Listing(now_ms + 4_999, SOL_USDC="halted", BTC_USDC="halted")
    markets.hear_listing()
    assert worker.states() == [(BTC, HALTED, None)], "of this one there never was a tick"
    await framer.beat()
    assert [market.symbol for market in kept.frames()[-1].markets or ()] == [BTC]
    markets.exchange = Listing(now_ms + 5_000, SOL_USDC="close_only")
    markets.hear_listing()
    assert worker.states() == [(SOL, CLOSE_ONLY, None)]
    await markets.flush()
    assert Worker(log).states() == [(SOL, CLOSE_ONLY, None)]
    await framer.frame(0, [tick(1, "150")])
    assert worker.states() == [], "and a tick is the newest word"
    markets.begin()
    markets.hear_listing()
    assert worker.states() == [(SOL, CLOSE_ONLY, None)], "when ticks came by another clock is not known"
    worker.candles.drop()
    markets.exchange = Listing(now_ms * 2, SOL_USDC="halted")
    worker.states()
    markets.hear_listing()
    assert worker.states() == [], "whoever does not have the ticks knows of nothing"


async def test_the_exchange_s_list_counts_for_what_is_not_offered_any_more() -> None:
    worker = Worker(Log())
    worker.states()
    worker.markets.board.standing = lambda: [GONE]
    worker.markets.exchange = Listing(9_999, GONE_USDC="halted")
    worker.markets.hear_listing()
    assert worker.states() == [(GONE, HALTED, None)]
