"""Sessions, links and API keys in the cell: against a naive reference, and rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_samples import NOW_MS, StoredCell, flat
from trading_samples import deposit_command as unsigned_deposit
from trading_samples import open_command as unsigned_open

from exness_streams.domain import codec
from exness_streams.domain.codec import Outcome
from exness_streams.domain.commands import Deposit, OpenPosition
from exness_streams.domain.events import Deposited, PositionOpened
from exness_streams.domain.identity import (
    KEYS_MAX,
    SESSIONS_MAX,
    AccessCommand,
    CreateKey,
    EndSessions,
    KeyCreated,
    KeyRevoked,
    RedeemLink,
    RevokeKey,
    SessionsEnded,
    SessionStarted,
    of_key,
    of_session,
)
from exness_streams.domain.rejections import Rejection, RejectionCode

Code = RejectionCode
HOUR_MS = 3_600_000


def base(time_ms: int = NOW_MS, credential: str | None = None, account: str = "demo") -> dict[str, Any]:
    return {"command_id": "c", "account_id": account, "time_ms": time_ms, "credential": credential}


def redeem(
    link: str = "link", nonce: str = "nonce", session: str = "s1", *, life_ms: int = HOUR_MS, **of: Any
) -> RedeemLink:
    stamp = base(**of)
    return RedeemLink(
        **stamp,
        link=link,
        nonce=nonce,
        link_expires_ms=NOW_MS + HOUR_MS // 4,
        session_id=session,
        session_expires_ms=stamp["time_ms"] + life_ms,
        agent="a browser",
    )


def create(key: str = "k1", scopes: Sequence[Any] = ("trade",), expires_ms: int | None = None, **of: Any) -> CreateKey:
    return CreateKey(**base(**of), key_id=key, name="bot", scopes=list(scopes), secret="digest", expires_ms=expires_ms)


def open_command(credential: str | None = None, **of: Any) -> OpenPosition:
    return msgspec.structs.replace(unsigned_open(**of), credential=credential)


def deposit_command(credential: str | None = None, **of: Any) -> Deposit:
    return msgspec.structs.replace(unsigned_deposit(**of), credential=credential)


def told(cell: StoredCell, command: AccessCommand) -> Outcome:
    reply = cell.fold(command).reply
    assert reply is not None
    return reply.outcome


def code(outcome: Outcome) -> RejectionCode | None:
    return outcome.code if isinstance(outcome, Rejection) else None


def test_a_link_begins_one_session() -> None:
    cell = StoredCell()
    begun = told(cell, redeem())
    assert isinstance(begun, SessionStarted)
    assert (begun.session.session_id, begun.session.expires_ms) == ("s1", NOW_MS + HOUR_MS)
    again = told(cell, redeem(session="s2"))
    assert again == begun  # the same nonce: the answer was lost on its way
    assert code(told(cell, redeem(nonce="another", session="s3"))) is Code.LINK_USED
    assert code(told(cell, redeem(nonce="", session="s4"))) is Code.LINK_USED
    row = cell.cell.access("demo")
    assert row is not None
    assert list(row.sessions) == ["s1"]


def test_a_link_without_a_nonce_is_redeemed_once() -> None:
    cell = StoredCell()
    assert isinstance(told(cell, redeem(nonce="")), SessionStarted)
    assert code(told(cell, redeem(nonce="", session="s2"))) is Code.LINK_USED


@pytest.mark.parametrize(("late_ms", "expected"), [(-1, None), (0, Code.LINK_EXPIRED), (1, Code.LINK_EXPIRED)])
def test_a_link_is_over_at_its_time(late_ms: int, expected: RejectionCode | None) -> None:
    assert code(told(StoredCell(), redeem(time_ms=NOW_MS + HOUR_MS // 4 + late_ms))) is expected


def test_a_used_link_is_not_forgotten_before_it_is_over() -> None:
    cell = StoredCell()
    told(cell, redeem(life_ms=1_000))
    told(cell, EndSessions(**base()))
    for time_ms in (NOW_MS + 1, NOW_MS + 2_000, NOW_MS + HOUR_MS // 4 - 1):
        assert code(told(cell, redeem(session="s2", time_ms=time_ms))) is Code.LINK_USED
    assert code(told(cell, redeem(session="s2", time_ms=NOW_MS + HOUR_MS // 4))) is Code.LINK_EXPIRED


def test_the_oldest_session_makes_room() -> None:
    cell = StoredCell()
    for number in range(SESSIONS_MAX):
        told(cell, redeem(f"link{number}", session=f"s{number}"))
    folded = cell.fold(redeem("one more", session="new"))
    assert folded.reply is not None
    assert isinstance(folded.reply.outcome, SessionStarted)
    assert folded.reply.outcome.ended == ["s0"]
    assert folded.ended is not None
    assert folded.ended.credentials == [of_session("s0")]
    row = cell.cell.access("demo")
    assert row is not None
    assert len(row.sessions) == SESSIONS_MAX


def test_a_session_trades_until_it_ends_and_not_after() -> None:
    cell = StoredCell(flat(100))
    told(cell, redeem())
    acting = of_session("s1")
    assert isinstance(cell.outcome(open_command(credential=acting)), PositionOpened)
    ended = cell.fold(EndSessions(**base(credential=acting), session_id="s1"))
    assert ended.ended is not None
    assert ended.ended.credentials == [acting]
    before = cell.hash()
    # Written before the session ended, folded after: the order of the journal counts.
    assert code(cell.outcome(open_command(credential=acting))) is Code.UNAUTHORIZED
    assert code(cell.outcome(open_command(credential=acting, key="k"))) is Code.UNAUTHORIZED
    assert cell.hash() == before


@pytest.mark.parametrize(("late_ms", "expected"), [(-1, None), (0, Code.UNAUTHORIZED)])
def test_a_session_is_over_at_its_time(late_ms: int, expected: RejectionCode | None) -> None:
    cell = StoredCell()
    told(cell, redeem())
    command = deposit_command(credential=of_session("s1"), time_ms=NOW_MS + HOUR_MS + late_ms)
    assert code(cell.outcome(command)) is expected


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (None, None),
        (of_session("s1"), None),
        (of_session("s2"), Code.UNAUTHORIZED),
        (of_session("k1"), Code.UNAUTHORIZED),
        (of_key("k1"), None),
        (of_key("read"), Code.FORBIDDEN),
        (of_key("old"), Code.UNAUTHORIZED),
        (of_key("s1"), Code.UNAUTHORIZED),
        (of_key(""), Code.UNAUTHORIZED),
        ("", Code.UNAUTHORIZED),
        ("s1", Code.UNAUTHORIZED),
        ("session", Code.UNAUTHORIZED),
    ],
)
def test_who_may_trade(credential: str | None, expected: RejectionCode | None) -> None:
    cell = StoredCell()
    told(cell, redeem())
    told(cell, create())
    told(cell, create("read", ["read"]))
    told(cell, create("old", expires_ms=NOW_MS))
    outcome = cell.outcome(deposit_command(credential=credential))
    assert code(outcome) is expected
    assert (expected is None) == isinstance(outcome, Deposited)
    assert code(cell.outcome(deposit_command(credential=credential, account="other"))) is (
        None if credential is None else Code.UNAUTHORIZED
    )


def test_only_a_session_changes_access() -> None:
    cell = StoredCell()
    told(cell, redeem())
    told(cell, create())
    for command in (create("k2", credential=of_key("k1")), EndSessions(**base(credential=of_key("k1")))):
        assert code(told(cell, command)) is Code.FORBIDDEN
    assert isinstance(told(cell, create("k2", credential=of_session("s1"))), KeyCreated)
    assert code(told(cell, create("k3", credential=of_session("gone")))) is Code.UNAUTHORIZED


def test_keys_are_made_and_revoked() -> None:
    cell = StoredCell()
    made = told(cell, create())
    assert isinstance(made, KeyCreated)
    assert told(cell, create()) == made  # repeated
    assert code(told(cell, create(scopes=["read"]))) is Code.IDEMPOTENCY_CONFLICT
    revoked = cell.fold(RevokeKey(**base(), key_id="k1"))
    assert revoked.reply is not None
    assert isinstance(revoked.reply.outcome, KeyRevoked)
    assert revoked.ended is not None
    assert revoked.ended.credentials == [of_key("k1")]
    assert code(told(cell, RevokeKey(**base(), key_id="k1"))) is Code.KEY_NOT_FOUND
    assert code(told(cell, EndSessions(**base(), session_id="none"))) is Code.SESSION_NOT_FOUND


def test_keys_are_limited() -> None:
    cell = StoredCell()
    for number in range(KEYS_MAX):
        assert isinstance(told(cell, create(f"k{number}")), KeyCreated)
    assert code(told(cell, create("one more"))) is Code.LIMIT_REACHED
    told(cell, RevokeKey(**base(), key_id="k3"))
    assert isinstance(told(cell, create("one more")), KeyCreated)


def test_nothing_of_it_is_an_event_or_an_account() -> None:
    cell = StoredCell()
    for command in (redeem(), create(), EndSessions(**base()), RevokeKey(**base(), key_id="k1")):
        assert cell.fold(command).events == []
    assert cell.cell.account("demo") is None


def test_it_survives_a_restart_and_is_counted() -> None:
    cell = StoredCell(flat(100))
    told(cell, redeem())
    told(cell, create(account="other"))
    told(cell, redeem("link2", session="s2"))
    meta, state = cell.cell.meta, cell.hash()
    assert (meta.access, meta.access_taken) == (2, 3 + 4)
    cell.restart()
    assert (cell.cell.meta, cell.hash()) == (meta, state)
    assert isinstance(cell.outcome(deposit_command(credential=of_session("s2"))), Deposited)


def test_a_row_of_the_future_is_refused() -> None:
    cell = StoredCell()
    told(cell, redeem())
    row = cell.cell.access("demo")
    assert row is not None
    cell.cell.next_offset = row.applied_offset  # as a table that another worker has gone on with
    with pytest.raises(ValueError, match="two workers have written this cell"):
        cell.fold(redeem("link2", session="s2"))
    with pytest.raises(ValueError, match="sessions of account demo"):
        cell.cell.load(0, [], [], [row])


def test_records_of_before_are_read_as_they_were() -> None:
    command = open_command()
    words = codec.encode(command)
    assert words.count(b'"credential":null,') == 1
    assert codec.decode_record(words.replace(b'"credential":null,', b"")) == command


# A naive reference: what was done, in a list, judged anew at each question.

COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["redeem", "end", "end all", "create", "revoke"]),
        st.integers(0, 3),  # which link, session or key
        st.sampled_from(["n1", "n2", ""]),
        st.integers(0, HOUR_MS // 3),  # time that passes before it
        st.booleans(),  # whether it lasts long
    ),
    max_size=30,
)


class Naive:
    """Everything that ever was, and when it ended."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.used: dict[str, tuple[str, dict[str, Any]]] = {}

    def alive(self, now_ms: int) -> list[str]:
        return [one["id"] for one in self.sessions if not one["ended"] and now_ms < one["until"]]

    def redeem(self, link: str, nonce: str, session: str, now_ms: int, until_ms: int) -> Any:
        if now_ms >= NOW_MS + HOUR_MS // 4:
            return Code.LINK_EXPIRED
        if link in self.used:
            known, begun = self.used[link]
            is_same = nonce != "" and nonce == known and begun["id"] in self.alive(now_ms)
            return begun["id"] if is_same else Code.LINK_USED
        begun = {"id": session, "until": until_ms, "ended": False}
        self.sessions.append(begun)
        self.used[link] = (nonce, begun)
        return session


