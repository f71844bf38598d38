"""Deposits with a credential among what begins and ends credentials: who may, and that a restart changes nothing."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from trading_samples import NOW_MS, StoredCell, deposit_command

from exness_streams.domain.commands import Command
from exness_streams.domain.events import Deposited
from exness_streams.domain.identity import (
    AccessCommand,
    CreateKey,
    EndSessions,
    RedeemLink,
    RevokeKey,
    of_key,
    of_session,
)
from exness_streams.domain.rejections import Rejection, RejectionCode

ACCOUNTS = ("ann", "bob")
LIFE_MS = 60_000


class Step(NamedTuple):
    """what: is done by or to the nth credential of all there ever were. late_ms: since the step before."""

    what: str
    account: str
    nth: int
    late_ms: int
    restarts: bool


STEPS = st.builds(
    Step,
    st.sampled_from(["sign in", "key", "reading key", "sign out", "all out", "revoke", *["deposit"] * 4]),
    st.sampled_from(ACCOUNTS),
    st.integers(0, 7),
    st.sampled_from([0, 0, 1, LIFE_MS // 4, LIFE_MS]),
    st.booleans(),
)


class Book:
    """Credentials by name: whose, until when, what for; all that ends one is written down."""

    def __init__(self) -> None:
        self.credentials: dict[str, dict[str, Any]] = {}

    def note(self, name: str, account: str, until_ms: int, kind: str) -> None:
        self.credentials[name] = {"account": account, "until_ms": until_ms, "kind": kind}

    def end(self, account: str, name: str | None = None) -> None:
        for known, one in self.credentials.items():
            ends = one["kind"] == "session" if name is None else known == name
            if one["account"] == account and ends:
                one["until_ms"] = 0

    def judged(self, name: str, account: str, now_ms: int) -> RejectionCode | None:
        one = self.credentials[name]
        if one["account"] != account or now_ms >= one["until_ms"]:
            return RejectionCode.UNAUTHORIZED
        return RejectionCode.FORBIDDEN if one["kind"] == "reading key" else None


def command_of(step: Step, book: Book, number: int, now_ms: int) -> tuple[Command | AccessCommand, str]:
    """The command, and the credential that it is about or shows."""
    base = {"command_id": f"c{number}", "account_id": step.account, "time_ms": now_ms}
    until_ms, fresh = now_ms + LIFE_MS, f"n{number}"
    names = list(book.credentials)
    shown = names[step.nth % len(names)] if names else of_session("none")
    kind, _, inner = shown.partition("/")
    match step.what:
        case "sign in":
            book.note(of_session(fresh), step.account, until_ms, "session")
            link = {"link": fresh, "nonce": "nonce", "link_expires_ms": until_ms, "agent": "a browser"}
            return RedeemLink(**base, **link, session_id=fresh, session_expires_ms=until_ms), shown
        case "key" | "reading key":
            book.note(of_key(fresh), step.account, until_ms, step.what)
            scopes = ["read"] if step.what == "reading key" else ["read", "trade"]
            key = {"key_id": fresh, "name": "bot", "scopes": scopes, "secret": "digest", "expires_ms": until_ms}
            return CreateKey(**base, **key), shown
        case "sign out":
            name = inner if kind == "session" else "none"
            book.end(step.account, of_session(name))
            return EndSessions(**base, session_id=name), shown
        case "all out":
            book.end(step.account)
            return EndSessions(**base), shown
        case "revoke":
            name = inner if kind == "key" else "none"
            book.end(step.account, of_key(name))
            return RevokeKey(**base, key_id=name), shown
    paid = deposit_command(1, account=step.account, time_ms=now_ms)
    return msgspec.structs.replace(paid, credential=shown), shown


@given(st.lists(STEPS, max_size=20))
def test_who_may_act_and_that_a_restart_changes_nothing(steps: list[Step]) -> None:
    lasting, restarted, book, now_ms, numbers = StoredCell(), StoredCell(), Book(), NOW_MS, count()
    for step in steps:
        now_ms += step.late_ms
        command, shown = command_of(step, book, next(numbers), now_ms)
        replies = [cell.fold(command).reply for cell in (lasting, restarted)]
        assert replies[0] == replies[1]
        assert replies[0] is not None
        if step.what == "deposit" and book.credentials:
            outcome = replies[0].outcome
            refused = outcome.code if isinstance(outcome, Rejection) else None
            assert refused == book.judged(shown, step.account, now_ms)
            assert refused is not None or isinstance(outcome, Deposited)
        if step.restarts:
            restarted.restart()
        assert lasting.hash() == restarted.hash()
        assert lasting.cell.meta == restarted.cell.meta
