"""When the exchange's REST is asked about a price that jumped, and what becomes of its answer."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from event_loop import turns

from exness_streams.market_data.looks import Looking, PriceLooks, looking_at
from exness_streams.market_data.rest import BackpackRest, RestFault, Top
from exness_streams.messages import MarketDataMessage

SYMBOL = "SOL_USDC"
BANDS = {SYMBOL: Decimal("0.1")}
TOP = Top(Decimal(300), Decimal(301), Decimal(300))


def update(price: str, symbol: str = SYMBOL) -> MarketDataMessage:
    return MarketDataMessage(symbol, Decimal(price), 0, 0, None, Decimal(price), Decimal(price) + 1)


class Exchange:
    """Its REST, which answers when a test lets it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.asked: list[str] = []
        self.answers: asyncio.Queue[Top | RestFault] = asyncio.Queue()
        self.published: list[MarketDataMessage] = []
        self.looks = PriceLooks(Looking(self.ask, BANDS), self.publish, clock_s=lambda: self.now_s)

    async def ask(self, symbol: str) -> Top:
        self.asked.append(symbol)
        answer = await self.answers.get()
        if isinstance(answer, RestFault):
            raise answer
        return answer

    def publish(self, symbol: str, top: Top) -> MarketDataMessage:
        self.published.append(MarketDataMessage(symbol, top.price, 0, 0, None, top.bid, top.ask, look=True))
        return self.published[-1]

    async def see(self, *prices: str, after_s: float = 0.0) -> None:
        self.now_s += after_s
        for price in prices:
            self.looks.take(update(price))
        await turns()


async def test_a_jump_is_looked_up_once_a_second_for_as_long_as_it_is_held() -> None:
    exchange = Exchange()
    await exchange.see("100", "105", "115")
    assert exchange.asked == []
    await exchange.see("300", "301", "302")
    assert exchange.asked == [SYMBOL]
    exchange.answers.put_nowait(RestFault("busy"))
    await exchange.see("300", after_s=0.9)
    assert exchange.asked == [SYMBOL]
    await exchange.see("300", after_s=0.1)
    assert exchange.asked == [SYMBOL] * 2
    exchange.answers.put_nowait(TOP)
    await exchange.see()
    assert [(one.look, one.price) for one in exchange.published] == [(True, 300)]
    await exchange.see("301", after_s=1.0)  # it agreed: the new level is the market
    await exchange.see("302", after_s=5.0)
    assert exchange.asked == [SYMBOL] * 2
    assert (exchange.looks.taken, exchange.looks.failed) == (1, 1)


async def test_a_look_that_takes_long_is_waited_for() -> None:
    exchange = Exchange()
    await exchange.see("100", "300")
    await exchange.see("300", after_s=3.0)
    assert exchange.asked == [SYMBOL]
    await exchange.looks.close()
    assert exchange.published == []


async def test_a_market_without_a_band_is_never_looked_up() -> None:
    exchange = Exchange()
    for price in ("100", "300"):
        exchange.looks.take(update(price, "BTC_USDC"))
    await turns()
    assert exchange.asked == []


@pytest.mark.parametrize(
    ("url", "source", "band", "looks"),
    [
        ("https://api.backpack.exchange", "backpack", "0.1", True),
        ("http://127.0.0.1:1", "simulated", "0.1", True),
        ("https://api.backpack.exchange", "simulated", "0.1", False),
        ("https://api.backpack.exchange", "backpack", "0", False),
        ("", "backpack", "0.1", False),
    ],
)
def test_only_the_same_market_s_rest_is_asked(url: str, source: str, band: str, looks: bool) -> None:
    rest = BackpackRest(url) if url else None
    assert (looking_at(rest, source, {SYMBOL: Decimal(band)}) is not None) == looks  # type: ignore[arg-type]
