"""The market as streams show it: whoever reads at whatever pace ends with the newest quotes, each sent once."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from websocket_frames import payloads

from exness_streams.api.stream.market import BATCHES_MAX, MarketVersions
from exness_streams.api.stream.messages import close_frame, text_frame
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason
from exness_streams.domain.quotes import Quote

SYMBOLS = ("A_USDC", "B_USDC", "C_USDC")


def quote(sequence: int) -> Quote:
    return Quote(sequence, sequence, Decimal(sequence), Decimal(sequence) - 1, None)


def shown(frames: bytes) -> dict[str, int]:
    messages = [msgspec.json.decode(payload) for payload in payloads(frames)]
    assert len({message["symbol"] for message in messages}) == len(messages), "each symbol once"
    return {message["symbol"]: message["timestamp"] for message in messages}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("moves"), st.sampled_from(SYMBOLS), st.integers(1, 50)),
            st.tuples(st.just("reads"), st.integers(0, 3), st.just(0)),
        )
    )
)
def test_readers_at_any_pace_end_with_the_newest_quotes(steps: list[tuple[str, str | int, int]]) -> None:
    board, newest = MarketVersions(), dict[str, int]()
    versions = dict.fromkeys(range(4), 0)
    views: dict[int, dict[str, int]] = {reader: {} for reader in versions}

    def read(reader: int) -> None:
        news = shown(board.since(versions[reader], "string" if reader % 2 else "number").frames)
        assert all(views[reader].get(symbol) != seen for symbol, seen in news.items()), "only what is new"
        views[reader] |= news
        versions[reader] = board.version

    for kind, which, sequence in steps:
        if kind == "moves":
            assert isinstance(which, str)
            board.refresh({which: quote(sequence)})
            newest[which] = max(sequence, newest.get(which, 0))
        else:
            assert isinstance(which, int)
            read(which)
    for reader in versions:
        read(reader)
        assert views[reader] == newest


def test_an_older_quote_changes_nothing() -> None:
    board = MarketVersions()
    board.refresh({"A_USDC": quote(7)})
    before = board.version
    board.refresh({"A_USDC": quote(6)})
    assert board.version == before
    assert board.since(before, "number") == (b"", 0)


def test_a_quote_is_encoded_once_for_all_readers() -> None:
    board = MarketVersions()
    board.refresh({symbol: quote(1) for symbol in SYMBOLS})
    batch = board.since(0, "number")
    assert batch is board.since(0, "number")
    assert batch.updates == 3
    board.refresh({"B_USDC": quote(2)})
    assert list(shown(board.since(1, "number").frames)) == ["B_USDC"]
    assert len(shown(board.since(0, "number").frames)) == 3


def test_numbers_are_exact_in_both_forms() -> None:
    board = MarketVersions()
    board.refresh({"A_USDC": Quote(1, 5, Decimal("0.10000000000000000001"), None, Decimal("1E+2"), Decimal(3))})
    assert payloads(board.since(0, "number").frames) == [
        b'{"type":"market_data","symbol":"A_USDC","price":0.10000000000000000001,"bid":null,"ask":100,'
        b'"timestamp":5,"volume":3}'
    ]
    assert b'"price":"0.10000000000000000001","bid":null,"ask":"100","timestamp":5,"volume":"3"' in (
        board.since(0, "string").frames
    )


def stated(frames: bytes) -> list[tuple[str, str, str, object]]:
    messages = [msgspec.json.decode(payload) for payload in payloads(frames)]
    return [(one["type"], one["symbol"], one["state"], one["stateReason"]) for one in messages]


def test_a_state_is_sent_at_the_beginning_and_when_it_is_another() -> None:
    board = MarketVersions()
    halted = MarketTold("A_USDC", MarketState.HALTED, StateReason.EXCHANGE, 7)
    settled = MarketTold("B_USDC", MarketState.SETTLED, StateReason.OPERATOR, 8, Decimal("1.50"))
    board.refresh({}, None, {"A_USDC": halted, "B_USDC": settled})
    assert payloads(board.since(0, "string", frozenset({"B_USDC"})).frames) == [
        b'{"type":"market_state","symbol":"B_USDC","state":"settled","stateReason":"operator","stateSince":8,'
        b'"settlementPrice":"1.50"}'
    ]
    version = board.version
    board.refresh({}, None, {"A_USDC": halted, "B_USDC": settled})
    assert board.version == version, "what is the same is no news"
    board.refresh({}, None, {"B_USDC": settled})
    assert stated(board.since(version, "number").frames) == [("market_state", "A_USDC", "open", None)]
    version = board.version
    board.refresh({}, None, {"B_USDC": settled})
    assert board.version == version
    later = msgspec.structs.replace(halted, since_ms=9)
    board.refresh({}, None, {"A_USDC": later, "B_USDC": settled})
    assert stated(board.since(version, "number").frames) == [("market_state", "A_USDC", "halted", "exchange")]
    assert len(stated(board.since(0, "number").frames)) == 2


def test_frames_of_every_length() -> None:
    for length in (0, 1, 125, 126, 127, 65_535, 65_536, 70_000):
        assert payloads(text_frame(b"x" * length)) == [b"x" * length]
    assert close_frame(1013, "slow") == b"\x88\x06\x03\xf5slow"
    assert len(close_frame(1013, "long" * 100)) == 2 + 125


def test_what_readers_choose_while_the_market_rests_takes_no_memory() -> None:
    board = MarketVersions()
    board.refresh({symbol: quote(1) for symbol in SYMBOLS})
    for number in range(3 * BATCHES_MAX):
        chosen = frozenset({SYMBOLS[number % 3], f"UNKNOWN_{number}"})
        assert shown(board.since(0, "number", chosen).frames) == {SYMBOLS[number % 3]: 1}
        assert len(board._batches) <= BATCHES_MAX


def day(symbol: str, high: int) -> DayFigures:
    return DayFigures(symbol, None, Decimal(high), None, Decimal("1E+3"), None)


def told(frames: bytes) -> list[tuple[str, str, object]]:
    messages = [msgspec.json.decode(payload) for payload in payloads(frames)]
    return [(one["type"], one["symbol"], one.get("high24h")) for one in messages]


def test_a_day_is_sent_when_it_has_changed_beside_the_quotes() -> None:
    board = MarketVersions()
    board.refresh({"A_USDC": quote(1)}, {"A_USDC": day("A_USDC", 5), "B_USDC": day("B_USDC", 6)})
    quotes = [("market_data", "A_USDC", None)]
    assert told(board.since(0, "number").frames) == [*quotes, ("market_day", "A_USDC", 5), ("market_day", "B_USDC", 6)]
    assert told(board.since(0, "string", frozenset({"B_USDC"})).frames) == [("market_day", "B_USDC", "6")]
    version = board.version
    board.refresh({"A_USDC": quote(1)}, {"A_USDC": day("A_USDC", 5)})
    assert board.version == version, "equal figures are no news"
    board.refresh({"A_USDC": quote(2)}, {"A_USDC": day("A_USDC", 5)})
    assert told(board.since(version, "number").frames) == [("market_data", "A_USDC", None)]
    board.refresh({}, {"A_USDC": day("A_USDC", 4)})
    assert told(board.since(board.version - 1, "number").frames) == [("market_day", "A_USDC", 4)]


def states(frames: bytes) -> list[tuple[str, str, str | None, int | None]]:
    found = [msgspec.json.decode(payload) for payload in payloads(frames)]
    return [
        (one["symbol"], one["state"], one["stateReason"], one["stateSince"])
        for one in found
        if one["type"] == "market_state"
    ]


def test_a_market_that_is_not_offered_any_more_is_never_told_to_be_open() -> None:
    board = MarketVersions(offered=("A_USDC",))
    left = MarketTold("B_USDC", MarketState.CLOSE_ONLY, StateReason.NOT_OFFERED, 7)
    board.refresh({"A_USDC": quote(1), "B_USDC": quote(1)}, {}, {})
    assert states(board.since(0, "number").frames) == [("B_USDC", "close_only", "not_offered", None)]
    version = board.version
    board.refresh({"A_USDC": quote(1), "B_USDC": quote(1)}, {}, {"B_USDC": left})
    assert states(board.since(version, "number").frames) == [("B_USDC", "close_only", "not_offered", 7)]
    version = board.version
    board.refresh({}, {}, {"B_USDC": MarketTold("B_USDC", MarketState.HALTED, StateReason.OPERATOR, 8)})
    board.refresh({}, {}, {})
    assert states(board.since(version, "number").frames) == [("B_USDC", "close_only", "not_offered", None)]
    version = board.version
    board.refresh({}, {}, {})
    assert board.version == version, "told once"
