"""Sign-in as clients see it: links by a real mail server, sessions, keys, operators, and what nobody else may."""

from __future__ import annotations

import http.cookies
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from mail_server import Mailbox, parts_of
from platform_harness import CLOSE, OPEN, STATE, PlatformThread, Reply, until

from exness_streams.api.access.guard import FORWARDED

SECRET = "a-secret-of-more-than-thirty-two-bytes"
OLD_SECRET = "an-older-secret-of-more-than-32-bytes"
ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}
PAGE = "https://trade.example"
READING = [STATE, "/api/v1/trades", "/api/v1/equity", "/api/v1/keys", "/api/auth/sessions"]
PUBLIC = ["/", "/livez", "/readyz", "/api/v1/markets", "/api/v1/candles?symbol=SOL_USDC", "/api/v1/openapi.json"]


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox(password="mail-password") as box:
        yield box


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[PlatformThread]:
    running = PlatformThread(
        tmp_path_factory.mktemp("required"),
        auth="required",
        secret_key=(SECRET, OLD_SECRET),
        operators=("boss@example.com",),
        cors_origins=(PAGE,),
        smtp_host="127.0.0.1",
        smtp_port=mailbox.port,
        smtp_user="mailer",
        smtp_pass="mail-password",
        mail_from="login@exness.example",
        sign_in_limit="",
    ).start()
    yield running
    running.stop()


class Client:
    """Somebody with a session, or with an API key."""

    def __init__(self, platform: PlatformThread, token: str, account: str = "") -> None:
        self.platform, self.token, self.account = platform, token, account

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.token}", **{name.replace("_", "-"): it for name, it in headers.items()}}
        if body is not None:
            sent["Content-Type"] = "application/json"
        return self.platform.send(method, path, b"" if body is None else json.dumps(body).encode(), sent)

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.send("POST", path, body, **headers)

    def delete(self, path: str) -> Reply:
        return self.send("DELETE", path)

    def key(self, *scopes: str, **more: Any) -> Client:
        made = self.post("/api/v1/keys", {"name": "bot", "scopes": list(scopes), **more})
        assert made.status == 201, made
        return Client(self.platform, made.json["key"], self.account)


def ask(platform: PlatformThread, path: str, body: Any, **headers: str) -> Reply:
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): it for name, it in headers.items()}}
    return platform.send("POST", path, json.dumps(body).encode(), sent)


def link_of(platform: PlatformThread, mailbox: Mailbox, email: str) -> dict[str, str]:
    asked = ask(platform, "/api/auth/login", {"email": email})
    assert asked.status == 200, asked
    return parts_of(mailbox.link(email))


def signed_in(platform: PlatformThread, mailbox: Mailbox, email: str) -> Client:
    answer = ask(platform, "/api/auth/verify", link_of(platform, mailbox, email))
    assert answer.status == 200, answer
    return Client(platform, answer.json["token"], answer.json["account"])


@pytest.fixture
def anna(platform: PlatformThread, mailbox: Mailbox) -> Client:
    return signed_in(platform, mailbox, "anna@example.com")


@pytest.fixture
def bert(platform: PlatformThread, mailbox: Mailbox) -> Client:
    return signed_in(platform, mailbox, "bert@example.com")


def code(reply: Reply) -> str:
    said: str = reply.json.get("error", "")
    return said


def entries_of(platform: PlatformThread) -> dict[bytes, bytes]:
    """The accounts' part of the state: prices come and go meanwhile."""
    assert platform.platform is not None
    engine = platform.platform.engine

    def read() -> dict[bytes, bytes]:
        cell = engine.cells.cell(0)
        assert cell is not None
        kept = {key: value for prefix in (b"account/", b"access/") for key, value in engine.table.scan(0, prefix)}
        changed = {**engine.cells._cells[0].ahead._entries, **cell.pending}  # some wait for their transactions
        changed = {key: value for key, value in changed.items() if key.startswith((b"account/", b"access/"))}
        return {key: value for key, value in {**kept, **changed}.items() if value is not None}

    found: dict[bytes, bytes] = platform.call(read)
    return found


# -- links and sessions