@given(COMMANDS)
def test_the_rules_against_a_naive_reference(asked: list[tuple[str, int, str, int, bool]]) -> None:
    cell, naive, now_ms, fresh = StoredCell(), Naive(), NOW_MS, count()
    for what, which, nonce, passed_ms, is_long in asked:
        now_ms += passed_ms
        alive, keys = naive.alive(now_ms), [key["id"] for key in naive.keys if not key["ended"]]
        expected: Any
        if what == "redeem":
            name, life_ms = f"s{next(fresh)}", HOUR_MS if is_long else HOUR_MS // 10
            expected = naive.redeem(f"link{which}", nonce, name, now_ms, now_ms + life_ms)
            outcome = told(cell, redeem(f"link{which}", nonce, name, life_ms=life_ms, time_ms=now_ms))
            found: Any = outcome.session.session_id if isinstance(outcome, SessionStarted) else code(outcome)
        elif what == "end":
            name = alive[which % len(alive)] if alive else "none"
            expected = [name] if alive else Code.SESSION_NOT_FOUND
            for one in naive.sessions:
                one["ended"] |= one["id"] == name
            outcome = told(cell, EndSessions(**base(now_ms), session_id=name))
            found = outcome.ended if isinstance(outcome, SessionsEnded) else code(outcome)
        elif what == "end all":
            expected = alive
            for one in naive.sessions:
                one["ended"] = True
            outcome = told(cell, EndSessions(**base(now_ms)))
            found = outcome.ended if isinstance(outcome, SessionsEnded) else code(outcome)
        elif what == "create":
            name = f"k{next(fresh)}"
            naive.keys.append({"id": name, "ended": False})
            expected, outcome = name, told(cell, create(name, time_ms=now_ms))
            found = outcome.key.key_id if isinstance(outcome, KeyCreated) else code(outcome)
            if len(keys) >= KEYS_MAX:
                naive.keys[-1]["ended"], expected = True, Code.LIMIT_REACHED
        else:
            name = keys[which % len(keys)] if keys else "none"
            expected = name if keys else Code.KEY_NOT_FOUND
            for one in naive.keys:
                one["ended"] |= one["id"] == name
            outcome = told(cell, RevokeKey(**base(now_ms), key_id=name))
            found = outcome.key_id if isinstance(outcome, KeyRevoked) else code(outcome)
        assert found == expected
        row = cell.cell.access("demo")
        shown = [] if row is None else [name for name in row.sessions if row.session(name, now_ms)]
        assert shown == naive.alive(now_ms)
        assert ([] if row is None else list(row.keys)) == [key["id"] for key in naive.keys if not key["ended"]]
    state, meta = cell.hash(), cell.cell.meta
    cell.restart()
    assert (cell.hash(), cell.cell.meta) == (state, meta)


