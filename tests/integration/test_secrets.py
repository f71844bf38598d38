"""Secrets are in no message, log line, answer, metric or repr: all are set, and all that complains is made to."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_process import PlatformProcess, run_cli
from ports import free_port

from exness_streams.engine.build import build_engine
from exness_streams.settings.kafka import KafkaSettings, load_kafka_settings
from exness_streams.settings.platform import UNPREFIXED, ConfigError
from exness_streams.settings.prefix import PREFIX
from exness_streams.transport.faults import LogFault

MARK = "never-to-be-seen"

VALUES = {
    "secret_key": f"{MARK}-key-1-0123456789abcdef,{MARK}-key-2-0123456789abcdef",
    "pepper": f"{MARK}-pepper-0123456789abcdef",
    "smtp_pass": f"{MARK}-smtp",
    "kafka_password": f"{MARK}-kafka",
}
"""A value that is allowed for each secret setting."""

WRONG = {"secret_key": f"{MARK}-key", "pepper": f"{MARK}-pep"}
"""Values that are refused; any text is a password."""


def variable_of(name: str) -> str:
    return name.upper() if name.upper() in UNPREFIXED else PREFIX + name.upper()


SECRETS = {variable_of(name): value for name, value in VALUES.items()}
OTHERS = {
    "EXNESS_AUTH": "required",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",  # where nobody takes a mail
    "SMTP_USER": "trader",
    "EXNESS_MAIL_FROM": "trading@example.com",
    "EXNESS_KAFKA_SASL_MECHANISM": "PLAIN",
    "EXNESS_KAFKA_USERNAME": "trader",
    "BACKPACK_WS_URL": f"wss://trader:{MARK}-url@ws.example.com/{MARK}?token={MARK}-query",
}


def set_all(monkeypatch: pytest.MonkeyPatch, **overrides: str) -> None:
    for variable, value in (SECRETS | OTHERS | overrides).items():
        monkeypatch.setenv(variable, value)


def test_every_secret_setting_is_in_the_table() -> None:
    """A secret is a setting without repr; its name says so, too."""
    fields = KafkaSettings.model_fields.items()
    assert {name for name, field in fields if not field.repr} == set(VALUES)
    telling = ("pass", "secret", "pepper", "token", "private")
    assert {name for name, _ in fields if any(word in name for word in telling)} <= set(VALUES)


def test_settings_show_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, BACKPACK_WS_URL="wss://ws.backpack.exchange")
    settings = load_kafka_settings(data_dir=tmp_path)
    assert settings.secret_key[1].startswith(MARK)  # they are there
    shown = f"{settings!r} {settings!s} {settings.security()!r}"
    assert MARK not in shown
    assert MARK not in repr(build_engine(settings))


@pytest.mark.parametrize("name", KafkaSettings.model_fields)
def test_a_wrong_setting_shows_none(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """Any one is wrong, while all secrets are set. Most are wrong with this word."""
    wrong = WRONG.get(name, "" if name in VALUES else f"\x1b{'?' * 300}")
    set_all(monkeypatch, **({variable_of(name): wrong} if wrong else {}))
    try:
        load_kafka_settings(data_dir=tmp_path)
    except ConfigError as error:
        assert MARK not in str(error)
        assert error.__cause__ is None  # no traceback with what was set
        assert error.__suppress_context__


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    set_all(monkeypatch, **{variable_of(name): WRONG[name]})
    with pytest.raises(ConfigError, match=variable_of(name)) as refused:
        load_kafka_settings()
    assert MARK not in str(refused.value)
    assert "***" in str(refused.value)


STARTS: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (("run",), {"EXNESS_SECRET_KEYS": MARK}),
    (("run",), {"EXNESS_SECRET_KEY": WRONG["secret_key"]}),
    (("engine",), {"EXNESS_KAFKA_SASL_MECHANISM": ""}),
    (("engine",), {"EXNESS_KAFKA_CA_FILE": "/nowhere"}),
    (("engine",), {"KAFKA_BROKERS": "127.0.0.1:1"}),
    (("market-data",), {"EXNESS_KAFKA_USERNAME": ""}),
    (("audit", "--kafka"), {"EXNESS_TLS_KEY_FILE": "/nowhere"}),
]


@pytest.mark.parametrize(("command", "wrong"), STARTS, ids=lambda one: " ".join(one))
def test_a_start_that_fails_shows_none(command: tuple[str, ...], wrong: dict[str, str], tmp_path: Path) -> None:
    variables = SECRETS | OTHERS | {"EXNESS_DATA_DIR": str(tmp_path), "PORT": str(free_port())} | wrong
    ended = run_cli(*command, **variables)
    assert ended.returncode in (1, 2)
    assert ended.stderr
    assert MARK not in ended.stdout + ended.stderr


class Platform(PlatformProcess):
    """With all of them set."""

    def __init__(self, data_dir: Path) -> None:
        self.metrics_port = free_port()
        variables = SECRETS | OTHERS | {"EXNESS_METRICS_PORT": str(self.metrics_port)}
        super().__init__(data_dir, free_port(), **variables)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    running = Platform(tmp_path / "data")
    running.start()
    running.wait_tradable()
    yield running
    running.end()


def send(port: int, method: str, path: str, body: str, headers: dict[str, str]) -> str:
    """The whole answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body.encode(), headers)
        answer = connection.getresponse()
        return f"{answer.status} {answer.headers} {answer.read().decode('utf-8', 'replace')}"
    finally:
        connection.close()