@pytest.mark.parametrize("path", ["/api/auth/signup", "/api/auth/login"])
def test_a_mail_signs_in(platform: PlatformThread, mailbox: Mailbox, path: str) -> None:
    before = len(mailbox.mails)
    asked = ask(platform, path, {"email": " Carl@Example.com "})
    assert (asked.status, asked.json["email"]) == (200, "carl@example.com")
    mail = mailbox.mails[before]
    assert (mail["To"], mail["From"]) == ("carl@example.com", "Exness Streams <login@exness.example>")
    link = mailbox.link("carl@example.com")
    assert link.startswith(f"http://127.0.0.1:{platform.port}/#verify?token=")
    answer = ask(platform, "/api/auth/verify", {**parts_of(link), "nonce": "n" * 16})
    told = answer.json
    assert (answer.status, told["success"], told["user"]) == (
        200,
        True,
        {"email": "carl@example.com", "verified": True},
    )
    carl = Client(platform, told["token"], told["account"])
    assert carl.get(STATE).json["balances"]
    opened = carl.post(OPEN, ORDER)
    assert opened.status == 201
    assert carl.post(CLOSE, {"positionId": opened.json["positionId"]}).status == 200
    assert carl.get("/api/v1/trades").json["trades"][0]["positionId"] == opened.json["positionId"]


@pytest.mark.parametrize(
    ("origin", "base"),
    [
        ("", "http://127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}", "http://127.0.0.1:{port}"),
        ("https://127.0.0.1:{port}", "https://127.0.0.1:{port}"),  # behind a proxy that speaks TLS
        (PAGE, "http://127.0.0.1:{port}"),  # no page of ours is there
    ],
)
def test_the_mail_leads_to_our_page(platform: PlatformThread, mailbox: Mailbox, origin: str, base: str) -> None:
    headers = {"Origin": origin.format(port=platform.port)} if origin else {}
    assert ask(platform, "/api/auth/login", {"email": "lisa@example.com"}, **headers).status == 200
    assert mailbox.link("lisa@example.com").startswith(base.format(port=platform.port) + "/#verify?token=")


def test_the_account_hangs_on_the_address_alone(platform: PlatformThread, mailbox: Mailbox) -> None:
    one = signed_in(platform, mailbox, "dora@example.com")
    two = signed_in(platform, mailbox, "dora@example.com")
    assert one.account == two.account
    assert "dora" not in one.account
    assert one.token != two.token


def test_a_link_is_good_once_and_the_same_nonce_gives_the_same_session(
    platform: PlatformThread, mailbox: Mailbox
) -> None:
    body = {**link_of(platform, mailbox, "emil@example.com"), "nonce": "my-nonce-of-this-page"}
    first, again = (ask(platform, "/api/auth/verify", body) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert first.json["token"] == again.json["token"]
    for other in ({**body, "nonce": "another-nonce-of-another"}, {**body, "nonce": None}):
        refused = ask(platform, "/api/auth/verify", other)
        assert refused.status == 400
        assert refused.json["success"] is False
        assert refused.json["code"] == "LINK_USED"
        assert refused.json["error"] == refused.json["message"] != ""


def forged(claims: dict[str, Any], secret: str = "somebody-else's-secret-of-32-bytes", algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm)


LINK_CLAIMS = {"acc": "u_1", "email": "a@b.c", "jti": "x", "exp": 4_000_000_000, "aud": "link"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "token"),
        ({"token": ""}, "token"),
        ({"token": "x"}, "token"),
        ({"token": "x" * 3_000}, "token"),
        ({"token": forged(LINK_CLAIMS)}, "token"),
        ({"token": jwt.encode(LINK_CLAIMS, None, "none")}, "token"),
        ({"token": forged({**LINK_CLAIMS, "aud": "session"}, SECRET)}, "token"),
        ({"token": forged({**LINK_CLAIMS, "acc": 5}, SECRET)}, "token"),
        ({"token": forged({**LINK_CLAIMS, "exp": "soon"}, SECRET)}, "token"),
        ({"token": forged(LINK_CLAIMS, SECRET), "email": "other@b.c"}, "email"),
        ({"token": forged(LINK_CLAIMS, SECRET), "nonce": "short"}, "nonce"),
        ({"token": forged(LINK_CLAIMS, SECRET), "nonces": "a" * 20}, "nonces"),
    ],
)
def test_what_is_no_link_is_refused_in_words(platform: PlatformThread, body: dict[str, str], field: str) -> None:
    before = entries_of(platform)
    refused = ask(platform, "/api/auth/verify", body)
    assert refused.status == 400
    assert refused.json["success"] is False
    assert field in refused.json["message"] or "link" in refused.json["message"]
    assert entries_of(platform) == before


