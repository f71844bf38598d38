from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from exness_streams.market_data.backpack import BookTicker, Ignored, Kline, MarkPrice, Ticker, Trade, parse
from exness_streams.simulator.book import Book
from exness_streams.simulator.frames import (
    book_ticker_frame,
    depth_frame,
    error_frame,
    kline_frame,
    mark_price_frame,
    open_interest_frame,
    ticker_frame,
    trade_frame,
)
from exness_streams.simulator.market import SimulatedMarket, SimulatedTrade, listing_of
from exness_streams.simulator.past import Candle

NOW_US = 1_790_134_357_267_285
NOW_S = NOW_US // 1_000_000


def market(symbol: str = "SOL_USDC", seed: int = 1) -> SimulatedMarket:
    return SimulatedMarket(listing_of(symbol), seed)


def path(walk: SimulatedMarket, steps: int = 500) -> list[tuple[int | None, int | None, int]]:
    prices = []
    for _ in range(steps):
        walk.step()
        prices.append((walk.bid, walk.ask, walk.last))
    return prices


def test_the_prices_depend_on_seed_and_symbol_alone() -> None:
    assert path(market()) == path(market())
    assert path(market()) != path(market(seed=2))
    other = market("BTC_USDC")
    assert [bid for bid, _, _ in path(other, 5)] == [650017, 649979, 650027, 650074, 650085]


def test_a_known_start_and_a_start_made_of_the_name() -> None:
    assert market("SOL_USDC").quote().bid == Decimal("150.00")
    assert market("BTC_USDC").quote().bid == Decimal("65000.0")
    assert market("ETH_USDC_PERP").quote().bid == Decimal("3500.00")
    listing = listing_of("kBONK_USDC_PERP")
    assert listing == listing_of("kBONK_USDC_PERP")
    assert Decimal("0.1") <= listing.start < 1000


@pytest.mark.parametrize("symbol", ["SOL_USDC", "BTC_USDC", "ETH_USDC", "kBONK_USDC_PERP"])
def test_the_book_is_never_crossed_and_the_walk_does_not_run_off(symbol: str) -> None:
    walk = market(symbol)
    start = walk.quote().last
    for _ in range(50_000):
        walk.step()
        assert walk.bid is not None
        assert walk.ask is not None
        assert 0 < walk.bid < walk.ask
    assert start / 2 < walk.quote().last < start * 2


def test_a_third_of_the_steps_comes_with_a_trade_that_is_the_last_price() -> None:
    walk = market()
    seen = []
    for _ in range(300):
        trade = walk.step()
        if trade is not None:
            seen.append(trade)
            assert trade.price == walk.last == (walk.bid if trade.buyer_is_maker else walk.ask)
            assert 0 < trade.quantity <= walk.listing.trade_quantity_max
    assert 50 < len(seen) < 200
    assert [trade.trade_id for trade in seen] == list(range(seen[0].trade_id, seen[0].trade_id + len(seen)))


def test_a_pinned_market_stands_still_and_a_released_one_walks_on_from_there() -> None:
    walk = market()
    walk.pin(Decimal("99.99"), Decimal("100.01"), None)
    assert walk.step() is None
    quote = walk.quote()
    assert (quote.bid, quote.ask, quote.last) == (Decimal("99.99"), Decimal("100.01"), Decimal("100.00"))
    walk.release()
    walk.step()
    bid = walk.quote().bid
    assert bid is not None
    assert Decimal("99.9") < bid < Decimal("100.1")


def test_pinning_changes_no_later_step() -> None:
    def moves(walk: SimulatedMarket) -> list[int]:
        bids = [bid for bid, _, _ in path(walk, 50) if bid is not None]
        return [after - before for before, after in pairwise(bids)]

    pinned = market()
    pinned.pin(Decimal("150"), Decimal("150.01"), Decimal("150"))
    path(pinned, 7)
    pinned.release()
    assert moves(pinned) == moves(market())


def test_an_empty_side() -> None:
    walk = market()
    walk.pin(None, Decimal("100"), None)
    assert (walk.quote().bid, walk.quote().ask, walk.quote().last) == (None, Decimal("100"), Decimal("100"))