EMAIL = '{"email":"ann@example.com"}'
REQUESTS: list[tuple[str, str, str, dict[str, str]]] = [
    ("GET", "/", "", {}),
    ("GET", "/readyz", "", {}),
    ("GET", "/api/v1/openapi.json", "", {}),
    ("GET", "/api/v1/markets?nonsense=1", "", {}),
    ("GET", "/api/v1/state", "", {"Authorization": "Bearer x.y.z"}),
    ("GET", "/api/v1/state", "", {"Authorization": "Bearer exn_nonsense"}),
    ("GET", "/api/v1/state", "", {"Cookie": "session=x.y.z; exness=x"}),
    ("GET", "/api/v1/state", "", {"X-Exness-Forwarded": "nonsense"}),
    ("POST", "/api/v1/positions/open", "{", {"Content-Type": "application/json"}),
    ("POST", "/api/auth/signup", EMAIL, {"Content-Type": "application/json"}),
    ("POST", "/api/auth/login", EMAIL, {"Content-Type": "application/json"}),
    ("POST", "/api/auth/login", '{"email":1}', {"Content-Type": "application/json"}),
    ("GET", "/api/auth/verify?token=x.y.z&email=ann@example.com", "", {}),
    ("POST", "/api/auth/verify", '{"token":"x","email":"ann@example.com"}', {"Content-Type": "application/json"}),
    ("GET", "/api/auth/me", "", {}),
    ("POST", "/api/v1/keys", '{"name":"one","scopes":["read"]}', {"Content-Type": "application/json"}),
    ("GET", "/api/v1/operator/markets", "", {}),
    ("GET", "/nowhere", "", {}),
    ("GET", "/ws", "", {}),
]


def test_no_answer_metric_line_or_file_has_one(platform: Platform) -> None:
    metrics = send(platform.metrics_port, "GET", "/metrics", "", {})
    assert metrics.startswith("200")
    assert MARK not in metrics
    for method, path, body, headers in REQUESTS:
        answer = send(platform.port, method, path, body, headers)
        assert MARK not in urllib.parse.unquote(answer), path
    assert platform.terminate() == 0
    said = platform.said()
    assert "feed connected" in said
    assert MARK not in said
    for sent in ("x.y.z", "exn_nonsense"):  # what clients send as a secret is none of the log's business
        assert sent not in said
    files = [path for path in platform.data_dir.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if MARK.encode() in path.read_bytes()] == []


def test_a_fault_while_it_runs_shows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers that refuse the password."""
    set_all(monkeypatch, KAFKA_BROKERS="127.0.0.1:1")
    settings = load_kafka_settings(data_dir=tmp_path, kafka_ca_file=tmp_path / "nowhere", kafka_tls=True)
    with pytest.raises(LogFault) as refused:
        build_engine(settings)
    assert MARK not in str(refused.value)
