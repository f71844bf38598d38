"""The price guard, rule by rule: each row is a history of one market at 100/101, last 100, with a band of 10 %."""

from __future__ import annotations

from decimal import Decimal

import pytest
from naive_guard import Tick

from exness_streams.domain.price_guard import Believed, Change, PriceGuard
from exness_streams.domain.price_reference import Reference

SYMBOL = "SOL_USDC"
BANDS = {SYMBOL: Decimal("0.1")}


class Market:
    """One market under guard. Ticks are merged, as the market data service makes them."""

    def __init__(self, *, reference: bool = True) -> None:
        self.guard = PriceGuard(BANDS)
        self.figures: tuple[Decimal | None, Decimal | None, Decimal] = (None, None, Decimal(100))
        if reference:
            self.tell("0 book 100/101")

    def tell(self, said: str) -> Believed | None:
        """`MS book BID/ASK`, `MS price PRICE`, `MS all BID/ASK/PRICE`, `MS look BID/ASK/PRICE`; `-` is nothing."""
        at, kind, figures = said.split()
        told = [None if one == "-" else Decimal(one) for one in figures.split("/")]
        bid, ask, price = self.figures
        if kind == "price":
            price = told[0] or price
        else:
            bid, ask, *rest = told
            price = next((one for one in rest if one is not None), price)
        if kind != "look":
            self.figures = bid, ask, price
        tick = Tick(bid, ask, price, int(at), is_of_ticker=kind == "price", look=kind == "look")
        return self.guard.take(tick, tick.received_ms)


HELD, IN = "held", "in"

STAIRS = [100 * Decimal("1.08") ** n for n in range(40)]

