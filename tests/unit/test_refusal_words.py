"""A refusal is its code and details: the words are made from them, and may change without the state being another."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    close_all_command,
    close_command,
    frame,
    modify_command,
    open_command,
    place_command,
    quote,
)

import exness_streams.domain
from exness_streams.api.errors import ApiError
from exness_streams.domain import codec, refusal_words, rules
from exness_streams.domain.codec import KeyedOutcome, PositionsClosed, RulesChanged
from exness_streams.domain.commands import IdempotencyKey
from exness_streams.domain.outcomes import by_rules, repeat_of
from exness_streams.domain.refusal_words import words_of
from exness_streams.domain.rejections import FIRST_WITHOUT, Rejection, RejectionCode, by_first_rules
from exness_streams.domain.state_hash import state_hash

Code = RejectionCode

TABLE: list[tuple[RejectionCode, dict[str, Any], str]] = [
    (Code.UNAUTHORIZED, {}, "this session or API key is over: sign in again"),
    (Code.FORBIDDEN, {}, "an API key makes and ends no keys and sessions: sign in"),
    (Code.FORBIDDEN, {"scope": "trade"}, 'this API key has no scope "trade": it may read only'),
    (
        Code.INVALID_REQUEST,
        {"field": "expiresAt", "min": "1790000000001"},
        "expiresAt must lie in the future: ms since the epoch, above 1790000000000",
    ),
    (
        Code.INVALID_REQUEST,
        {"field": "quantity", "max": "13.3"},
        "quantity must come to more than 0 and at most 13.3, the position's quantity",
    ),
    (
        Code.IDEMPOTENCY_CONFLICT,
        {"field": "Idempotency-Key"},
        "this Idempotency-Key was used for another request; use a new key for a new request",
    ),
    (
        Code.IDEMPOTENCY_CONFLICT,
        {"field": "Idempotency-Key", "usedFor": "key"},
        "this Idempotency-Key was used for another API key; use a new one for a new key",
    ),
    (
        Code.INVALID_LEVERAGE,
        {"field": "leverage", "min": "1", "max": "99", "symbol": "SOL_USDC"},
        "leverage must be from 1 to 99 for SOL_USDC",
    ),
    (
        Code.INVALID_LEVERAGE,
        {"field": "leverage", "leverage": "99"},
        "at leverage 99 the spread alone would liquidate the position at once",
    ),
    (
        Code.INVALID_MARGIN,
        {"field": "margin", "min": "1", "max": "1000000000000"},
        "margin must be from 1 to 1000000000000 USD",
    ),
    (Code.INVALID_MARGIN, {"field": "margin", "price": "1E+9"}, "margin is too small to buy anything at 1E+9"),
    (Code.LINK_USED, {}, "this link has been used: ask for a new one"),
    (Code.LINK_EXPIRED, {}, "this link is too old: ask for a new one"),
    (Code.SESSION_NOT_FOUND, {"id": "s"}, "there is no such session"),
    (Code.KEY_NOT_FOUND, {"id": "k"}, "there is no such API key"),
    (Code.POSITION_NOT_FOUND, {"positionId": "pos_0_1"}, "no open position pos_0_1"),
    (Code.ORDER_NOT_FOUND, {"orderId": "ord_0_1"}, "no pending order ord_0_1"),
    (
        Code.PRICE_UNAVAILABLE,
        {"symbol": "SOL_USDC", "reason": "no_quote"},
        "no price to trade SOL_USDC on: no quote has arrived yet",
    ),
    (
        Code.PRICE_UNAVAILABLE,
        {"symbol": "SOL_USDC", "reason": "ahead", "aheadMs": 2001},
        "no price to trade SOL_USDC on: the last quote is 2001 ms ahead of the clock",
    ),
    (
        Code.PRICE_UNAVAILABLE,
        {"symbol": "SOL_USDC", "reason": "old", "ageMs": 5001, "ageMsMax": 5000},
        "no price to trade SOL_USDC on: the last quote is 5001 ms old, at most 5000 ms is allowed",
    ),
    (
        Code.PRICE_UNAVAILABLE,
        {"symbol": "SOL_USDC", "reason": "no_ask"},
        "no price to trade SOL_USDC on: the market has no ask",
    ),
    (
        Code.PRICE_UNAVAILABLE,
        {"symbol": "SOL_USDC", "reason": "no_bid"},
        "no price to trade SOL_USDC on: the market has no bid",
    ),
    *(
        (Code.PRICE_UNAVAILABLE, {"symbol": "SOL_USDC", "reason": reason}, f"no price to trade SOL_USDC on: {words}")
        for reason, words in (
            ("close_only", "positions in it may only be closed"),
            ("suspended", "it is suspended until its newest prices are confirmed"),
            ("halted", "trading in it is halted"),
            ("settled", "it was settled: its positions were closed for good"),
        )
    ),
    (Code.PRICE_UNAVAILABLE, {"positions": ["p"]}, "no position has a price at which it can be closed now"),
    (
        Code.INVALID_TRIGGER,
        {"field": "stopLoss", "above": "90", "below": "100"},
        "stopLoss must be between 90 and 100",
    ),
    (Code.INVALID_TRIGGER, {"field": "takeProfit", "above": "100"}, "takeProfit must be above 100"),
    (Code.INVALID_TRIGGER, {"field": "takeProfit", "below": "100"}, "takeProfit must be below 100"),
    (
        Code.INVALID_TRIGGER,
        {"field": "price", "order": "buy limit", "below": "100"},
        "price must be below 100 for a buy limit: the market is there already",
    ),
    (
        Code.INSUFFICIENT_MARGIN,
        {"required": "2", "available": "1.5"},
        "2 USD needed (margin and fee), 1.5 USD free",
    ),
    (
        Code.SLIPPAGE_EXCEEDED,
        {"price": "101", "referencePrice": "99", "slippage": "0.5"},
        "the market is at 101, more than 0.5 % worse than 99",
    ),
    (
        Code.LIMIT_REACHED,
        {"limit": "open", "max": 200},
        "at most 200 positions and pending orders may be open at a time",
    ),
    (
        Code.LIMIT_REACHED,
        {"limit": "exposure", "max": "15000", "required": "15001", "symbol": "SOL_USDC"},
        "the exposure in SOL_USDC would be 15001 USD (margin × leverage), at most 15000 USD is allowed",
    ),
    (Code.LIMIT_REACHED, {"limit": "balance", "max": "1000"}, "the balance would pass 1000 USD"),
    (Code.LIMIT_REACHED, {"limit": "keys", "max": 20}, "an account has at most 20 API keys: revoke one"),
]
"""Every refusal, with the words that releases before rules 2 kept."""


@pytest.mark.parametrize(("code", "details", "words"), TABLE)
def test_code_and_details_give_the_words(code: RejectionCode, details: dict[str, Any], words: str) -> None:
    refused = Rejection(code, details=details)
    assert refused.words == words
    assert codec.decode_keyed_outcome(codec.encode(KeyedOutcome("f", refused))).outcome.words == words  # type: ignore[union-attr]
    first = by_first_rules(refused)
    assert first.message == first.words == words
    assert first.details.keys() == details.keys() - FIRST_WITHOUT.get(code, frozenset())


def test_the_table_has_every_code_and_every_branch() -> None:
    assert {code for code, _, _ in TABLE} == set(RejectionCode) - {Code.UNKNOWN_ASSET}  # the edge's, never kept
    assert refusal_words._WORDS.keys() == {code.value for code, _, _ in TABLE}
    reasons = {str(details["reason"]) for _, details, _ in TABLE if "reason" in details}
    assert reasons == refusal_words._NO_PRICE.keys()
    assert {str(details["limit"]) for _, details, _ in TABLE if "limit" in details} == refusal_words._LIMITS.keys()


def test_no_refusal_of_the_domain_brings_words_of_its_own() -> None:
    """A sentence beside the table would be kept in no entry, and answered to nobody who repeats."""
    makers = 0
    for path in Path(inspect.getfile(exness_streams.domain)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Rejection":
                makers += 1
                assert path.name == "rejections.py" or len(node.args) == 1, (path.name, node.lineno)
                assert path.name == "rejections.py" or {word.arg for word in node.keywords} <= {"details"}
    assert makers > 15


@pytest.mark.parametrize(("code", "details"), [("OF_A_LATER_RELEASE", {}), ("LIMIT_REACHED", {"limit": "later"})])
def test_what_is_not_known_here_is_told_by_its_code(code: str, details: dict[str, Any]) -> None:
    assert words_of(code, details) == code.replace("_", " ").lower()


# In the cell.


@pytest.fixture
def _rules_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", max(2, rules.NEWEST))


def refused_cell(*, upgraded: bool) -> StoredCell:
    """With refusals of many kinds under keys, one of them in a close-all."""
    cell = StoredCell(quote("99.9", "100", price="100"))
    if upgraded:
        cell.fold(RulesChanged(NOW_MS, 2))
    cell.opened(open_command())
    cell.fold(open_command(key="margin", margin=100_000))
    cell.fold(open_command(key="stop", stop="999"))
    cell.fold(open_command(key="slip", reference="50", slippage="1"))
    cell.fold(place_command(key="there", price=200))
    cell.fold(modify_command("pos_none", key="none"))
    cell.fold(close_command("pos_0_1" if not upgraded else "pos_0_2", key="much", quantity="1000000"))
    return cell


def kept(cell: StoredCell) -> dict[str, Any]:
    return {
        key.decode(): msgspec.json.decode(value)["outcome"]
        for key, value in cell.entries().items()
        if key.startswith(codec.OUTCOME_PREFIX)
    }


@pytest.mark.usefixtures("_rules_two")
def test_under_rules_two_no_words_are_kept() -> None:
    found = kept(refused_cell(upgraded=True))
    assert len(found) == 6
    assert all("message" not in outcome and outcome["details"] for outcome in found.values())


def test_under_the_first_rules_refusals_are_kept_as_the_release_before_keeps_and_reads_them() -> None:
    found = kept(refused_cell(upgraded=False))
    assert len(found) == 6
    there = found["outcome/demo/there"]
    assert there == {
        "type": "CommandRejected",
        "code": "INVALID_TRIGGER",
        "message": "price must be below 100 for a buy limit: the market is there already",
        "details": {"field": "price", "below": "100"},
    }
    assert all(outcome["message"] for outcome in found.values())


@pytest.mark.usefixtures("_rules_two")
@pytest.mark.parametrize("upgraded", [False, True])
def test_other_words_are_no_other_state(upgraded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = refused_cell(upgraded=upgraded)
    for code, say in list(refusal_words._WORDS.items()):
        monkeypatch.setitem(refusal_words._WORDS, code, lambda of, say=say: say(of).replace("the", "thy") + "!")
    after = refused_cell(upgraded=upgraded)
    assert after.hash() == before.hash()
    assert state_hash(after.entries().items()) == state_hash(before.entries().items())
    if upgraded:
        assert after.entries() == before.entries()
        restarted = before
        restarted.restart()
        known = restarted.cell.remembered("demo", "none")
        assert known is not None and isinstance(known.outcome, Rejection)
        assert known.outcome.words == "no open position pos_none!"  # made now


@pytest.mark.usefixtures("_rules_two")
def test_what_was_kept_with_words_is_answered_with_them_after_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = refused_cell(upgraded=False)
    told = {key: cell.cell.remembered("demo", key) for key in ("margin", "stop", "none")}
    cell.fold(RulesChanged(NOW_MS, 2))
    for code in list(refusal_words._WORDS):
        monkeypatch.setitem(refusal_words._WORDS, code, lambda of: "in other words")
    for key, before in told.items():
        assert before is not None and isinstance(before.outcome, Rejection)
        assert cell.cell.remembered("demo", key) == before
        assert before.outcome.words != "in other words"


@pytest.mark.usefixtures("_rules_two")
@pytest.mark.parametrize("upgraded", [False, True])
def test_the_first_answer_and_its_repeats_are_one(upgraded: bool) -> None:
    cell = StoredCell(quote("99.9", "100", price="100"))
    if upgraded:
        cell.fold(RulesChanged(NOW_MS, 2))
    command = open_command(key="k", stop="999")
    first, again = cell.fold(command).reply, cell.fold(command).reply
    assert first is not None and again is not None
    assert again.outcome == first.outcome
    assert isinstance(first.outcome, Rejection)
    answered = ApiError.of(first.outcome)
    assert (answered.message, answered.details["field"]) == (first.outcome.words, "stopLoss")


@pytest.mark.usefixtures("_rules_two")
def test_refusals_within_a_close_all_go_by_the_rules_too() -> None:
    said = Rejection(Code.PRICE_UNAVAILABLE, details={"symbol": SOL, "reason": "no_bid"})
    outcome = PositionsClosed([codec.CloseResult("pos_0_1", said)])
    assert by_rules(outcome, 2) == outcome
    first = by_rules(outcome, 1)
    assert isinstance(first, PositionsClosed)
    assert first.results[0].outcome == Rejection(said.code, said.words, {"symbol": SOL})
    cell = StoredCell(quote("99.9", "100", price="100"))
    cell.fold(RulesChanged(NOW_MS, 2))
    cell.opened(open_command())
    cell.fold(frame(quote(None, "100", price="100", sequence=2)))
    reply = cell.fold(close_all_command()).reply
    assert reply is not None and isinstance(reply.outcome, PositionsClosed)
    assert [one.outcome for one in reply.outcome.results] == [said]


# A key's fingerprint has a version.


def test_a_true_repeat_is_one_though_fingerprints_are_made_otherwise_now() -> None:
    refused = Rejection(Code.POSITION_NOT_FOUND, details={"positionId": "p"})
    known = KeyedOutcome("made as of old", refused)
    assert repeat_of(known, IdempotencyKey("k", "made as of old")) == refused
    assert repeat_of(known, IdempotencyKey("k", "made as of now", 2)) == refused
    conflict = repeat_of(known, IdempotencyKey("k", "of another request"))
    assert isinstance(conflict, Rejection) and conflict.code is Code.IDEMPOTENCY_CONFLICT


def test_the_version_of_a_fingerprint_is_kept_with_it_and_left_out_while_it_is_the_first() -> None:
    cell = StoredCell(quote("99.9", "100", price="100"))
    for version in (1, 2):
        keyed = IdempotencyKey(f"k{version}", "f", version)
        cell.fold(msgspec.structs.replace(close_command("pos_none"), idempotency=keyed))
        known = cell.cell.remembered("demo", keyed.key)
        assert known is not None and known.version == version
    assert codec.encode(IdempotencyKey("k", "f")) == b'{"key":"k","fingerprint":"f"}'
    assert b"version" not in codec.encode(KeyedOutcome("f", Rejection(Code.LINK_USED)))