def test_an_old_link_is_refused(platform: PlatformThread) -> None:
    old = forged({**LINK_CLAIMS, "exp": int(time.time()) - 1}, SECRET)
    assert ask(platform, "/api/auth/verify", {"token": old}).json["code"] == "LINK_EXPIRED"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*"},
        {"Accept": "text/html"},
        {"Sec-Purpose": "prefetch", "Sec-Fetch-Mode": "no-cors"},
        {"Purpose": "prefetch"},
        {"Sec-Fetch-Mode": "no-cors", "Accept": "image/*,*/*"},
        {"Sec-Fetch-Mode": "nested-navigate"},
    ],
)
def test_who_only_opens_a_link_redeems_nothing(
    platform: PlatformThread, mailbox: Mailbox, headers: dict[str, str]
) -> None:
    parts = link_of(platform, mailbox, "fritz@example.com")
    path = f"/api/auth/verify?token={parts['token']}&email={parts['email']}"
    before = entries_of(platform)
    seen = platform.send("GET", path, headers=headers)
    assert (seen.status, seen.headers["Location"]) == (303, f"/#verify?token={parts['token']}&email={parts['email']}")
    assert platform.send("HEAD", path).status == 200
    assert entries_of(platform) == before
    stranger = platform.send("GET", path, headers={"Origin": "https://evil.example", "Sec-Fetch-Mode": "cors"})
    assert (stranger.status, code(stranger)) == (403, "FORBIDDEN")
    assert entries_of(platform) == before
    # As the original's page does it.
    redeemed = platform.send("GET", path, headers={"Origin": PAGE, "Sec-Fetch-Mode": "cors"})
    assert (redeemed.status, redeemed.json["success"], redeemed.json["user"]["verified"]) == (200, True, True)
    assert "token" not in redeemed.json


def test_a_page_gets_a_cookie_that_no_script_reads(platform: PlatformThread, mailbox: Mailbox) -> None:
    answer = ask(platform, "/api/auth/verify", link_of(platform, mailbox, "gerd@example.com"), Origin=PAGE)
    assert "token" not in answer.json
    cookie = http.cookies.SimpleCookie(answer.headers["Set-Cookie"])["exness_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", True)
    sent = {"Cookie": f"exness_session={cookie.value}"}
    me = platform.send("GET", "/api/auth/me", headers=sent).json
    assert (me["kind"], me["email"], me["account"]) == ("session", "gerd@example.com", answer.json["account"])
    own = f"http://127.0.0.1:{platform.port}"
    local = ask(platform, "/api/auth/verify", link_of(platform, mailbox, "gerd@example.com"), Origin=own)
    assert "Secure" not in local.headers["Set-Cookie"]


def test_signing_out_ends_the_session_at_once(platform: PlatformThread, mailbox: Mailbox, anna: Client) -> None:
    other = signed_in(platform, mailbox, "anna@example.com")
    out = anna.post("/api/auth/logout", {})
    assert out.status == 200
    assert "exness_session=" in out.headers["Set-Cookie"]
    for reply in (anna.get(STATE), anna.post(OPEN, ORDER), anna.get("/api/auth/sessions"), anna.get("/api/auth/me")):
        assert (reply.status, code(reply)) == (401, "UNAUTHORIZED")
    assert anna.post("/api/auth/logout", {}).status == 200
    assert other.get(STATE).status == 200
    wrong = other.post("/api/auth/logout", {}, X_Account="another")
    assert (wrong.status, code(wrong)) == (409, "ACCOUNT_CHANGED")
    assert other.get(STATE).status == 200