HISTORIES = {
    "within the band": (["1 book 110/111", "2 book 120/121", "3 price 109"], [IN, IN, IN]),
    "a step over it": (["1 book 110.01/111"], [HELD]),
    "down to it": (["1 book 90/91"], [IN]),
    "one side alone": (["1 book 100/112"], [HELD]),
    "the last price alone": (["1 price 89"], [HELD]),
    "one wrong book, then the market": (["1 book 10000/10001", "2 book 100/101"], [HELD, IN]),
    "one wrong book, repeated by tickers": (
        ["1 book 10000/10001", "1000 price 100", "2000 price 100.1", "6000 price 100.2", "9000 price 100"],
        [HELD] * 5,
    ),
    "one wrong ticker, repeated by books": (
        ["1 price 150", "400 book 100/101", "800 book 100/102", "1200 book 100/103", "7000 book 100/102"],
        [HELD] * 5,
    ),
    "1 s of three": (["0 book 85/86", "500 book 85/86", "999 book 85/86", "1000 book 85/86"], [HELD, HELD, HELD, IN]),
    "1 s of two": (["0 book 85/86", "1000 book 85/86", "1001 book 85/86"], [HELD, HELD, IN]),
    "price and book together": (["0 book 85/86", "500 price 85", "1000 book 85/87"], [HELD, HELD, IN]),
    "times that stand still": ([f"7 book 8{n % 5}/86" for n in range(9)], [HELD] * 9),
    "times that go back": (["0 book 85/86", "900 book 85/86", "100 book 85/86", "1000 book 85/86"], [HELD] * 3 + [IN]),
    "up and down": ([f"{n * 300} book {b}" for n, b in enumerate(["85/86", "120/121"] * 20)], [HELD] * 40),
    "one update that spans both sides": ([f"{n * 300} book 80/120" for n in range(30)], [HELD] * 30),
    "another level each time": (
        [f"{n * 600} book {b}/{b}" for n, b in enumerate([120, 150, 190, 150, 120, 150, 190, 150, 120])],
        [HELD] * 9,
    ),
    "a wrong one within a crash": (
        ["0 book 60/61", "500 book 60/61", "900 book 1/2", "1000 book 60/61", "1500 book 60/61", "2000 book 60/61"],
        [HELD, HELD, HELD, HELD, HELD, IN],
    ),
    "a wrong price within a crash": (
        ["0 book 60/61", "600 price 1", "1000 book 60/61", "1500 book 60/61", "1600 price 60", "2600 book 60/61"],
        [HELD] * 5 + [IN],
    ),
    "a crash of the book before its price": (
        ["0 book 60/61", "600 book 60/61", "1100 book 61/62", "1500 price 61"],
        [HELD, HELD, IN, IN],
    ),
    "a price that fits its book": (["0 price 111", "1 price 109.9", "2 book 108/109", "3 price 119"], [IN, IN, IN, IN]),
    "alone for 5 s": (["0 book 85/86", "5000 book 85/86"], [HELD, IN]),
    "alone for 5 s, far": (
        ["0 book 400/401", "2000 book 400/401", "4000 book 400/401", "5000 book 400/401"],
        [HELD] * 3 + [IN],
    ),
    "not alone": (["0 book 85/86", "4000 price 100.1", "5000 book 85/86", "9000 book 85/86"], [HELD] * 3 + [IN]),
    "far, with a look": (["0 book 400/401", "500 look 400/401/400", "1000 book 400/401"], [HELD, HELD, IN]),
    "far, and the look comes last": (["0 book 40/41", "900 book 40/41", "1100 look 40/41/40"], [HELD, HELD, IN]),
    "a look is as two": (["0 book 85/86", "1000 look 85/86/85"], [HELD, IN]),
    "a look that contradicts": (
        [
            *("0 book 85/86", "500 look 100/101/100", "1000 book 85/86", "1600 book 85/86", "2100 book 85/86"),
            *("2200 look 85/86/85", "5999 book 85/86"),
        ],
        [HELD, HELD, HELD, HELD, HELD, IN, IN],
    ),
    "a look that contradicts, and then nothing else": (
        ["0 book 85/86", "500 look 100/101/100", "1000 book 85/86", "5999 book 85/86", "6000 book 85/86"],
        [HELD, HELD, HELD, HELD, IN],
    ),
    "a look at another level": (
        ["0 book 300/301", "900 book 300/301", "1000 look 150/151/150", "2000 book 300/301"],
        [HELD] * 4,
    ),
    "sides that are not known": (
        ["0 book 85/86", "500 book -/-", "1000 book 85/86", "1001 book 85/86"],
        [HELD, HELD, HELD, IN],
    ),
    "sides that are not known, and a price": (["0 book 85/86", "500 book -/-", "900 price 100"], [HELD, HELD, IN]),
    "a side that was not known": (["0 book -/101", "1 book 89/101", "2 book 99/101"], [IN, HELD, IN]),
    "a staircase is a market": ([f"{n} book {level:.4f}/{level:.4f}" for n, level in enumerate(STAIRS)], [IN] * 40),
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_believed(name: str) -> None:
    market = Market()
    told, wanted = HISTORIES[name]
    found = []
    for said in told:
        market.tell(said)
        found.append(HELD if market.guard.suspended else IN)
    assert found == wanted


def test_the_first_tick_is_believed_and_a_side_without_a_reference_is_held_against_the_price() -> None:
    market = Market(reference=False)
    assert market.tell("0 price 100") is None
    held = market.tell("1 book 15000/15001")
    assert held == Believed(None, None, Decimal(100), True, change=Change.SUSPENDED, since_ms=1, held=1)


def test_a_tick_that_is_held_goes_on_without_a_book_and_at_the_price_before() -> None:
    market = Market()
    assert market.tell("5 all 60/61/60") == Believed(
        None, None, Decimal(100), True, change=Change.SUSPENDED, since_ms=5, held=1
    )
    assert market.tell("6 all 50/51/50") == Believed(None, None, Decimal(100), True, since_ms=5, held=2)


def test_the_newest_that_was_held_becomes_the_reference() -> None:
    market = Market()
    for said in ("0 all 60/61/60", "500 all 64/65/64", "900 all 61/62/61"):
        market.tell(said)
    accepted = market.tell("1000 all 62/63/62")
    assert accepted == Believed(
        Decimal(62), Decimal(63), Decimal(62), False, change=Change.CONFIRMED, since_ms=0, held=4
    )
    assert market.tell("1001 book 67/69") is None
    assert market.guard.suspended == {}


def test_a_look_that_confirms_lets_the_newest_update_go_on_not_itself() -> None:
    market = Market()
    market.tell("0 book 85/86")
    market.tell("900 book 84/85")
    assert market.tell("1000 look 83/86/83") == Believed(
        Decimal(84), Decimal(85), Decimal(100), False, change=Change.CONFIRMED, since_ms=0, held=2, age_ms=100
    )


@pytest.mark.parametrize("figures", ["100/101/100", "500/501/500"])
def test_a_look_tells_nothing_while_nothing_is_held(figures: str) -> None:
    market = Market()
    found = market.tell(f"5 look {figures}")
    assert found is not None
    assert not found.is_told
    assert market.guard.suspended == {}
    first = Market(reference=False)
    assert first.tell(f"5 look {figures}") is not None
    assert first.tell("6 book 100/101") is None


def test_how_a_hold_ends_is_told() -> None:
    market = Market()
    market.tell("0 book 85/86")
    back = market.tell("10 book 100/101")
    assert back is not None
    assert (back.change, back.since_ms, back.held) == (Change.RETURNED, 0, 1)
    market.tell("100 book 85/86")
    alone = market.tell("5100 book 85/86")
    assert alone is not None
    assert (alone.change, alone.since_ms, alone.held) == (Change.ALONE, 100, 2)


@pytest.mark.parametrize("bands", [{}, {SYMBOL: Decimal(0)}])
def test_without_a_band_all_is_believed(bands: dict[str, Decimal]) -> None:
    guard = PriceGuard(bands)
    guard.load(SYMBOL, Reference(Decimal(1)))
    for price in (Decimal(1), Decimal(10) ** 12, Decimal("1e-18")):
        assert guard.take(Tick(price, price, price, 0), 0) is None
    assert list(guard.moved()) == []


def test_a_market_that_is_not_named_has_the_band_of_all_others() -> None:
    guard = PriceGuard({SYMBOL: Decimal(0)}, Decimal("0.1"))
    guard.load("GONE_USDC", Reference(Decimal(100)))
    for symbol in (SYMBOL, "NEW_USDC", "GONE_USDC"):
        for price in (Decimal(50), Decimal(5)):
            guard.take(Tick(price, price, price, 0, symbol=symbol), 0)
    assert guard.suspended == {"NEW_USDC": 0, "GONE_USDC": 0}
    stored = dict(guard.moved())
    assert stored == {"NEW_USDC": Reference(Decimal(50), Decimal(50), Decimal(50))}, "of the other one all was held"


def test_what_is_stored_is_compared_with_the_first_tick_after_it() -> None:
    market = Market(reference=False)
    market.guard.load(SYMBOL, Reference(Decimal(100)))
    market.tell("0 book 85/86")
    assert market.guard.suspended == {SYMBOL: 0}


def test_a_reference_is_stored_when_it_has_moved_by_a_tenth_of_the_band() -> None:
    market = Market()
    assert list(market.guard.moved()) == [(SYMBOL, Reference(Decimal(100), Decimal(100), Decimal(101)))]
    market.tell("0 all 101/101.5/100.9")
    assert list(market.guard.moved()) == []
    market.tell("1 all 101.1/101.5/100.9")
    assert list(market.guard.moved()) == [(SYMBOL, Reference(Decimal("100.9"), Decimal("101.1"), Decimal("101.5")))]
    market.tell("2 book 60/61")
    assert list(market.guard.moved()) == []


def test_what_is_held_can_be_let_go() -> None:
    market = Market()
    market.tell("5000 book 85/86")
    market.guard.let_go()
    assert market.guard.suspended == {}
    assert market.tell("0 book 99/100") is None
    assert market.tell("1 book 85/86") is not None
