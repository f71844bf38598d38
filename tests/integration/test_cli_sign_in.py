"""The command line and the Python client where nobody trades without signing in, against a platform that runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mailed_links import Mailbox, open_mailbox
from platform_harness import GIVE_UP_S, PlatformThread, until

from exness_streams.cli import main
from exness_streams.client.http import ApiClient
from exness_streams.client.refusals import RequestFailed
from exness_streams.client.stream import follow
from exness_streams.terminal.watching import JsonLines

_MAIN = "from exness_streams.cli import main; main()"
EMAIL = "ann@example.org"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with open_mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[PlatformThread]:
    thread = PlatformThread(
        tmp_path_factory.mktemp("platform"),
        auth="required",
        secret_key=("of this test alone, and long enough",),
        sign_in_limit="",
        max_quote_age_ms=3_600_000,
    )
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def platform(running: PlatformThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PlatformThread:
    for name in [name for name in os.environ if name.startswith("EXNESS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EXNESS_URL", url_of(running))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return running


def url_of(platform: PlatformThread) -> str:
    return f"http://127.0.0.1:{platform.port}"


def said(*arguments: str, refused: str = "") -> str:
    """What a command prints that succeeds, or that is refused with a code."""
    result = CliRunner().invoke(main, [*arguments, "--json"] if refused else list(arguments))
    assert result.exit_code == (1 if refused else 0), result.output
    if refused:
        assert json.loads(result.stderr)["error"] == refused
    return result.output


def login(mailbox: Mailbox, email: str, link: str = "") -> tuple[int, str]:
    """Sign in as a person does who pastes what was mailed: the exit code, and all that was printed."""
    address = email.lower()
    count = sum(whose == address for whose, _ in mailbox.links) + 1
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, "login", "--email", email],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        mailed: str = until(lambda: mailbox.link_of(address, count))
        printed, _ = process.communicate(f"{link or mailed}\n", timeout=GIVE_UP_S)
    return process.returncode, printed


def token_for(platform: PlatformThread, mailbox: Mailbox, email: str) -> str:
    """Sign in as a program does."""
    guest = ApiClient(url_of(platform), None)
    count = sum(whose == email for whose, _ in mailbox.links) + 1
    guest.request_link(email)
    link: str = until(lambda: mailbox.link_of(email, count))
    token = guest.redeem(link.partition("token=")[2].partition("&")[0], email).token
    assert token is not None
    return token


def test_a_day(platform: PlatformThread, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "SOL_USDC" in said("markets"), "prices are for everybody"
    assert "not signed in" in said("whoami")
    for command in (["state"], ["open", "SOL", "long", "--margin", "1"], ["trades"], ["keys"], ["sessions"]):
        said(*command, refused="UNAUTHORIZED")
    code, printed = login(mailbox, "Ann@Example.org")
    assert code == 0, printed
    assert f"as {EMAIL}" in printed
    assert EMAIL in said("whoami")
    opened = said("open", "SOL", "long", "--margin", "100", "--leverage", "2")
    (position_id,) = re.findall(r"close (pos_\w+)", opened)
    assert position_id in said("state")
    said("state", "--account", "bob", refused="ACCOUNT_CHANGED")
    assert "exness-streams/" in said("sessions"), "the session is listed by what signed in"

    made = json.loads(said("keys", "create", "looker", "--expires", "30d", "--json"))
    monkeypatch.setenv("EXNESS_TOKEN", made["key"])
    assert position_id in said("state")
    for command in (["close", position_id], ["keys"], ["keys", "create", "another"], ["sessions"]):
        said(*command, refused="FORBIDDEN")
    monkeypatch.delenv("EXNESS_TOKEN")
    assert "looker" in said("keys")
    said("keys", "revoke", made["id"])
    monkeypatch.setenv("EXNESS_TOKEN", made["key"])
    said("state", refused="UNAUTHORIZED")
    monkeypatch.delenv("EXNESS_TOKEN")

    assert "1 of 1 positions closed" in said("close-all")
    assert "Signed out" in said("logout")
    said("state", refused="UNAUTHORIZED")


def test_a_link_works_once(platform: PlatformThread, mailbox: Mailbox) -> None:
    email = "once@example.org"
    assert login(mailbox, email)[0] == 0
    used = mailbox.link_of(email)
    assert used is not None
    said("logout")
    code, printed = login(mailbox, email, link="\n".join([used] * 3))
    assert code == 1
    assert len(re.findall("used", printed)) == 3, printed
    said("state", refused="UNAUTHORIZED")


@pytest.mark.parametrize("how", ["the session", "all of them", "logout"])
def test_a_stream_ends_with_its_session(platform: PlatformThread, mailbox: Mailbox, how: str) -> None:
    email = f"{how.replace(' ', '')}@example.org"
    token = token_for(platform, mailbox, email)
    watcher = ApiClient(url_of(platform), None, token=token)
    other = ApiClient(url_of(platform), None, token=token_for(platform, mailbox, email))
    (session_id,) = (one.id for one in watcher.sessions().sessions if one.current)
    heard: list[bytes] = []
    ended: list[str] = []

    def watch() -> None:
        try:
            follow(url_of(platform), JsonLines(None, heard.append, ended.append), lambda: None, token=token)
        except RequestFailed as failed:
            ended.append(str(failed))

    thread = threading.Thread(target=watch)
    thread.start()
    until(lambda: any(b'"type":"state"' in frame for frame in heard))
    if how == "the session":
        other.end_session(session_id)
    elif how == "all of them":
        other.end_sessions()
    else:
        watcher.logout()
    thread.join(GIVE_UP_S)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert "sign in again with `exness-streams login`" in ended[0]


def test_the_same_nonce_gives_the_same_session(platform: PlatformThread, mailbox: Mailbox) -> None:
    guest = ApiClient(url_of(platform), None)
    guest.request_link("nonce@example.org")
    link: str = until(lambda: mailbox.link_of("nonce@example.org"))
    token = link.partition("token=")[2].partition("&")[0]
    first = guest.redeem(token, "nonce@example.org", "n" * 16)
    assert guest.redeem(token, "nonce@example.org", "n" * 16).token == first.token
    with pytest.raises(RequestFailed) as refused:
        guest.redeem(token, "nonce@example.org", "m" * 16)
    assert refused.value.status == 400
    client = ApiClient(url_of(platform), None, token=first.token)
    assert len(client.sessions().sessions) == 1


def test_a_key_that_is_asked_for_again_is_the_same(platform: PlatformThread, mailbox: Mailbox) -> None:
    client = ApiClient(url_of(platform), None, token=token_for(platform, mailbox, "keys@example.org"))
    key = client.create_key({"name": "bot", "scopes": ["read", "trade"]})
    program = ApiClient(url_of(platform), None, token=key.key)
    assert program.me().scopes == ["read", "trade"]
    program.open({"asset": "SOL", "type": "long", "margin": 10})
    with pytest.raises(RequestFailed, match="an API key may do what its scopes say"):
        program.create_key({"name": "another", "scopes": ["read"]})
    client.revoke_key(key.id)
    with pytest.raises(RequestFailed, match="the API key is not valid"):
        program.state()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    """A platform on which nobody may ask for much."""
    thread = PlatformThread(
        tmp_path_factory.mktemp("busy"),
        rate_limit="20 per 1 second",
        sign_in_limit="1 per minute",
        max_quote_age_ms=3_600_000,
    )
    try:
        yield thread.start()
    finally:
        thread.stop()


def test_reads_wait_as_they_are_told(busy: PlatformThread) -> None:
    client = ApiClient(url_of(busy), "reader")
    assert {client.state().account.account_id for _ in range(45)} == {"reader"}


def test_too_many_links_are_refused_with_when_to_come_back(busy: PlatformThread) -> None:
    client = ApiClient(url_of(busy), None)
    with pytest.raises(RequestFailed, match=r"; try again in [1-9][0-9]? s$") as refused:
        for _ in range(3):
            client.request_link("often@example.org")
    assert refused.value.status == 429
