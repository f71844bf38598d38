"""The price guard against one that is written the slow way, and what it promises whatever comes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_guard import NaiveGuard, Outcome, Tick

from exness_streams.domain.price_guard import Believed, PriceGuard
from exness_streams.domain.price_reference import Reference

SYMBOL = "SOL_USDC"
BAND = Decimal("0.1")
PERCENT = Decimal("0.01")


def take(guard: PriceGuard, tick: Tick) -> Outcome:
    """As the naive one tells it."""
    found: Believed | None = guard.take(tick, tick.received_ms)
    if found is None:
        return Outcome(tick.bid, tick.ask, tick.price, suspended=False)
    return Outcome(found.bid, found.ask, found.price, found.suspended, found.is_told)


FACTORS = [
    Decimal(text)
    for text in (
        "1", "1", "1.0476", "1.05", "0.95", "1.1", "1.10000001", "0.9", "0.89999999", "0.6", "0.64", "0.4", "2", "2.01",
        "0.5", "0.49", "3", "100", "0.01", "1e-15", "1e12",
    )
]  # fmt: skip
MIDDLES = st.sampled_from(["150", "0.00000001234", "98765432.1"]).map(Decimal)
STEPS_MS = st.sampled_from([0, 0, 1, 200, 400, 1_000, 1_001, 4_999, 5_000, 60_000, -700])


@st.composite
def ticks(draw: st.DrawFn) -> list[Tick]:
    """Merged ticks of one market: a book or a price moves, or nothing does; looks between them; any spikes."""
    middle = draw(MIDDLES)
    bid: Decimal | None = None
    ask: Decimal | None = None
    price, now_ms, made = middle, 1_000_000, []
    for _ in range(draw(st.integers(1, 25))):
        now_ms += draw(STEPS_MS)
        kind = draw(st.sampled_from(["book", "book", "price", "look", "empty", "one side", "both"]))
        level = middle * draw(st.sampled_from(FACTORS))
        width = draw(st.sampled_from(["0", "0.001", "0.08", "0.5"]).map(Decimal))
        if kind in ("book", "both", "look", "one side"):
            sides: list[Decimal | None] = [level, level * (1 + width)]
            if kind == "one side":
                sides[draw(st.integers(0, 1))] = None
            if kind == "look":
                made.append(Tick(sides[0], sides[1], level, now_ms, look=True))
                continue
            bid, ask = sides
        if kind == "empty":
            bid = ask = None
        if kind in ("price", "both"):
            price = level
        made.append(Tick(bid, ask, price, now_ms, is_of_ticker=kind == "price"))
    return made


@settings(max_examples=600)
@given(ticks(), st.sampled_from(["0", "0.01", "0.1", "0.5", "0.99"]).map(Decimal))
def test_it_believes_what_the_slow_one_believes(made: list[Tick], band: Decimal) -> None:
    guard, naive = PriceGuard({SYMBOL: band}), NaiveGuard(band)
    for nth, tick in enumerate(made):
        if not band and tick.look:
            continue
        assert take(guard, tick) == naive.take(tick), f"at {nth}"


def walk(
    steps: Sequence[int], first: Decimal = Decimal(150), begin_ms: int = 1_000_000, every_ms: int = 200
) -> list[Tick]:
    """A market that moves by thousandths; its ticker comes with every fifth update."""
    made, middle, price = [], first, first
    for nth, step in enumerate(steps):
        middle *= 1 + step * PERCENT / 10
        is_of_ticker = nth % 5 == 4
        price = middle if is_of_ticker else price
        made.append(Tick(middle, middle + PERCENT, price, begin_ms + nth * every_ms, is_of_ticker=is_of_ticker))
    return made


STEPS = st.lists(st.integers(-9, 9), min_size=8, max_size=60)
WRONG = st.sampled_from(["100", "0.01", "1.2", "0.8", "1e12", "1e-10", "3", "0.4"]).map(Decimal)
EVERY_MS = st.sampled_from([1, 50, 200, 1_000, 4_000])


def outcomes(made: Sequence[Tick]) -> list[Outcome]:
    guard = PriceGuard({SYMBOL: BAND})
    return [take(guard, tick) for tick in made]


@given(STEPS, st.data(), WRONG, EVERY_MS, st.sampled_from(["both", "bid", "ask"]))
def test_one_wrong_book_changes_nothing_but_for_a_moment(
    steps: list[int], data: st.DataObject, factor: Decimal, every_ms: int, sides: str
) -> None:
    true = walk(steps, every_ms=every_ms)
    at = data.draw(st.integers(1, len(true)), label="at")
    before = true[at - 1]
    bid, ask = before.bid, before.ask
    assert bid is not None
    assert ask is not None
    wrong = before._replace(
        bid=bid * factor if sides != "ask" and (sides == "both" or factor < 1) else bid,
        ask=ask * factor if sides != "bid" and (sides == "both" or factor > 1) else ask,
        is_of_ticker=False,
    )
    found = outcomes([*true[:at], wrong, *true[at:]])
    assert found[:at] + found[at + 1 :] == outcomes(true)
    assert found[at] in (
        Outcome(None, None, before.price, suspended=True),
        Outcome(bid, ask, before.price, suspended=False),  # the side that was to be wrong is not the one drawn
    )


@given(STEPS, st.data(), WRONG, st.integers(1, 40))
def test_a_wrong_frame_that_the_merged_updates_repeat_never_goes_on(
    steps: list[int], data: st.DataObject, factor: Decimal, repeats: int
) -> None:
    """A wrong ticker is in every update of the book until the next ticker, a wrong book in every ticker."""
    guard = PriceGuard({SYMBOL: BAND})
    true = walk(steps)
    for tick in true:
        take(guard, tick)
    last, is_book = true[-1], data.draw(st.booleans(), label="a book")
    assert last.bid is not None
    assert last.ask is not None
    for nth in range(repeats):
        now_ms = last.received_ms + 1_000 * (1 + nth)
        if is_book:
            tick = Tick(last.bid * factor, last.ask * factor, last.price, now_ms, is_of_ticker=nth > 0)
        else:
            tick = Tick(last.bid, last.ask, last.price * factor, now_ms, is_of_ticker=nth == 0)
        assert take(guard, tick) == Outcome(None, None, last.price, suspended=True)
    assert take(guard, last) == Outcome(last.bid, last.ask, last.price, suspended=False)


@given(
    STEPS,
    st.sampled_from([50, 100, 200]),
    st.sampled_from(["0.6", "0.55", "1.4", "1.9"]).map(Decimal),
    st.integers(0, 4),
)
@example([1] * 8, 200, Decimal("0.6"), 0)
def test_a_crash_is_believed_within_two_seconds(steps: list[int], every_ms: int, factor: Decimal, shift: int) -> None:
    guard = PriceGuard({SYMBOL: BAND})
    before = walk(steps)
    for tick in before:
        take(guard, tick)
    crashed_ms = before[-1].received_ms + every_ms
    level = before[-1].price * factor
    price = before[-1].price
    for nth, tick in enumerate(walk([1, -1] * 30, level, crashed_ms, every_ms)):
        is_ticker = (nth + shift) * every_ms % 1_000 == 0
        price = tick.bid if is_ticker and tick.bid is not None else price
        found = take(guard, tick._replace(price=price, is_of_ticker=is_ticker))
        if not found.suspended:
            assert tick.received_ms - crashed_ms <= 2_000
            return
    raise AssertionError("it was never believed")


@given(ticks())
def test_what_goes_on_is_within_the_band_of_what_went_on_before_or_the_newest_of_a_level(made: list[Tick]) -> None:
    """Held extremes never go on: a figure far from the reference does only as the newest update that there is."""
    guard, newest = PriceGuard({SYMBOL: BAND}), made[0]
    for tick in made:
        found = take(guard, tick)
        newest = newest if tick.look else tick
        if not found.is_told:
            continue
        if found.suspended:
            assert found.bid is found.ask is None
        else:
            assert (found.bid, found.ask, found.price) == (newest.bid, newest.ask, newest.price)


@given(ticks())
def test_what_is_held_is_not_kept_and_the_reference_is(made: list[Tick]) -> None:
    guard = PriceGuard({SYMBOL: BAND})
    stored: dict[str, Reference] = {}
    accepted: Decimal | None = None
    for tick in made:
        found = take(guard, tick)
        if found.is_told and not found.suspended:
            accepted = found.price
        stored |= dict(guard.moved())
        assert not dict(guard.moved())
    if accepted is not None:
        assert abs(stored[SYMBOL].price - accepted) <= accepted * BAND / 5
        again = PriceGuard({SYMBOL: BAND})
        again.load(SYMBOL, stored[SYMBOL])
        assert not again.suspended
        assert not dict(again.moved())
        assert take(again, Tick(accepted * 50, accepted * 50, accepted, 0)).suspended
