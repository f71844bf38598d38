"""What the exchange's listing changes in the catalogue, and how long it is waited for."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest
from trading_samples import terms

from exness_streams.domain.instruments import Catalogue
from exness_streams.market_data.listings import Listings, SharedListing, adopt
from exness_streams.market_data.market_rows import MarketInfo
from exness_streams.market_data.rest import RestFault

LISTED = MarketInfo("SOL_USDC", "SOL", "USDC", "spot", Decimal("0.01"), Decimal("0.1"))
WAIT_S = 20.0


class Exchange:
    """Answers what it has: an exception is raised, None never comes."""

    def __init__(self, *answers: Exception | list[MarketInfo] | None) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def fetch_markets(self) -> list[MarketInfo]:
        self.asked += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("unreachable")
        return answer


def test_sizes_are_taken_over_and_nothing_else() -> None:
    catalogue = Catalogue([terms("SOL_USDC", fee_rate="0.01", spread="0.02")])
    assert adopt(catalogue, [LISTED, MarketInfo("SOL_USDC_PERP", "SOL", "USDC", "perp")]) == []
    (adopted,) = catalogue
    assert (adopted.tick_size, adopted.step_size) == (Decimal("0.01"), Decimal("0.1"))
    assert (adopted.fee_rate, adopted.spread_rate) == (Decimal("0.01"), Decimal("0.02"))


def test_what_will_have_no_price_is_told() -> None:
    catalogue = Catalogue([terms("SOL_USDC"), terms("sol_USDC")])
    closed = MarketInfo("SOL_USDC", "SOL", "USDC", "spot", is_open=False)
    assert adopt(catalogue, [closed]) == [
        "SOL_USDC is closed at the exchange",
        "sol_USDC is in EXNESS_INSTRUMENTS, and the exchange does not list it",
    ]
    cancel_only = MarketInfo("SOL_USDC", "SOL", "USDC", "spot", is_open=False, state="CancelOnly")
    assert adopt(catalogue, [cancel_only])[0] == "SOL_USDC is not open (CancelOnly) at the exchange"
    hidden = MarketInfo("SOL_USDC", "SOL", "USDC", "spot", state="Open", is_visible=False)
    assert adopt(catalogue, [hidden])[0] == "SOL_USDC is hidden at the exchange, which may be about to close it"


async def test_it_asks_until_it_is_answered_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    catalogue = Catalogue([terms("SOL_USDC"), terms("GONE_USDC")])
    exchange = Exchange(RestFault("HTTP 503"), RestFault("HTTP 502"), None, [LISTED])
    listings = Listings(exchange.fetch_markets, catalogue, first_answer_s=0.01, retry_s=0)
    await asyncio.wait_for(listings.run(), WAIT_S)
    assert listings.markets == {"SOL_USDC": LISTED}
    assert exchange.asked == 4
    assert listings.known.is_set()
    found = catalogue.find("SOL")
    assert found is not None
    assert found.tick_size == Decimal("0.01")
    assert [record.getMessage() for record in caplog.records] == [
        "the exchange's markets are not known, and are asked for again: HTTP 503",
        "GONE_USDC is in EXNESS_INSTRUMENTS, and the exchange does not list it",
        "the exchange lists 1 markets",
    ]


async def test_an_exchange_that_does_not_answer_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    exchange = Exchange(None, [LISTED])
    listings = Listings(exchange.fetch_markets, Catalogue([terms("SOL_USDC")]), first_answer_s=0.01, retry_s=3600)
    running = asyncio.create_task(listings.run())
    await asyncio.wait_for(listings.tried.wait(), WAIT_S)
    assert not listings.known.is_set()
    assert "no answer within 0.01 s" in caplog.text
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_is_no_fault_of_the_exchange_is_raised() -> None:
    listings = Listings(Exchange(KeyError("ours")).fetch_markets, Catalogue([]))
    with pytest.raises(KeyError, match="ours"):
        await listings.run()


async def test_two_who_ask_at_once_ask_one_question() -> None:
    exchange = Exchange([LISTED], [])

    async def fetch_markets() -> list[MarketInfo]:
        await asyncio.sleep(0)
        return await exchange.fetch_markets()

    shared = SharedListing(fetch_markets)
    assert await asyncio.gather(shared.fetch_markets(), shared.fetch_markets()) == [[LISTED], [LISTED]]
    assert exchange.asked == 1
    assert await shared.fetch_markets() == [], "later it is asked anew"


async def test_a_question_that_failed_is_asked_anew_by_the_next() -> None:
    exchange = Exchange(RestFault("HTTP 503"), [LISTED])
    shared = SharedListing(exchange.fetch_markets)
    failed, told = await asyncio.gather(shared.fetch_markets(), shared.fetch_markets(), return_exceptions=True)
    assert isinstance(failed, RestFault)
    assert told == [LISTED]
    exchange = Exchange(None, [LISTED])
    shared = SharedListing(exchange.fetch_markets)
    given_up = asyncio.create_task(shared.fetch_markets())
    waiting = asyncio.create_task(shared.fetch_markets())
    await asyncio.sleep(0)
    given_up.cancel()
    assert await waiting == [LISTED]