def test_a_rejection_changes_nothing() -> None:
    cell = StoredCell()
    told(cell, redeem())
    before = cell.hash()
    for command in (
        redeem(nonce="x", session="s2"),
        redeem("late", time_ms=NOW_MS + HOUR_MS),
        EndSessions(**base(), session_id="none"),
        RevokeKey(**base(), key_id="none"),
        msgspec.structs.replace(create("k9"), credential=of_key("k9")),
    ):
        assert isinstance(told(cell, command), Rejection)
    assert cell.hash() == before


@pytest.mark.parametrize(("late_ms", "alive"), [(-1, True), (0, False), (1, False), (10**9, False)])
def test_a_credential_is_over_at_its_time_and_stays_so(late_ms: int, alive: bool) -> None:
    cell = StoredCell()
    told(cell, create(expires_ms=NOW_MS + HOUR_MS))
    told(cell, redeem())
    row = cell.cell.access("demo")
    assert row is not None
    at_ms = NOW_MS + HOUR_MS + late_ms
    assert (row.key("k1", at_ms) is not None) == alive
    assert (row.session("s1", at_ms) is not None) == alive


def test_a_session_that_ends_now_makes_no_room_and_is_not_kept() -> None:
    cell = StoredCell()
    told(cell, redeem(life_ms=1_000))
    begun = told(cell, redeem("other", session="s2", time_ms=NOW_MS + 1_000))
    assert isinstance(begun, SessionStarted)
    row = cell.cell.access("demo")
    assert row is not None
    assert list(row.sessions) == ["s2"]


@pytest.mark.parametrize("other", [{"scopes": ("read",)}, {"scopes": ("trade", "read")}, {"expires_ms": NOW_MS + 1}])
def test_a_key_that_was_made_otherwise_is_another_key(other: dict[str, Any]) -> None:
    cell = StoredCell()
    made = told(cell, create(expires_ms=NOW_MS + HOUR_MS))
    assert told(cell, create(expires_ms=NOW_MS + HOUR_MS)) == made
    assert code(told(cell, create(**{"expires_ms": NOW_MS + HOUR_MS, **other}))) is Code.IDEMPOTENCY_CONFLICT