def test_sessions_are_seen_and_ended(platform: PlatformThread, mailbox: Mailbox) -> None:
    one, two = (signed_in(platform, mailbox, "hans@example.com") for _ in range(2))
    shown = one.get("/api/auth/sessions").json["sessions"]
    assert [each["current"] for each in shown] == [True, False]
    assert one.delete(f"/api/auth/sessions/{shown[1]['id']}").status == 200
    assert two.get(STATE).status == 401
    assert one.delete(f"/api/auth/sessions/{shown[1]['id']}").status == 404
    assert one.delete("/api/auth/sessions").status == 200
    assert one.get(STATE).status == 401


def test_a_session_outlives_a_restart_and_its_end_does_too(tmp_path: Path, mailbox: Mailbox) -> None:
    options: dict[str, Any] = {
        "auth": "required", "secret_key": (SECRET,), "smtp_host": "127.0.0.1", "smtp_port": mailbox.port,
        "smtp_user": "mailer", "smtp_pass": "mail-password",
    }  # fmt: skip
    first = PlatformThread(tmp_path, **options).start()
    try:
        link = link_of(first, mailbox, "ida@example.com")
        stays = signed_in(first, mailbox, "ida@example.com")
        ends = Client(first, ask(first, "/api/auth/verify", link).json["token"])
        key = stays.key("trade")
        assert ends.post("/api/auth/logout", {}).status == 200
    finally:
        first.stop()
    again = PlatformThread(tmp_path, **options | {"secret_key": ("a-new-secret-" + SECRET, SECRET)}).start()
    try:
        for client in (stays, ends, key):
            client.platform = again
        assert (stays.get(STATE).status, key.get(STATE).status, ends.get(STATE).status) == (200, 200, 401)
        assert ask(again, "/api/auth/verify", link).json["code"] == "LINK_USED"
        assert signed_in(again, mailbox, "ida@example.com").account == stays.account
    finally:
        again.stop()


# -- who may do what


@pytest.mark.parametrize("path", PUBLIC)
def test_the_public_part_needs_nobody(platform: PlatformThread, path: str) -> None:
    assert platform.send("GET", path).status == 200
    assert platform.send("GET", path, headers={"Authorization": "Bearer nonsense"}).status == 200


BAD_TOKENS = [
    "nonsense",
    "exn_nonsense",
    "exn_demo.0123456789abcdef." + "a" * 43,
    forged({"acc": "demo", "sid": "x", "email": "a@b.c", "exp": 4_000_000_000, "aud": "session"}),
    forged({"acc": "demo", "sid": "x", "email": "a@b.c", "exp": 4_000_000_000, "aud": "session"}, SECRET),
    forged({"acc": "demo", "sid": "x", "email": "a@b.c", "exp": 1, "aud": "session"}, SECRET),
    forged({"acc": "demo", "sid": "x", "email": "a@b.c", "exp": 4_000_000_000, "aud": "link"}, SECRET),
    jwt.encode({"acc": "demo", "sid": "x", "email": "a@b.c", "exp": 4_000_000_000, "aud": "session"}, None, "none"),
    "x" * 4_000,
]


@pytest.mark.parametrize("token", [None, *BAD_TOKENS], ids=range(len(BAD_TOKENS) + 1))
def test_nobody_gets_in_without_a_credential(platform: PlatformThread, token: str | None) -> None:
    before = entries_of(platform)
    for way in ("header", "cookie"):
        headers: dict[str, str] = {"X-Account": "demo"}
        if token is not None:
            headers |= (
                {"Authorization": f"Bearer {token}"} if way == "header" else {"Cookie": f"exness_session={token}"}
            )
        for path in READING:
            refused = platform.send("GET", path, headers=headers)
            assert (refused.status, code(refused)) == (401, "UNAUTHORIZED"), path
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        for path, body in ((OPEN, ORDER), ("/api/v1/account/deposit", {"amount": 5}), ("/api/v1/account/reset", {})):
            assert ask(platform, path, body, **headers).status == 401, path
    assert entries_of(platform) == before


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer  ", "bearer", "Token x", ""])
def test_a_header_that_is_no_bearer_is_refused(platform: PlatformThread, header: str) -> None:
    assert platform.send("GET", STATE, headers={"Authorization": header}).status == 401


