"""Which markets have a row: those on offer, and those in which something may stand still, never open."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from trading_samples import terms

from exness_streams.api.market_list import MarketList
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.market_data.market_rows import MarketInfo

SOL, BTC, GONE, PERP = "SOL_USDC", "BTC_USDC", "GONE_USDC", "SOL_USDC_PERP"


def told(symbol: str, state: MarketState, reason: StateReason = StateReason.OPERATOR) -> MarketTold:
    return MarketTold(symbol, state, reason, 7)


class World:
    """What the cells of a worker see, and its list of markets."""

    def __init__(self) -> None:
        self.seen = SimpleNamespace(markets={}, standing=lambda: self.stands_in)
        self.stands_in: set[str] = set()
        self.listed: dict[str, MarketInfo] = {}
        seen: Any = self.seen
        self.markets = MarketList(
            Catalogue([terms(SOL), terms(BTC)]), seen, lambda symbol: terms(symbol, spread="0.01"), self.listed.get
        )

    def rows(self) -> list[tuple[str, str, str | None, int | None]]:
        return [
            (
                of.symbol,
                *(("open", None, None) if told is None else (told.state.value, told.reason.value, told.since_ms)),
            )
            for of, told in self.markets.rows()
        ]


OFFERED = [(SOL, "open", None, None), (BTC, "open", None, None)]


def test_what_is_on_offer_comes_first_in_its_order_with_its_state() -> None:
    world = World()
    assert world.rows() == OFFERED
    world.seen.markets[BTC] = told(BTC, MarketState.SETTLED)
    assert world.rows() == [OFFERED[0], (BTC, "settled", "operator", 7)]


def test_what_stands_in_a_market_that_left_has_a_row_that_is_never_open() -> None:
    world = World()
    world.stands_in = {PERP, SOL, GONE}
    rows = [(symbol, "close_only", "not_offered", 0) for symbol in (GONE, PERP)]
    assert world.rows() == [*OFFERED, *rows], "before any frame has told of it"
    world.seen.markets[GONE] = told(GONE, MarketState.HALTED, StateReason.EXCHANGE)
    assert world.rows() == [*OFFERED, (GONE, "halted", "exchange", 7), rows[1]]


def test_frames_tell_of_what_may_stand_in_cells_elsewhere_and_of_a_settled_market_nothing_stands() -> None:
    world = World()
    world.seen.markets[GONE] = told(GONE, MarketState.CLOSE_ONLY, StateReason.NOT_OFFERED)
    world.seen.markets[PERP] = told(PERP, MarketState.SETTLED)
    assert world.rows() == [*OFFERED, (GONE, "close_only", "not_offered", 7)]


def test_its_terms_are_those_it_would_have_with_the_exchange_s_grids() -> None:
    world = World()
    world.stands_in = {GONE, PERP}
    world.listed[GONE] = MarketInfo(GONE, "GONE", "USDC", "spot", Decimal("0.01"), Decimal("0.1"))
    shown = {of.symbol: of for of, _ in world.markets.rows()}
    assert (shown[GONE].tick_size, shown[GONE].step_size) == (Decimal("0.01"), Decimal("0.1"))
    assert shown[PERP] == terms(PERP), "without the house's spread"


def test_a_name_means_what_is_on_offer_first() -> None:
    world = World()
    world.stands_in = {PERP, GONE}
    assert {name: world.markets.symbol_of(name) for name in ("SOL", SOL, PERP, GONE, "GONE", "DOGE")} == {
        "SOL": SOL, SOL: SOL, PERP: PERP, GONE: GONE, "GONE": None, "DOGE": None,
    }  # fmt: skip
