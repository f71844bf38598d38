"""Tokens: what one key has signed the others verify, each kind is good for its purpose alone, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from guards import KEYS
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.identity.secret_keys import SecretKeys
from exness_streams.identity.tokens import LINK_LIFE_MS, NotOurs, Tokens

NOW_MS = int(time.time() * 1000)
OLD, NEW = b"the old key of more than 32 bytes, yes", b"the new key of more than 32 bytes, yes"
TOKENS = Tokens(KEYS)
LINK = TOKENS.link("u_1", "a@b.c", "random", NOW_MS)
SESSION = TOKENS.session("u_1", "s1", "a@b.c", NOW_MS + 3_600_000)
PASSING = TOKENS.passing({"m": "GET"}, NOW_MS // 1000 + 3_600)
READERS: dict[str, Callable[[str], Any]] = {
    "link": TOKENS.read_link,
    "session": TOKENS.read_session,
    "passing": TOKENS.read_passing,
}


def test_each_is_read_as_it_was_made() -> None:
    link = TOKENS.read_link(LINK)
    assert (link.account_id, link.email) == ("u_1", "a@b.c")
    assert abs(link.expires_ms - NOW_MS - LINK_LIFE_MS) < 1_000
    assert link.digest != "random"
    session = TOKENS.read_session(SESSION)
    assert (session.account_id, session.session_id, session.email) == ("u_1", "s1", "a@b.c")
    assert TOKENS.read_passing(PASSING)["m"] == "GET"


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("token", [LINK, SESSION, PASSING])
def test_none_is_good_for_another_purpose(kind: str, token: str) -> None:
    if {"link": LINK, "session": SESSION, "passing": PASSING}[kind] != token:
        with pytest.raises(NotOurs):
            READERS[kind](token)


def test_a_key_is_changed_without_ending_what_the_old_one_signed() -> None:
    old, both, new = (Tokens(SecretKeys(keys, b"pepper")) for keys in ((OLD,), (NEW, OLD), (NEW,)))
    token = old.session("u_1", "s1", "a@b.c", NOW_MS + 3_600_000)
    assert both.read_session(token).session_id == "s1"
    assert new.read_session(both.session("u_1", "s2", "a@b.c", NOW_MS + 3_600_000)).session_id == "s2"
    with pytest.raises(NotOurs):
        new.read_session(token)


def test_what_is_over_is_told_apart() -> None:
    with pytest.raises(NotOurs, match="it is over"):
        TOKENS.read_session(TOKENS.session("u_1", "s1", "a@b.c", NOW_MS - 1_000))
    with pytest.raises(NotOurs, match="it is over"):
        TOKENS.read_passing(TOKENS.passing({}, NOW_MS // 1000 - 3_600))
    # Of a link its cell says so, which also knows whether it was used.
    assert TOKENS.read_link(TOKENS.link("u_1", "a@b.c", "x", NOW_MS - 3_600_000)).expires_ms < NOW_MS


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": "session"},
        {"aud": "session", "exp": 4_000_000_000},
        {"aud": "session", "exp": 4_000_000_000, "acc": "u", "sid": 5, "email": "e"},
        {"aud": "session", "exp": 4_000_000_000, "acc": None, "sid": "s", "email": "e"},
        {"aud": "session", "exp": "4000000000", "acc": "u", "sid": "s", "email": "e"},
        {"aud": "session", "exp": 4e9, "acc": "u", "sid": "s", "email": "e"},
        {"aud": "session", "exp": True, "acc": "u", "sid": "s", "email": "e"},
        {"aud": ["link"], "exp": 4_000_000_000, "acc": "u", "sid": "s", "email": "e"},
        {"aud": "session", "acc": "u", "sid": "s", "email": "e"},
    ],
)
def test_a_token_that_we_signed_ourselves_has_to_be_in_shape(claims: dict[str, Any]) -> None:
    with pytest.raises(NotOurs):
        TOKENS.read_session(jwt.encode(claims, KEYS.signing[0], "HS256"))


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    claims = {"aud": "session", "exp": 4_000_000_000, "acc": "u", "sid": "s", "email": "e"}
    with pytest.raises(NotOurs):
        TOKENS.read_session(jwt.encode(claims, None if algorithm == "none" else KEYS.signing[0] * 2, algorithm))


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_none(text: str) -> None:
    for read in READERS.values():
        with pytest.raises(NotOurs):
            read(text)


@given(st.integers(0, len(SESSION) - 1), st.sampled_from("aZ0_-."))
def test_a_changed_letter_is_noticed(at: int, letter: str) -> None:
    changed = SESSION[:at] + letter + SESSION[at + 1 :]
    try:
        read = TOKENS.read_session(changed)
    except NotOurs:
        return
    # The last letter of a part has bits that mean nothing.
    assert read == TOKENS.read_session(SESSION)


def test_nothing_shows_the_keys() -> None:
    assert "secret" not in repr(KEYS)
    assert "pepper" not in repr(KEYS).lower()
    assert "secret" not in f"{KEYS}"