def test_another_s_position_is_not_there(anna: Client, bert: Client, platform: PlatformThread) -> None:
    position = anna.post(OPEN, ORDER).json["positionId"]
    before = entries_of(platform)
    for path, body in (
        (CLOSE, {"positionId": position}),
        ("/api/v1/positions/modify", {"positionId": position, "stopLoss": 1}),
        ("/api/v1/orders/cancel", {"orderId": position.replace("pos", "ord")}),
    ):
        assert bert.post(path, body).status == 404
    for method, path, body in (("GET", STATE, None), ("POST", CLOSE, {"positionId": position})):
        refused = bert.send(method, path, body, X_Account=anna.account)
        assert (refused.status, code(refused)) == (409, "ACCOUNT_CHANGED")
    assert entries_of(platform) == before
    assert anna.post(CLOSE, {"positionId": position}, X_Account=anna.account).status == 200


def test_a_key_reads_or_trades(anna: Client, platform: PlatformThread) -> None:
    reader, trader = anna.key("read"), anna.key("read", "trade")
    assert reader.get(STATE).status == 200
    assert reader.get("/api/auth/me").json["scopes"] == ["read"]
    before = entries_of(platform)
    for path, body in (
        (OPEN, ORDER),
        ("/api/v1/positions/close-all", {}),
        ("/api/v1/account/deposit", {"amount": 5}),
        ("/api/v1/account/reset", {}),
    ):
        refused = reader.post(path, body)
        assert (refused.status, code(refused)) == (403, "FORBIDDEN"), path
    for key in (reader, trader):
        for method, path in (("GET", "/api/v1/keys"), ("GET", "/api/auth/sessions"), ("DELETE", "/api/auth/sessions")):
            assert key.send(method, path).status == 403
        assert key.post("/api/v1/keys", {"name": "more", "scopes": ["trade"]}).status == 403
    assert entries_of(platform) == before
    assert trader.post(OPEN, ORDER).status == 201


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(anna: Client) -> None:
    made = anna.post("/api/v1/keys", {"name": "bot", "scopes": ["read"]}, Idempotency_Key="again").json
    again = anna.post("/api/v1/keys", {"name": "bot", "scopes": ["read"]}, Idempotency_Key="again").json
    assert again == made
    assert anna.post("/api/v1/keys", {"name": "x", "scopes": ["read"]}, Idempotency_Key="again").status == 409
    listed = [each for each in anna.get("/api/v1/keys").json["keys"] if each["id"] == made["id"]]
    assert listed == [{name: value for name, value in made.items() if name != "key"}]
    key = Client(anna.platform, made["key"])
    assert key.get(STATE).status == 200
    wrong = Client(anna.platform, made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b"))
    assert wrong.get(STATE).status == 401
    assert anna.delete(f"/api/v1/keys/{made['id']}").status == 200
    assert key.get(STATE).status == 401
    assert anna.delete(f"/api/v1/keys/{made['id']}").status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "a\nb", "scopes": ["read"]}, "name"),
        ({"name": "x" * 65, "scopes": ["read"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": "read"}, "scopes"),
        ({"name": "x", "scopes": ["admin"]}, "scopes"),
        ({"name": "x", "scopes": ["read", "read"]}, "scopes"),
        ({"name": "x", "scopes": ["read"], "expiresAt": 5}, "expiresAt"),
        ({"name": "x", "scopes": ["read"], "expiresAt": "soon"}, "expiresAt"),
        ({"name": "x", "scopes": ["read"], "expires": 5}, "expires"),
    ],
)
def test_a_key_that_can_t_be_made(anna: Client, body: dict[str, Any], field: str) -> None:
    refused = anna.post("/api/v1/keys", body)
    assert (refused.status, refused.json["details"]["field"]) == (400, field)


def test_a_key_ends_at_its_time(anna: Client) -> None:
    expires_at_ms = int(time.time() * 1000) + 3_000
    key = anna.key("trade", expiresAt=expires_at_ms)
    seen: list[tuple[int, float]] = []

    def is_over() -> bool:
        asked_at_ms = time.time() * 1000
        seen.append((key.get(STATE).status, asked_at_ms))
        return seen[-1][0] == 401

    until(is_over)
    assert time.time() * 1000 >= expires_at_ms, "it ended before its time"
    assert {status for status, _ in seen[:-1]} <= {200}
    assert all(asked_at_ms < expires_at_ms for _, asked_at_ms in seen[:-1]), "it lived on"
    assert key.post(OPEN, ORDER).status == 401


def test_operators_read_every_account_and_change_none(
    platform: PlatformThread, mailbox: Mailbox, anna: Client, bert: Client
) -> None:
    boss = signed_in(platform, mailbox, "boss@example.com")
    assert boss.get("/api/auth/me").json["operator"] is True
    found = boss.get("/api/v1/operator/account?email=Anna@example.com").json["account"]
    assert found == anna.account
    assert boss.get(STATE, X_Account=anna.account).json == anna.get(STATE).json
    assert boss.get("/api/v1/trades", X_Account=anna.account).status == 200
    before = entries_of(platform)
    assert boss.post(OPEN, ORDER, X_Account=anna.account).status == 409
    for somebody in (bert, bert.key("trade")):
        assert somebody.get("/api/v1/operator/account?email=anna@example.com").status == 403
        assert somebody.post("/api/v1/operator/sessions/end", {"email": "anna@example.com"}).status == 403
    assert platform.send("GET", "/api/v1/operator/account?email=anna@example.com").status == 401
    assert {key: value for key, value in entries_of(platform).items() if b"account/" in key} == {
        key: value for key, value in before.items() if b"account/" in key
    }
    assert boss.post("/api/v1/operator/sessions/end", {"email": "anna@example.com"}).status == 200
    assert anna.get(STATE).status == 401
    assert boss.post("/api/auth/logout", {}).status == 200
    assert boss.get(STATE, X_Account=bert.account).status == 401


def test_operators_alone_decide_of_markets(platform: PlatformThread, mailbox: Mailbox, bert: Client) -> None:
    boss, path = signed_in(platform, mailbox, "boss@example.com"), "/api/v1/operator/markets"
    body = {"symbol": "ETH", "state": "close_only"}
    for somebody in (bert, bert.key("trade"), boss.key("trade")):
        assert somebody.post(path, body).status == 403
        assert somebody.get(path).status == 403
    assert ask(platform, path, body).status == 401
    assert platform.send("GET", path).status == 401
    decided = boss.post(path, body)
    assert (decided.status, decided.json["state"]) == (200, "close_only")
    assert boss.post(path, body | {"state": "open"}).json["state"] == "open"
    assert boss.post("/api/auth/logout", {}).status == 200
    assert boss.post(path, body).status == 401
    assert boss.get(path).status == 401


def test_a_forged_forwarding_header_gets_nobody_in(platform: PlatformThread) -> None:
    # On the embedded log there is no other worker: the header means nothing.
    for value in ("1", forged({"exp": 4_000_000_000, "aud": "passing", "vouched": True})):
        assert platform.send("GET", STATE, headers={FORWARDED: value}).status == 401


# -- mail


def test_a_mail_server_that_refuses_is_told(platform: PlatformThread, mailbox: Mailbox) -> None:
    mailbox.refuses = True
    try:
        refused = ask(platform, "/api/auth/login", {"email": "anna@example.com"})
    finally:
        mailbox.refuses = False
    assert (refused.status, code(refused)) == (503, "MAIL_UNAVAILABLE")


@pytest.mark.parametrize("email", ["", "anna", "a@b@c", "a@b.c\r\nBcc: x@y.z", "a" * 300 + "@b.c", 5, None])
def test_what_is_no_address_is_refused(platform: PlatformThread, mailbox: Mailbox, email: object) -> None:
    before = len(mailbox.mails)
    refused = ask(platform, "/api/auth/signup", {"email": email})
    assert (refused.status, refused.json["details"]["field"]) == (400, "email")
    assert len(mailbox.mails) == before


# -- the stream


async def stream(platform: PlatformThread, path: str = "/ws", **headers: str) -> list[Any]:
    """The first messages, up to the feed's."""
    url, seen = f"http://127.0.0.1:{platform.port}{path}", []
    async with aiohttp.ClientSession() as client, client.ws_connect(url, headers=headers) as socket:
        async for message in socket:
            seen.append(message.json())
            if seen[-1]["type"] == "feed":
                break
    return seen


async def test_a_guest_s_stream_has_the_market_alone(platform: PlatformThread) -> None:
    kinds = [message["type"] for message in await stream(platform)]
    assert "market_data" in kinds
    assert "state" not in kinds


async def test_a_session_s_stream_is_of_its_account(anna: Client) -> None:
    seen = await stream(anna.platform, Authorization=f"Bearer {anna.token}")
    assert [message["type"] for message in seen][:2] == ["connection", "state"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stream(anna.platform, "/ws?account=demo", Authorization=f"Bearer {anna.token}")
    assert refused.value.status == 409
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stream(anna.platform, Authorization="Bearer nonsense")
    assert refused.value.status == 401


async def test_streams_end_with_what_opened_them(platform: PlatformThread, mailbox: Mailbox) -> None:
    one, two = (signed_in(platform, mailbox, "jana@example.com") for _ in range(2))
    made = two.post("/api/v1/keys", {"name": "bot", "scopes": ["read"]}).json
    url = f"http://127.0.0.1:{platform.port}/ws"
    async with aiohttp.ClientSession() as client:

        async def opened(token: str) -> aiohttp.ClientWebSocketResponse:
            socket = await client.ws_connect(url, headers={"Authorization": f"Bearer {token}"})
            assert (await socket.receive_json())["type"] == "connection"
            return socket

        async def end_of(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, object]:
            async for _ in socket:
                pass
            return socket.close_code, None

        first, second, third = await opened(one.token), await opened(two.token), await opened(made["key"])
        assert one.post("/api/auth/logout", {}).status == 200
        assert (await end_of(first))[0] == 4401
        assert two.delete(f"/api/v1/keys/{made['id']}").status == 200
        assert (await end_of(third))[0] == 4401
        await second.send_str('{"type":"ping"}')
        kinds = [(await second.receive_json())["type"] for _ in range(200)] if second.closed else ["pong"]
        assert "pong" in kinds
        assert two.delete("/api/auth/sessions").status == 200
        assert (await end_of(second))[0] == 4401


# -- open mode


def test_in_open_mode_a_session_is_possible_and_not_needed(tmp_path: Path, mailbox: Mailbox) -> None:
    running = PlatformThread(
        tmp_path, smtp_host="127.0.0.1", smtp_port=mailbox.port, smtp_user="mailer", smtp_pass="mail-password"
    ).start()
    try:
        assert running.get(STATE).status == 200
        assert running.send("GET", "/api/auth/me").json["kind"] == "open"
        karl = signed_in(running, mailbox, "karl@example.com")
        assert karl.get("/api/auth/me").json["account"] == karl.account
        assert karl.post(OPEN, ORDER).status == 201
        assert len(karl.get(STATE).json["positions"]) == 1
        assert running.state()["positions"] == []
        assert karl.get(STATE, X_Account="demo").status == 409
        assert karl.post("/api/auth/logout", {}).status == 200
        assert karl.get(STATE).status == 401
    finally:
        running.stop()


def test_without_a_mail_server_beyond_loopback_no_link_is_printed(tmp_path: Path) -> None:
    running = PlatformThread(tmp_path, auth="required", secret_key=(SECRET,), host="0.0.0.0").start()
    try:
        refused = ask(running, "/api/auth/login", {"email": "a@b.c"})
        assert (refused.status, code(refused)) == (503, "MAIL_UNAVAILABLE")
        assert "SMTP_HOST" in refused.json["message"]
    finally:
        running.stop()


def test_secrets_are_kept_for_the_owner_alone(tmp_path: Path) -> None:
    running = PlatformThread(tmp_path).start()
    running.stop()
    kept = tmp_path / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.chmod(0o644)
    with pytest.raises(Exception, match="can be read by others: chmod 600"):
        PlatformThread(tmp_path).start()
    assert socket.gethostname()  # the file names no machine