@pytest.mark.parametrize(
    ("bid", "ask", "last"),
    [
        ("100.001", "101", None),
        ("101", "100", None),
        ("0", "100", None),
        ("-1", "100", None),
        ("NaN", "100", None),
        ("99", "Infinity", None),
        ("99", "1e12", None),
        ("99", "100", "99.999"),
        (None, None, None),
    ],
)
def test_prices_that_cannot_be_pinned(bid: str | None, ask: str | None, last: str | None) -> None:
    walk = market()
    before = walk.quote()
    with pytest.raises(ValueError, match="SOL_USDC"):
        walk.pin(*(None if text is None else Decimal(text) for text in (bid, ask, last)))
    assert walk.quote() == before
    assert not walk.pinned


def test_a_jump_is_a_gap_and_the_walk_stays_there() -> None:
    walk = market()
    walk.jump(Decimal("0.8"))
    assert walk.quote().bid == Decimal("120.00")
    assert walk.quote().last == Decimal("120.00")
    path(walk, 2_000)
    assert Decimal("115") < walk.quote().last < Decimal("125")


@pytest.mark.parametrize("factor", ["0", "-1", "NaN", "Infinity", "1e20"])
def test_factors_that_are_no_jump(factor: str) -> None:
    with pytest.raises(ValueError, match="factor"):
        market().jump(Decimal(factor))


def test_event_times_rise_strictly() -> None:
    walk = market()
    assert [walk.next_event_us(now_us) for now_us in (10, 10, 9, 20)] == [10, 11, 12, 20]
    # A clock that was an hour ahead holds nothing up for an hour.
    assert [walk.next_event_us(now_us) for now_us in (3_600_000_000, 30, 30)] == [3_600_000_000, 30, 31]


# Frames: the same keys in the same order, with the same types, as those captured.

CAPTURED = {
    "ticker": '{"data":{"E":1,"V":"","c":"","e":"","h":"","l":"","n":1,"o":"","s":"","v":""},"stream":""}',
    "bookTicker": '{"data":{"A":"","B":"","E":1,"T":1,"a":"","b":"","e":"","s":"","u":1},"stream":""}',
    "trade": ('{"data":{"E":1,"T":1,"a":"","b":"","e":"","m":true,"p":"","q":"","s":"","t":1},"stream":""}'),
    "markPrice": '{"data":{"E":1,"T":1,"e":"","f":"","i":"","n":1,"p":"","s":""},"stream":""}',
    "openInterest": '{"data":{"E":1,"e":"","o":"","s":""},"stream":""}',
    "depth": '{"data":{"E":1,"T":1,"U":1,"a":[],"b":[],"e":"","s":"","u":1},"stream":""}',
    "kline": (
        '{"data":{"E":1,"T":"","X":true,"c":"","e":"","h":"","l":"","n":1,"o":"","s":"","t":"","v":""},"stream":""}'
    ),
}


def shape(frame: str) -> list[Any]:
    envelope = json.loads(frame)
    return [list(envelope), [(key, type(value)) for key, value in envelope["data"].items()]]


def book_of(walk: SimulatedMarket) -> Book:
    return Book(walk.bid, walk.bid_quantity, walk.ask, walk.ask_quantity, walk.update_id)


def frames(walk: SimulatedMarket) -> dict[str, str]:
    listing = walk.listing
    day = Candle(walk.last, walk.last + 5, walk.last - 5, walk.last, 1_000, 1_000 * walk.last, 9)
    return {
        "ticker": ticker_frame(listing, day, walk.last, NOW_US),
        "bookTicker": book_ticker_frame(listing, book_of(walk), NOW_US),
        "trade": trade_frame(listing, SimulatedTrade(5, 15_000, 7, True), NOW_US),
        "markPrice": mark_price_frame(listing, walk.last, NOW_US),
        "openInterest": open_interest_frame(listing, 12_345, NOW_US),
        "depth": depth_frame(listing, f"depth.{walk.symbol}", [(14_999, 0)], [(15_001, 7)], (3, 9), NOW_US),
        "kline": kline_frame(listing, f"kline.1m.{walk.symbol}", (NOW_S, NOW_S + 60), day, True, NOW_US),
    }


