"""The platform's secrets: from the settings, else made once for a data directory, whoever starts beside."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.identity.api_keys import ShownKey, new_key, read_key
from exness_streams.identity.secret_keys import FILE, SecretKeys, secret_keys
from exness_streams.settings.platform import ConfigError, load_settings
from exness_streams.transport.embedded.log import EmbeddedLog

SECRET, PEPPER = "s" * 40, "p" * 40


def test_the_settings_win_and_no_file_is_made(tmp_path: Path) -> None:
    keys = secret_keys(load_settings(data_dir=tmp_path, secret_key=(SECRET,), pepper=PEPPER))
    assert keys == SecretKeys((SECRET.encode(),), PEPPER.encode())
    assert not (tmp_path / FILE).exists()


def test_they_are_made_once(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "not" / "there")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: secret_keys(settings), range(32)))
    assert len(set(found)) == 1
    assert [path.name for path in settings.data_dir.iterdir()] == [FILE]
    assert (settings.data_dir / FILE).stat().st_mode & 0o777 == 0o600
    assert secret_keys(load_settings(data_dir=tmp_path / "another")) not in found


def test_secrets_that_are_gone_are_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(data_dir=tmp_path)
    secret_keys(settings)
    assert not caplog.messages, "a new directory lacks nothing"
    (tmp_path / FILE).unlink()
    EmbeddedLog.open(settings.log_dir).close()
    secret_keys(settings)
    (said,) = caplog.messages
    assert f"there was no {tmp_path / FILE} beside the log" in said
    assert "restore" in said
    secret_keys(settings)
    assert len(caplog.messages) == 1


def test_what_is_set_goes_before_what_is_kept(tmp_path: Path) -> None:
    kept = secret_keys(load_settings(data_dir=tmp_path))
    mixed = secret_keys(load_settings(data_dir=tmp_path, secret_key=(SECRET,)))
    assert mixed == SecretKeys((SECRET.encode(),), kept.pepper)


@pytest.mark.parametrize(
    "words",
    ["", "{", "[]", "{}", '{"secretKey": "short", "pepper": "short"}', json.dumps({"secretKey": SECRET}), "null"],
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, words: str) -> None:
    (tmp_path / FILE).write_text(words)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(ConfigError, match=f"{FILE} does not hold the platform's secrets: restore it from a backup"):
        secret_keys(load_settings(data_dir=tmp_path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    secret_keys(load_settings(data_dir=tmp_path))
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ConfigError, match="can be read by others: chmod 600"):
        secret_keys(load_settings(data_dir=tmp_path))


def test_an_account_hangs_on_the_address_and_the_pepper() -> None:
    one, two = SecretKeys((b"x",), b"p" * 32), SecretKeys((b"y",), b"q" * 32)
    assert one.account_id("a@b.c") == SecretKeys((b"other",), b"p" * 32).account_id("a@b.c")
    assert len({one.account_id("a@b.c"), one.account_id("a@b.d"), two.account_id("a@b.c")}) == 3
    assert one.pepper_mark != two.pepper_mark
    assert one.digest("nonce", "x") != one.digest("link", "x")


def test_api_keys_are_read_as_they_are_shown() -> None:
    key = new_key("u_1")
    assert read_key(str(key)) == key
    assert key.matches(key.digest)
    assert not new_key("u_1").matches(key.digest)
    assert key.secret not in repr(key)


@given(st.text(max_size=120))
def test_other_texts_are_no_api_keys(text: str) -> None:
    for shown in (text, f"exn_{text}", f"exn_u_1.0123456789abcdef.{text}"):
        read = read_key(shown)
        assert read is None or str(read) == shown


def test_an_api_key_has_no_room_for_more() -> None:
    shown = str(ShownKey("u_1", "0123456789abcdef", "s" * 43))
    for odd in (shown + "\n", " " + shown, shown + ".", shown.upper(), shown.replace(".", "/"), shown[:-20]):
        assert read_key(odd) is None
