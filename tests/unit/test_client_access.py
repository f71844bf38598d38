"""The Python client with a token: where it is sent and where never, refusals in plain words, waiting when told to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websockets.sync.server
from cli_fakes import POSITION, STATE
from sign_in_fake import ACCOUNT, SignInFake, sign_in_fake

from exness_streams.client import http as client_http
from exness_streams.client.http import ApiClient
from exness_streams.client.refusals import RequestFailed
from exness_streams.client.stream import follow
from exness_streams.terminal.watching import Watch

SECRET = "session0.signed"


@pytest.fixture
def fake() -> Iterator[SignInFake]:
    with sign_in_fake() as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(client_http.time, "sleep", slept.append)
    return slept


def test_signing_in_and_all_that_a_session_may(fake: SignInFake) -> None:
    guest = ApiClient(fake.url, None)
    assert guest.me().kind == "guest"
    guest.request_link("ann@example.org")
    ((_, link),) = fake.mails
    signed_in = guest.redeem(link, "ann@example.org", "n" * 16)
    assert guest.redeem(link, "ann@example.org", "n" * 16).token == signed_in.token, "the same nonce, the same session"
    with pytest.raises(RequestFailed, match=r"^This link was used or has expired"):
        guest.redeem(link, "ann@example.org")
    assert signed_in.token is not None
    assert signed_in.token not in repr(signed_in)

    client = ApiClient(fake.url, None, token=signed_in.token)
    me = client.me()
    assert (me.kind, me.account, me.email, me.operator) == ("session", ACCOUNT, "ann@example.org", True)
    (session,) = client.sessions().sessions
    assert session.current
    key = client.create_key({"name": "bot", "scopes": ["read"]})
    assert key.key == "exn_secret"
    assert key.key not in repr(key)
    assert [one.id for one in client.keys().keys] == [key.id]
    assert client.revoke_key(key.id).message == "API key revoked"
    assert client.keys().keys == []
    with pytest.raises(RequestFailed, match="NOT_FOUND"):
        client.end_session("../keys?x")
    assert fake.asked[-1][1] == "/api/auth/sessions/..%2Fkeys%3Fx", "an id is one part of the path"
    client.end_session(session.id)
    with pytest.raises(RequestFailed, match="sign in again with `exness-streams login`"):
        client.logout()


@pytest.mark.parametrize("account", [None, "ann"])
def test_a_token_is_sent_as_bearer_and_an_account_only_when_named(fake: SignInFake, account: str | None) -> None:
    fake.first = [(200, STATE, {}), (201, POSITION, {})]
    client = ApiClient(fake.url, account, token=SECRET)
    client.state()
    client.open({"asset": "SOL"})
    for _, _, headers, _ in fake.asked:
        assert headers["Authorization"] == f"Bearer {SECRET}"
        assert headers.get("X-Account") == account


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "ask", [lambda client: client.state(), lambda client: client.open({}), lambda client: client.redeem("t", "e")]
)
def test_nothing_follows_to_another_server(fake: SignInFake, status: int, ask: Callable[[ApiClient], Any]) -> None:
    with sign_in_fake() as other:
        fake.first = [(status, b"", {"Location": f"{other.url}/api/v1/state"})]
        with pytest.raises(RequestFailed, match=f"the platform is at another address: {other.url}"):
            ask(ApiClient(fake.url, None, token=SECRET))
        assert other.asked == []


@pytest.mark.parametrize("url", ["http://example.org", "HTTP://10.0.0.1:4000", "http://0.0.0.0:4000"])
def test_over_plain_http_a_token_leaves_the_machine_only_when_allowed(url: str) -> None:
    with pytest.raises(RequestFailed, match="over plain http") as refused:
        ApiClient(url, None, token=SECRET).state()
    assert SECRET not in str(refused.value)
    with pytest.raises(RequestFailed, match="over plain http"):
        follow(url, Watch(None), lambda: None, token=SECRET)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é", "a" * 5000, "a\r\nX-Account: x"])
def test_a_token_that_is_none_is_not_told(fake: SignInFake, token: str) -> None:
    for ask in (
        lambda: ApiClient(fake.url, None, token=token).state(),
        lambda: follow(fake.url, Watch(None), lambda: None, token=token),
    ):
        with pytest.raises(RequestFailed) as refused:
            ask()
        assert not token or token not in str(refused.value)
    assert fake.asked == []


def refused(code: str) -> dict[str, str]:
    return {"message": "as a test.", "error": code}


@pytest.mark.parametrize(
    ("status", "said", "token", "told"),
    [
        (401, refused("UNAUTHORIZED"), None, "UNAUTHORIZED: as a test; sign in with `exness-streams login`"),
        (401, refused("UNAUTHORIZED"), SECRET, "UNAUTHORIZED: as a test; sign in again with `exness-streams login`"),
        (401, refused("UNAUTHORIZED"), "exn_x", "UNAUTHORIZED: as a test; the API key is not valid (any more)"),
        (401, b"<html>", None, "HTTP 401: Unauthorized; sign in with `exness-streams login`"),
        (403, refused("FORBIDDEN"), SECRET, "FORBIDDEN: as a test."),
        (403, refused("FORBIDDEN"), "exn_x", "FORBIDDEN: as a test; an API key may do what its scopes say"),
        (409, refused("ACCOUNT_CHANGED"), SECRET, "leave --account (EXNESS_ACCOUNT) out"),
        (409, refused("IDEMPOTENCY_CONFLICT"), SECRET, "IDEMPOTENCY_CONFLICT: as a test."),
        (429, refused("RATE_LIMITED"), SECRET, "RATE_LIMITED: as a test; try again later"),
        (503, refused("OVERLOADED"), SECRET, "OVERLOADED: as a test; try again later"),
        (503, refused("REBALANCING"), SECRET, "REBALANCING: as a test; try again later"),
        (503, refused("PRICE_UNAVAILABLE"), SECRET, "PRICE_UNAVAILABLE: as a test."),
    ],
)
def test_refusals_say_what_helps(
    fake: SignInFake, status: int, said: Any, token: str | None, told: str, pauses: list[float]
) -> None:
    fake.first = [(status, said, {})] * 2
    with pytest.raises(RequestFailed) as failed:
        ApiClient(fake.url, None, token=token).state()
    assert told in str(failed.value)
    assert failed.value.status == status
    assert len(fake.asked) == 1
    assert pauses == []


@pytest.mark.parametrize(("status", "code"), [(429, "RATE_LIMITED"), (503, "REBALANCING"), (503, "OVERLOADED")])
def test_a_read_waits_once_as_it_is_told(fake: SignInFake, pauses: list[float], status: int, code: str) -> None:
    too_often = (status, refused(code), {"Retry-After": "7"})
    fake.first = [too_often, (200, STATE, {})]
    ApiClient(fake.url, None).state()
    assert pauses == [7]
    fake.first = [too_often, too_often, (200, STATE, {})]
    with pytest.raises(RequestFailed, match="try again in 7 s"):
        ApiClient(fake.url, None).state()
    assert pauses == [7, 7]


@pytest.mark.parametrize(
    ("retry_after", "told"),
    [("31", "try again in 31 s"), ("-1", "try again later"), ("soon", "later"), ("9" * 400, "later"), ("", "later")],
)
def test_nobody_waits_for_longer_than_a_person_would(
    fake: SignInFake, retry_after: str, told: str, pauses: list[float]
) -> None:
    fake.first = [(429, refused("RATE_LIMITED"), {"Retry-After": retry_after})]
    with pytest.raises(RequestFailed, match=told):
        ApiClient(fake.url, None).state()
    assert pauses == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda url: ApiClient(url, None).open({}),
        lambda url: ApiClient(url, None, attempts=1).state(),
        lambda url: ApiClient(url, None, token=SECRET).revoke_key("key_0"),
    ],
    ids=["a change", "one attempt", "a deletion"],
)
@pytest.mark.parametrize(("status", "code"), [(429, "RATE_LIMITED"), (503, "REBALANCING"), (503, "OVERLOADED")])
def test_a_change_is_not_sent_again(
    fake: SignInFake, ask: Callable[[str], Any], pauses: list[float], status: int, code: str
) -> None:
    fake.first = [(status, refused(code), {"Retry-After": "1"})]
    with pytest.raises(RequestFailed, match="try again in 1 s"):
        ask(fake.url)
    assert pauses == []
    assert len(fake.asked) == 1


@contextlib.contextmanager
def stream_server(code: int) -> Iterator[tuple[str, list[str | None]]]:
    """Closes each stream with a code; what each had for authorization."""
    heard: list[str | None] = []

    def serve(connection: websockets.sync.server.ServerConnection) -> None:
        assert connection.request is not None
        heard.append(connection.request.headers.get("Authorization"))
        connection.close(code, "the session was ended")

    with websockets.sync.server.serve(serve, "127.0.0.1", 0) as server:
        import threading

        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", heard
        server.shutdown()
        thread.join()


def test_a_stream_whose_session_ends_is_not_opened_again() -> None:
    with stream_server(4401) as (url, heard):
        with pytest.raises(RequestFailed, match="the session was ended; sign in again"):
            follow(url, Watch(None), lambda: None, token=SECRET)
        assert heard == [f"Bearer {SECRET}"]


class Enough(Exception):
    """Ends a follower."""


def test_a_stream_that_breaks_is_opened_again_with_its_token() -> None:
    with stream_server(1013) as (url, heard):

        def on_tick() -> None:
            if len(heard) == 2:
                raise Enough

        with pytest.raises(Enough):
            follow(url, Watch(None), on_tick, token=SECRET)
        assert heard == [f"Bearer {SECRET}"] * 2