@pytest.mark.parametrize("kind", CAPTURED)
def test_frames_are_shaped_like_captured_ones(kind: str) -> None:
    frame = frames(market("AAPL.US_USDC_PERP"))[kind]
    assert shape(frame) == shape(CAPTURED[kind])
    envelope = json.loads(frame)
    assert envelope["stream"] == f"{'kline.1m' if kind == 'kline' else kind}.AAPL.US_USDC_PERP"
    assert envelope["data"]["e"] == kind
    assert frame == json.dumps(envelope, separators=(",", ":"))


def test_books_and_trades_are_padded_to_the_tick_and_tickers_are_not() -> None:
    walk = market()
    walk.pin(Decimal("150"), Decimal("150.10"), Decimal("150"))
    data = {kind: json.loads(frame)["data"] for kind, frame in frames(walk).items()}
    assert (data["bookTicker"]["b"], data["bookTicker"]["a"]) == ("150.00", "150.10")
    assert data["ticker"]["c"] == "150"
    assert (data["trade"]["p"], data["trade"]["q"]) == ("150.00", "0.07")
    assert data["bookTicker"]["T"] < data["bookTicker"]["E"] == NOW_US
    assert data["markPrice"]["n"] == 1_790_136_000_000
    assert data["depth"]["b"] == [["149.99", "0.00"]]
    assert (data["depth"]["a"], data["depth"]["U"], data["depth"]["u"]) == ([["150.01", "0.07"]], 3, 9)
    assert (data["kline"]["t"], data["kline"]["T"]) == ("2026-09-23T03:32:37", "2026-09-23T03:33:37")
    assert (data["kline"]["o"], data["kline"]["h"], data["kline"]["v"]) == ("150", "150.05", "10")


def test_an_empty_side_is_null() -> None:
    walk = market()
    data = json.loads(book_ticker_frame(walk.listing, book_of(walk)._replace(ask=None), NOW_US))["data"]
    assert (data["a"], data["A"], data["b"]) == (None, None, "150.00")
    walk.pin(None, Decimal("151"), None)
    data = json.loads(book_ticker_frame(walk.listing, book_of(walk), NOW_US))["data"]
    assert (data["b"], data["B"], data["a"]) == (None, None, "151.00")


def test_the_parser_reads_what_the_simulator_writes() -> None:
    walk = market()
    walk.step()
    kinds = {kind: type(parse(frame)) for kind, frame in frames(walk).items()}
    # Interest and depth are not the feed's business.
    assert kinds == {
        "ticker": Ticker, "bookTicker": BookTicker, "trade": Trade, "markPrice": MarkPrice, "openInterest": Ignored,
        "depth": Ignored, "kline": Kline,
    }  # fmt: skip
    book = parse(book_ticker_frame(walk.listing, book_of(walk), NOW_US))
    assert isinstance(book, BookTicker)
    assert (book.bid, book.ask) == (walk.quote().bid, walk.quote().ask)


def test_error_frames_read_as_captured() -> None:
    assert error_frame(4006, "Invalid stream") == '{"id":null,"error":{"code":4006,"message":"Invalid stream"}}'


@pytest.mark.parametrize("bid", ["151.23", "0.01", "98765.43", "151.234"])
def test_a_market_goes_on_from_an_earlier_price(bid: str) -> None:
    walk = market()
    walk.resume(Decimal(bid))
    begun = round(Decimal(bid), 2)
    assert (walk.quote().bid, walk.quote().last) == (begun, begun)
    again = market()
    again.resume(Decimal(bid))
    assert path(walk) == path(again), "the seed still decides"
    assert abs(walk.quote().last / begun - 1) < Decimal("0.02") or begun < 1


@pytest.mark.parametrize("bid", ["0", "-1", "NaN", "Infinity", "1e12"])
def test_a_market_does_not_go_on_from_what_is_no_price(bid: str) -> None:
    walk = market()
    with pytest.raises(ValueError, match="not a positive price"):
        walk.resume(Decimal(bid))
    assert path(walk) == path(market())
