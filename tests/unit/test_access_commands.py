"""Signing in at the terminal: what is asked, where the token is kept and sent, and that it is never shown."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fakes import STATE, check_one_line, command, plain_environment
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from sign_in_fake import ACCOUNT, SignInFake, sign_in_fake

from exness_streams.cli import main
from exness_streams.client.tokens import token_path

__all__ = ["plain_environment"]  # a fixture

EMAIL = "ann@example.org"
SECRET = "session0.signed"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[SignInFake]:
    with sign_in_fake() as server:
        monkeypatch.setenv("EXNESS_URL", server.url)
        yield server


def typed(arguments: list[str], *lines: str) -> Result:
    return CliRunner().invoke(main, arguments, input="".join(f"{line}\n" for line in lines))


def login(link: str = "link0.signed") -> Result:
    return typed(["login", "--email", EMAIL], link)


def kept_files(config: Path) -> list[Path]:
    return [path for path in config.rglob("*") if path.is_file()]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.mark.parametrize(
    "pasted",
    [
        "link0.signed",
        "  link0.signed ",
        "http://127.0.0.1:4000/#verify?token=link0.signed&email=ann%40example.org",
        "https://shop.example/auth/verify?email=Ann@Example.org&token=link0.signed#x",
        "https://shop.example/auth/verify?token=link0%2Esigned",
    ],
)
def test_a_link_or_its_token_is_pasted(fake: SignInFake, config: Path, pasted: str) -> None:
    result = typed(["login"], EMAIL, pasted)
    assert result.exit_code == 0, result.output
    assert f"Signed in at {fake.url} as {EMAIL}, account {ACCOUNT}" in " ".join(result.stdout.split())
    assert "link0" not in result.output
    assert SECRET not in result.output
    (path,) = kept_files(config)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["token"] == SECRET


@pytest.mark.timeout(60)
def test_what_is_pasted_is_not_shown(fake: SignInFake) -> None:
    above, below = pty.openpty()
    script = "from exness_streams.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "login", "--email", EMAIL], stdin=below, stdout=below, stderr=below,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(below)
        shown = b""
        while b"is not shown" not in shown:
            shown += os.read(above, 1024)
        while termios.tcgetattr(above)[3] & termios.ECHO:  # what is typed before is dropped
            time.sleep(0.01)
        os.write(above, b"link0.signed\n")
        with contextlib.suppress(OSError):  # of Linux, when the other end is closed
            while more := os.read(above, 1024):
                shown += more
        assert process.wait(30) == 0, shown
    os.close(above)
    assert b"Signed in" in shown
    assert b"link0" not in shown
    assert SECRET.encode() not in shown


def test_without_a_link_it_is_given_up(fake: SignInFake, config: Path) -> None:
    result = typed(["login", "--email", EMAIL])
    assert result.exit_code == 1
    assert "Aborted" in result.output
    assert kept_files(config) == []


def test_every_command_uses_the_session_until_it_ends(fake: SignInFake, config: Path) -> None:
    assert "not signed in" in command("whoami").output
    login()
    shown = command("whoami").output
    assert EMAIL in shown
    assert "operator" in shown
    fake.first = [(200, STATE, {})]
    assert command("state").exit_code == 0
    method, path, headers, _ = fake.asked[-1]
    assert (method, path, headers["Authorization"]) == ("GET", "/api/v1/state", f"Bearer {SECRET}")
    assert "X-Account" not in headers, "the platform knows whose the token is"
    assert command("logout").output == f"Signed out of {fake.url}.\n"
    assert fake.sessions == {}
    assert kept_files(config) == []
    assert command("logout").output == f"Not signed in at {fake.url}.\n"
    fake.first = [(200, STATE, {})]
    command("state")
    assert fake.asked[-1][2]["X-Account"] == "demo"
    assert "Authorization" not in fake.asked[-1][2]


def test_an_account_that_is_named_is_sent_beside_the_token(fake: SignInFake, monkeypatch: pytest.MonkeyPatch) -> None:
    login()
    for arguments, variable in ((("--account", "bob"), ""), ((), "bob")):
        monkeypatch.setenv("EXNESS_ACCOUNT", variable)
        fake.first = [(409, {"message": "Another account", "error": "ACCOUNT_CHANGED"}, {})]
        assert json.loads(command("state", *arguments, "--json").stderr)["error"] == "ACCOUNT_CHANGED"
        assert fake.asked[-1][2]["X-Account"] == "bob"


def test_the_environment_wins(fake: SignInFake, monkeypatch: pytest.MonkeyPatch) -> None:
    login()
    monkeypatch.setenv("EXNESS_TOKEN", " exn_other\n")
    fake.first = [(200, STATE, {})]
    command("state")
    assert fake.asked[-1][2]["Authorization"] == "Bearer exn_other"
    monkeypatch.setenv("EXNESS_TOKEN", "")
    fake.first = [(200, STATE, {})]
    command("state")
    assert fake.asked[-1][2]["Authorization"] == f"Bearer {SECRET}"


def test_a_token_goes_to_its_own_server_alone(fake: SignInFake, config: Path) -> None:
    login()
    (path,) = kept_files(config)
    with sign_in_fake() as other:
        other.first = [(200, STATE, {})]
        command("state", "--url", other.url)
        assert "Authorization" not in other.asked[-1][2]
        # Not even when its file is put in the other's place.
        token_path(other.url).write_bytes(path.read_bytes())
        token_path(other.url).chmod(0o600)
        result = command("state", "--url", other.url, "--json")
        assert result.exit_code == 1
        assert f"was made for {fake.url}" in json.loads(result.stderr)["message"]
        assert len(other.asked) == 1


@pytest.mark.parametrize("url", ["HTTP://127.0.0.1:{}", "http://127.0.0.1:{}/"])
def test_a_server_is_the_same_however_it_is_written(fake: SignInFake, url: str) -> None:
    login()
    result = command("whoami", "--url", url.format(fake.server_port))
    assert EMAIL in result.output


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620, 0o610])
def test_a_file_that_others_can_reach_is_refused_with_the_cure(
    fake: SignInFake, config: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    login()
    (path,) = kept_files(config)
    path.chmod(mode)
    asked = len(fake.asked)
    check_one_line(command("state"), 1, capsys, f"chmod 600 {path}")
    assert len(fake.asked) == asked
    refused = command("keys", "list", "--json")
    assert json.loads(refused.stderr)["error"] == "INVALID_TOKEN"
    assert command("logout").exit_code == 0, "what is refused can still be ended"
    assert kept_files(config) == []
    assert fake.sessions == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff", b"x" * 100_000])
def test_a_file_that_is_no_token_is_told_and_replaced(
    fake: SignInFake, config: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    login()
    (path,) = kept_files(config)
    path.write_bytes(content)
    check_one_line(command("state"), 1, capsys, "holds no token", "exness-streams login")
    assert login("link1.signed").exit_code == 0
    assert EMAIL in command("whoami").output


def test_signing_in_again_ends_the_session_before(fake: SignInFake) -> None:
    login()
    login("link1.signed")
    assert list(fake.sessions) == ["session1.signed"]
    fake.sessions.clear()
    result = login("link2.signed")
    assert result.exit_code == 0
    assert "could not be ended" not in result.output, "it had ended before"


def test_a_wrong_link_may_be_followed_by_the_right_one(fake: SignInFake) -> None:
    result = typed(["login", "--email", EMAIL], "https://example.org/", "nonsense", "link0.signed")
    assert result.exit_code == 0, result.output
    assert "there is no token in this link" in result.output
    assert "This link was used or has expired" in result.output
    assert "nonsense" not in result.output
    assert len({body["nonce"] for _, path, _, body in fake.asked if path == "/api/auth/verify"}) == 1


def test_three_wrong_links_end_it(fake: SignInFake, config: Path) -> None:
    wrong = "http://x/#verify?token=t&email=bob%40example.org"
    result = typed(["login", "--email", EMAIL], wrong, "nonsense", "nonsense", "link0.signed")
    assert result.exit_code == 1
    assert f"mailed to another address than {EMAIL}" in result.output
    assert kept_files(config) == []


def test_a_session_that_cannot_be_kept_is_ended(
    fake: SignInFake, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("in the way")
    result = login()
    assert result.exit_code == 1
    assert "can't be kept" in result.output + capsys.readouterr().err
    assert fake.sessions == {}


def test_logout_removes_the_token_though_nobody_answers(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sign_in_fake() as gone:
        monkeypatch.setenv("EXNESS_URL", gone.url)
        login()
    check_one_line(command("logout"), 1, capsys, "removed here", "lives on until", "no answer from")
    assert kept_files(config) == []


def test_logout_of_a_session_that_has_ended(fake: SignInFake) -> None:
    login()
    fake.sessions.clear()
    assert command("logout").exit_code == 0


@pytest.mark.parametrize("arguments", [("login", "--email", EMAIL), ("state",), ("keys",), ("watch",)])
def test_no_token_leaves_the_machine_over_plain_http(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXNESS_TOKEN", SECRET)
    monkeypatch.setenv("EXNESS_URL", "http://192.0.2.1:4000")
    check_one_line(command(*arguments), 1, capsys, "over plain http", "--insecure")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://127.0.0.1:x", "http://"])
@pytest.mark.parametrize("arguments", [("login", "--email", EMAIL), ("logout",), ("whoami",)])
def test_an_address_that_is_none(url: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    check_one_line(command(*arguments, "--url", url), 1, capsys, url.rstrip("/"))


def test_keys_are_made_shown_and_revoked(fake: SignInFake) -> None:
    login()
    assert command("keys").output == "no API keys\n"
    made = command("keys", "create", "my bot", "--scope", "trade", "--expires", "30d")
    assert made.exit_code == 0, made.output
    assert "exn_secret" in made.output.splitlines()
    body = fake.asked[-1][3]
    assert (body["name"], body["scopes"]) == ("my bot", ["read", "trade"])
    assert body["expiresAt"] > 1_700_000_000_000 + 30 * 86_400_000
    assert "Idempotency-Key" in fake.asked[-1][2]
    for shown in (command("keys"), command("keys", "list")):
        assert "my bot" in shown.output
        assert "exn_secret" not in shown.output
    assert command("keys", "revoke", "key_0").output == "API key revoked\n"
    assert fake.keys == {}
    missing = command("keys", "revoke", "key_0", "--json")
    assert json.loads(missing.stderr)["error"] == "NOT_FOUND"


def test_a_key_looks_only_if_nothing_else_is_said(fake: SignInFake) -> None:
    login()
    made = command("keys", "create", "looker", "--json")
    assert json.loads(made.stdout)["key"] == "exn_secret"
    assert fake.asked[-1][3] == {"name": "looker", "scopes": ["read"]}


def test_sessions_are_shown_and_ended(fake: SignInFake) -> None:
    login()
    fake.sessions["elsewhere.signed"] = "ses_7"
    for shown in (command("sessions"), command("sessions", "list")):
        assert re.search(r"ses_0 +this one", shown.output)
        assert "ses_7" in shown.output
        assert "signed" not in shown.output.replace("Signed", "")
    assert command("sessions", "end", "ses_7").output == "Session ended\n"
    assert list(fake.sessions.values()) == ["ses_0"]
    assert json.loads(command("sessions", "end", "ses_7", "--json").stderr)["error"] == "NOT_FOUND"
    assert command("sessions", "end-all").output == "All sessions ended\n"
    assert fake.sessions == {}


@pytest.mark.parametrize(("words", "offered"), [(["keys", "revoke"], ["key_0"]), (["sessions", "end"], ["ses_0"])])
def test_ids_are_offered(fake: SignInFake, words: list[str], offered: list[str]) -> None:
    login()
    command("keys", "create", "bot")
    shell = ShellComplete(main, {}, "exness-streams", "_EXNESS_STREAMS_COMPLETE")
    assert [item.value for item in shell.get_completions(words, "")] == offered
