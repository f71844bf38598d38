"""Numbers go on above all that were published, however quiet a symbol was, and above none that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.market_data import resuming
from exness_streams.market_data.resuming import newest_sequences

NOW_US = 1_790_134_357_000_000
SYMBOLS = ("SOL_USDC", "BTC_USDC", "QUIET_USDC")


class Record(NamedTuple):
    key: bytes
    value: bytes


def tick(symbol: str, sequence: int) -> Record:
    text = f'{{"symbol":"{symbol}","price":1,"timestamp":{NOW_US // 1000},"sequence":{sequence}}}'
    return Record(symbol.encode(), text.encode())


class Topic:
    """Records from an offset on, and which of them were read."""

    def __init__(self, records: Sequence[Record], start: int = 0) -> None:
        self.records, self.start = records, start
        self.windows: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    async def read(self, first: int, end: int) -> Sequence[Record]:
        self.windows.append((first, end))
        return self.records[first - self.start : end - self.start]

    async def newest(self, symbols: Sequence[str] = SYMBOLS, now_s: float = 0.0) -> dict[str, int]:
        return await newest_sequences(
            symbols, self.start, self.end, self.read, clock_us=lambda: NOW_US, monotonic_s=lambda: now_s
        )


@given(
    st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(0, NOW_US)), max_size=40),
    st.integers(1, 50),
    st.integers(0, 1_000),
)
async def test_each_symbols_newest_is_found_in_windows_of_any_size(
    told: list[tuple[str, int]], window: int, start: int
) -> None:
    newest: dict[str, int] = {}
    records = []
    for symbol, step in told:
        newest[symbol] = newest.get(symbol, 0) + step % 7 + 1
        records.append(tick(symbol, newest[symbol]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resuming, "WINDOW_TICKS", window)
        topic = Topic(records, start)
        assert await topic.newest() == newest
    # Each record once, from the end backwards, and none before the one that was found last.
    assert [end for _, end in topic.windows[1:]] == [first for first, _ in topic.windows[:-1]]


async def test_a_symbol_that_was_quiet_for_a_million_ticks_goes_on_above_its_own() -> None:
    records = [tick("QUIET_USDC", 7), *[tick("SOL_USDC", 100), tick("BTC_USDC", 50)] * 500_000]
    topic = Topic(records)
    assert await topic.newest() == {"QUIET_USDC": 7, "SOL_USDC": 100, "BTC_USDC": 50}


async def test_what_is_found_at_once_costs_one_window() -> None:
    topic = Topic([tick(symbol, 5) for symbol in SYMBOLS] * 10_000)
    await topic.newest()
    assert len(topic.windows) == 1


async def test_a_symbol_that_is_not_found_in_time_is_numbered_above_the_present(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resuming, "WINDOW_TICKS", 2)
    monkeypatch.setattr(resuming, "LOOK_S_MAX", 0.0)
    topic = Topic([tick("QUIET_USDC", 7), *[tick("SOL_USDC", 9)] * 10])
    newest = await topic.newest()
    assert newest == {"SOL_USDC": 9, "BTC_USDC": NOW_US + 2_000_000, "QUIET_USDC": NOW_US + 2_000_000}
    assert len(topic.windows) == 1


async def test_a_strangers_sequence_of_the_far_future_raises_nothing() -> None:
    topic = Topic([tick("SOL_USDC", 9), tick("SOL_USDC", NOW_US + 25 * 3_600_000_000)])
    assert await topic.newest(["SOL_USDC"]) == {"SOL_USDC": 9}


async def test_of_an_empty_topic_nothing_is_known() -> None:
    assert await Topic([], 50).newest() == {}
