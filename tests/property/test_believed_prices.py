"""Whatever comes through the socket, nothing is filled, triggered or valued at a price that was not the market's."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NamedTuple

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from price_pipeline import AGE_MS_MAX, PricePipeline
from trading_samples import open_command, place_command

from exness_streams.domain.events import PositionClosed

CENT = Decimal("0.01")
HOSTILE = (
    "crossed", "zero", "negative", "null", "text", "nan", "huge", "tiny", "spike", "one-sided spike", "far ticker",
    "null ticker", "future", "repeated", "garbage",
)  # fmt: skip
FACTORS = st.sampled_from(["100", "0.01", "1.2", "0.8", "2", "0.5", "1000000000"]).map(Decimal)


class Step(NamedTuple):
    """wait_ms: before it. tickers: so many seconds no book is told. move: of the true price, in thousandths. hostile:
    (what, by which factor), before the truth is told again. probe: whether a client tries the market in between."""

    wait_ms: int
    tickers: int
    move: int
    hostile: list[tuple[str, Decimal]]
    probe: bool


steps = st.builds(
    Step,
    st.sampled_from([20, 100, 300, 900, 900, 4_000, 12_000]),
    st.sampled_from([0, 0, 0, 1, 4, 5, 9]),
    st.integers(-10, 10),
    st.lists(st.tuples(st.sampled_from(HOSTILE), FACTORS), max_size=3),
    st.booleans(),
)


class Walk:
    """The true market, and what was told of it. told: (when, bid, ask)."""

    def __init__(self, skew_ms: int, band: str = "0.1") -> None:
        self.platform = PricePipeline(band, skew_ms)
        self.middle = Decimal(150)
        self.told: list[tuple[int, Decimal, Decimal]] = []
        self.lasts: set[Decimal] = set()
        self.probes = 0
        self.tell()

    @property
    def sides(self) -> tuple[Decimal, Decimal]:
        return self.middle - 5 * CENT, self.middle + 5 * CENT

    def tell(self, event_us: int | None = None) -> None:
        bid, ask = self.sides
        self.lasts.add(self.middle)
        self.told.append((self.platform.now_ms, bid, ask))
        self.platform.ticker(str(self.middle), event_us)
        self.platform.book(str(bid), str(ask), event_us and event_us + 1)

    def tell_price(self) -> None:
        self.lasts.add(self.middle)
        self.platform.ticker(str(self.middle))

    def move(self, thousandths: int) -> None:
        self.middle = (self.middle * (1000 + thousandths) / 1000).quantize(CENT)

    def attack(self, what: str, factor: Decimal) -> None:
        platform, (bid, ask) = self.platform, self.sides
        far_bid, far_ask = (str(side * factor) for side in (bid, ask))
        match what:
            case "crossed":
                platform.book(str(ask + 1), str(bid))
            case "zero":
                platform.book("0", "0.0")
            case "negative":
                platform.book("-150", str(ask))
            case "null":
                platform.book(None, None)
            case "text":
                platform.book("cheap", "dear")
            case "nan":
                platform.book("NaN", "Infinity")
            case "huge":
                platform.book("999999999999", "999999999999.5")
            case "tiny":
                platform.book("0.000000000001", "0.000000000002")
            case "spike":
                platform.book(far_bid, far_ask)
            case "one-sided spike":
                platform.book(*((far_bid, None) if factor > 1 else (None, far_ask)))
            case "far ticker":
                platform.ticker(str(self.middle * factor))
            case "null ticker":
                platform.ticker(None)
            case "future":
                self.tell(platform.event_us() + 3_600_000_000)
            case "repeated":
                self.tell((platform.now_ms + platform.skew_ms) * 1000)
            case _:
                platform.send(json.dumps({"stream": "bookTicker.SOL_USDC", "data": {"b": [far_bid]}}).encode()[:-1])

    def probe(self) -> None:
        for side in ("long", "short"):
            self.probes += self.platform.probe(side, "prober")  # type: ignore[arg-type]

    def check(self) -> None:
        for fill in self.platform.fills:
            young = [(bid, ask) for at_ms, bid, ask in self.told if fill.at_ms - AGE_MS_MAX <= at_ms <= fill.at_ms]
            assert fill.price in {ask if fill.buys else bid for bid, ask in young}, fill
        marks = {side for _, bid, ask in self.told for side in (bid, ask)} | self.lasts
        assert self.platform.marks() <= marks

    def play(self, course: list[Step], *, is_attacked: bool = True, probes: bool = True) -> Walk:
        for step in course:
            self.platform.wait(step.wait_ms)
            if step.probe and probes:
                self.probe()
            for _ in range(step.tickers):
                self.platform.wait(1_000)
                self.move(step.move)
                self.tell_price()
                if step.probe and probes:
                    self.probe()
            for what, factor in step.hostile if is_attacked else ():
                self.attack(what, factor)
                if step.probe and probes:
                    self.probe()
                assert self.platform.marks() <= {side for _, bid, ask in self.told for side in (bid, ask)} | self.lasts
            self.tell()  # the truth, as it was
            self.move(step.move)
            self.tell()
            if step.probe and probes:
                self.probe()
        return self


def stand(walk: Walk) -> None:
    """Accounts with something to lose: exits and orders close to the market, and far away."""
    platform, now_ms = walk.platform, walk.platform.now_ms
    for number, leverage in enumerate((1, 10, 50, 100)):
        for side in ("long", "short"):
            account = f"{side}-{number}"
            platform.command(open_command(side, 100, leverage, account=account, time_ms=now_ms))  # type: ignore[arg-type]
    platform.command(open_command("long", 100, 5, account="exits", time_ms=now_ms, stop="148", take="152"))
    platform.command(open_command("short", 100, 5, account="dreams", time_ms=now_ms, take="1"))
    platform.command(open_command("long", 100, 5, account="dreams", time_ms=now_ms, take="14000"))
    for side, kind, price in (("long", "limit", "149"), ("short", "limit", "151"), ("long", "stop", "151.5")):
        platform.command(place_command(side, kind, price, account="waits", time_ms=now_ms))  # type: ignore[arg-type]


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(steps, min_size=1, max_size=12), st.sampled_from([0, 0, 1_500, -7_000, 10_000]))
def test_nothing_happens_at_a_price_that_was_not_the_markets(course: list[Step], skew_ms: int) -> None:
    walk = Walk(skew_ms)
    stand(walk)
    walk.play(course).check()


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(steps, min_size=1, max_size=12), st.sampled_from([0, 1_500, -7_000]))
def test_wrong_frames_change_no_account(course: list[Step], skew_ms: int) -> None:
    attacked, calm = Walk(skew_ms), Walk(skew_ms)
    for walk in (attacked, calm):
        stand(walk)
    attacked.play(course, probes=False)
    calm.play(course, is_attacked=False, probes=False)
    assert [fill._replace(at_ms=0) for fill in attacked.platform.fills] == [
        fill._replace(at_ms=0) for fill in calm.platform.fills
    ]
    for account in ("long-3", "short-3", "exits", "dreams", "waits"):
        mine, theirs = attacked.platform.stored.row(account), calm.platform.stored.row(account)
        assert (mine.cash, mine.realized_pnl) == (theirs.cash, theirs.realized_pnl)


@pytest.mark.parametrize("to", ["0.6", "1.4"])
def test_a_true_crash_is_followed_within_two_seconds(to: str) -> None:
    walk = Walk(0)
    stand(walk)
    side = "long-1" if to < "1" else "short-1"
    walk.middle = (walk.middle * Decimal(to)).quantize(CENT)
    for _ in range(10):
        walk.platform.wait(200)
        walk.tell()
    closed = [event for event in walk.platform.events if isinstance(event, PositionClosed) and event.account_id == side]
    assert [event.reason for event in closed] == ["liquidation"]
    walk.check()


def test_a_client_can_trade_between_attacks() -> None:
    """Else the others would prove nothing."""
    walk = Walk(0)
    course = [Step(300, 0, 3, [("spike", Decimal(100))], True)] * 5
    assert walk.play(course).probes == 20


@pytest.mark.parametrize(
    "what", [what for what in HOSTILE if what not in ("null ticker", "future", "repeated", "garbage")]
)
def test_after_a_frame_that_cannot_be_believed_nothing_is_filled_until_the_next_that_can(what: str) -> None:
    walk = Walk(0)
    walk.attack(what, Decimal(100))
    walk.probe()
    assert walk.probes == 0
    walk.tell()
    walk.probe()
    assert walk.probes == 2


@pytest.mark.parametrize(("tickers", "quiet_ms", "probes"), [(4, 900, 2), (4, 4_000, 0), (2, 3_100, 0), (6, 0, 0)])
def test_a_book_that_is_not_told_again_grows_old_whatever_the_ticker_does(
    tickers: int, quiet_ms: int, probes: int
) -> None:
    walk = Walk(0)
    for _ in range(tickers):
        walk.platform.wait(1_000)
        walk.tell_price()
    walk.platform.wait(quiet_ms)
    walk.probe()
    assert walk.probes == probes
