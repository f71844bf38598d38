"""Asking the exchange for what the candles lack."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal

import pytest

from exness_streams.domain.candle_spans import Asked
from exness_streams.domain.candles import Bar
from exness_streams.market_data.past_candles import PastCandles
from exness_streams.market_data.rest import Kline, RestFault

MINUTES = (0, 2_500 * 60)
HOURS = (-1_200 * 3_600, 0)


class Store:
    """Candles of two markets, in memory."""

    symbols: tuple[str, ...] = ("SOL_USDC", "BTC_USDC")

    def __init__(self) -> None:
        self.is_owned = True
        self.end_s = MINUTES[1]
        self.bars: dict[tuple[str, str], dict[int, Bar]] = {}
        self._asked: dict[tuple[str, str], Asked] = {}
        self.prices = dict.fromkeys(self.symbols, Decimal(1))

    def price(self, symbol: str) -> Decimal | None:
        return self.prices.get(symbol)

    def asked(self, symbol: str, interval: str) -> Asked | None:
        return self._asked.get((symbol, interval))

    def wanted_time(self, symbol: str, interval: str) -> tuple[int, int]:
        if not self.is_owned:
            raise LookupError("another's")
        return (MINUTES[0], self.end_s) if interval == "1m" else HOURS

    async def take_told(self, symbol: str, interval: str, told: Sequence[tuple[int, Bar]], asked: Asked) -> None:
        self.bars.setdefault((symbol, interval), {}).update(told)
        known = self._asked.get((symbol, interval))
        self._asked[symbol, interval] = asked if known is None else known.joined(asked)


class Exchange:
    """Answers with a kline at the beginning of each page."""

    def __init__(self) -> None:
        self.is_away = False
        self.pages: list[tuple[str, str, int, int]] = []

    async def fetch(self, symbol: str, interval: str, start_s: int, end_s: int) -> list[Kline]:
        self.pages.append((symbol, interval, start_s, end_s))
        if self.is_away:
            raise RestFault("it cannot be reached")
        price = Decimal(1)
        return [Kline(start_s, price, price, price, price, Decimal(len(self.pages)))]


async def test_the_newest_page_of_every_market_comes_first_and_in_the_end_all() -> None:
    store, exchange = Store(), Exchange()
    past = PastCandles(exchange.fetch, store, pause_s=0)
    assert not await past.round()
    assert exchange.pages == [
        ("SOL_USDC", "1m", 90_000, 150_000),
        ("BTC_USDC", "1m", 90_000, 150_000),
        ("SOL_USDC", "1h", -3_600_000, 0),
        ("BTC_USDC", "1h", -3_600_000, 0),
    ]
    while not await past.round():
        pass
    assert store.asked("SOL_USDC", "1m") == Asked(*MINUTES)
    assert store.asked("BTC_USDC", "1h") == Asked(*HOURS)
    assert set(store.bars["SOL_USDC", "1m"]) == {90_000, 30_000, 0}
    assert store.bars["SOL_USDC", "1m"][90_000].volume == 1
    exchange.pages.clear()
    store.end_s += 60
    await past.round()
    assert [page[2:] for page in exchange.pages] == [(150_000, 150_060)] * 2


async def test_only_the_first_pages_of_a_market_come_without_a_pause() -> None:
    store, exchange = Store(), Exchange()
    past = PastCandles(exchange.fetch, store, pause_s=3_600)
    assert not await past.round()
    asking = asyncio.ensure_future(past.round())
    for _ in range(100):
        await asyncio.sleep(0)
    asking.cancel()
    first = [("SOL_USDC", "1m"), ("BTC_USDC", "1m"), ("SOL_USDC", "1h"), ("BTC_USDC", "1h")]
    assert [page[:2] for page in exchange.pages] == first


async def test_an_exchange_that_is_away_is_told_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store, exchange = Store(), Exchange()
    exchange.is_away = True
    running = asyncio.ensure_future(PastCandles(exchange.fetch, store, pause_s=0, retry_s=0).run())
    while len(exchange.pages) < 3:  # noqa: ASYNC110 - every turn of the loop is a look
        await asyncio.sleep(0)
    exchange.is_away = False
    while store.asked("BTC_USDC", "1h") != Asked(*HOURS):  # noqa: ASYNC110
        await asyncio.sleep(0)
    running.cancel()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "cannot be reached" in caplog.messages[0]


async def test_nothing_is_asked_while_the_candles_are_anothers() -> None:
    store, exchange = Store(), Exchange()
    store.is_owned = False
    with pytest.raises(LookupError):
        await PastCandles(exchange.fetch, store).round()
    assert not exchange.pages


class Absurd(Exchange):
    """Tells a page of klines of which `wrong` are absurd."""

    wrong = 0

    async def fetch(self, symbol: str, interval: str, start_s: int, end_s: int) -> list[Kline]:
        await super().fetch(symbol, interval, start_s, end_s)
        right, low, high = Decimal(1), Decimal("1e-18"), Decimal("1e12")
        return [
            Kline(start_s + nth * 60, right, high if nth < self.wrong else right, low if nth < self.wrong else right,
                  right, right)
            for nth in range(20)
        ]  # fmt: skip


async def test_absurd_klines_never_reach_the_chart(caplog: pytest.LogCaptureFixture) -> None:
    store, exchange = Store(), Absurd()
    exchange.wrong = 3
    past = PastCandles(exchange.fetch, store, pause_s=0)
    assert not await past.round()
    assert past.disbelieved == 3 * 4
    assert all(bar.high == bar.low == 1 for bars in store.bars.values() for bar in bars.values())
    assert [len(bars) for bars in store.bars.values()] == [17] * 4
    asked = store.asked("SOL_USDC", "1m")
    assert asked is not None
    assert asked.left_out == ((asked.from_s, asked.from_s + 3 * 60),), "of what was left out, nothing is known"
    assert (
        "3 of 20 1m candles of SOL_USDC can't be believed at a price of 1: one goes from 1E-18 to 1E+12" in caplog.text
    )


async def test_a_market_whose_klines_are_all_absurd_is_asked_again_later_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, exchange = Store(), Absurd()
    store.prices["SOL_USDC"] = Decimal("1e9")
    past = PastCandles(exchange.fetch, store, pause_s=0, refresh_s=3_600)
    while not await past.round():
        pass
    assert {symbol for symbol, _ in store.bars} == {"BTC_USDC"}
    assert [symbol for symbol, *_ in exchange.pages].count("SOL_USDC") == 1, "it is asked again an hour later"
    assert caplog.text.count("they are asked for again") == 1
    assert store.asked("SOL_USDC", "1m") is None, "a page that was refused is lacking still"


async def test_a_market_without_a_price_is_asked_for_once_it_has_one() -> None:
    store, exchange = Store(), Exchange()
    del store.prices["SOL_USDC"]
    past = PastCandles(exchange.fetch, store, pause_s=0)
    while not await past.round():
        pass
    assert {symbol for symbol, *_ in exchange.pages} == {"BTC_USDC"}
    store.prices["SOL_USDC"] = Decimal(1)
    assert not await past.round()
    assert exchange.pages[-1][0] == "SOL_USDC"


async def test_where_rows_could_not_be_read_nothing_is_known_without_a_kline() -> None:
    store, exchange = Store(), Exchange()
    past = PastCandles(exchange.fetch, store, pause_s=0, unread=lambda: len(exchange.pages))
    assert not await past.round()
    asked = store.asked("SOL_USDC", "1m")
    assert asked is not None
    assert asked.known == ((90_000, 90_060),)
    assert (asked.from_s, asked.to_s) == (90_000, 150_000), "and it is not asked for again"
