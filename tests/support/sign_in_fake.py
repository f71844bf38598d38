"""A platform that mails links, keeps sessions and makes API keys, in memory, for the tests of its clients."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ACCOUNT = "acc_1"
EXPIRES_AT = 4_102_444_800_000
Answer = tuple[int, Any, dict[str, str]]


class SignInFake(http.server.ThreadingHTTPServer):
    """mails: (e-mail, token) as sent. sessions: by token, the ids. first: answers given before any other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.first: list[Answer] = []
        self.mails: list[tuple[str, str]] = []
        self.redeemed: dict[str, tuple[str, str]] = {}
        self.sessions: dict[str, str] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.auth = "required"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, token: str | None, body: Any) -> Answer:
        if self.first:
            return self.first.pop(0)
        if (method, path) == ("POST", "/api/auth/login"):
            self.mails.append((body["email"], f"link{len(self.mails)}.signed"))
            return 200, {"message": "If it is yours, a link was sent", "email": body["email"]}, {}
        if (method, path) == ("POST", "/api/auth/verify"):
            return self._redeem(body)
        if (method, path) == ("GET", "/api/auth/me"):
            return self._me(token)
        if token not in self.sessions:
            return 401, {"message": "This session has ended", "error": "UNAUTHORIZED"}, {}
        return self._in_session(method, path, token, body)

    def _redeem(self, body: Any) -> Answer:
        token, session = self.redeemed.get(body["token"], (body["nonce"], ""))
        if (body["email"], body["token"]) not in self.mails or token != body["nonce"]:
            said = "This link was used or has expired"
            return 400, {"success": False, "message": said, "error": said, "code": "INVALID_TOKEN"}, {}
        session = session or f"session{len(self.redeemed)}.signed"
        self.redeemed[body["token"]] = (token, session)
        self.sessions[session] = f"ses_{len(self.sessions)}"
        user = {"email": body["email"], "verified": True}
        said = {"success": True, "message": "Signed in", "user": user, "account": ACCOUNT, "expiresAt": EXPIRES_AT}
        return 200, said | {"token": session}, {}

    def _me(self, token: str | None) -> Answer:
        if token is None:
            kind = "guest" if self.auth == "required" else "open"
            who = {"auth": self.auth, "kind": kind, "account": None if kind == "guest" else "demo", "email": None}
            return 200, who | {"scopes": [], "operator": False, "expiresAt": None}, {}
        if token not in self.sessions:
            return 401, {"message": "This session has ended", "error": "UNAUTHORIZED"}, {}
        who = {"auth": self.auth, "kind": "session", "account": ACCOUNT, "email": "ann@example.org"}
        return 200, who | {"scopes": ["read", "trade"], "operator": True, "expiresAt": EXPIRES_AT}, {}

    def _in_session(self, method: str, path: str, token: str, body: Any) -> Answer:
        if (method, path) == ("POST", "/api/auth/logout"):
            del self.sessions[token]
            return 200, {"message": "Signed out"}, {}
        if (method, path) == ("GET", "/api/auth/sessions"):
            all_of_them = [
                {"id": name, "createdAt": 1, "expiresAt": EXPIRES_AT, "agent": "test", "current": one == token}
                for one, name in self.sessions.items()
            ]
            return 200, {"sessions": all_of_them}, {}
        if (method, path) == ("DELETE", "/api/auth/sessions"):
            self.sessions.clear()
            return 200, {"message": "All sessions ended"}, {}
        if method == "DELETE" and path.startswith("/api/auth/sessions/"):
            ended = [one for one, name in self.sessions.items() if path.endswith(f"/{name}")]
            for one in ended:
                del self.sessions[one]
            return (200, {"message": "Session ended"}, {}) if ended else _missing()
        return self._of_keys(method, path, body)

    def _of_keys(self, method: str, path: str, body: Any) -> Answer:
        if (method, path) == ("POST", "/api/v1/keys"):
            key = {"id": f"key_{len(self.keys)}", "expiresAt": None, "createdAt": 1_700_000_000_000, **body}
            self.keys[key["id"]] = key
            return 201, key | {"key": "exn_secret"}, {}
        if (method, path) == ("GET", "/api/v1/keys"):
            return 200, {"keys": list(self.keys.values())}, {}
        if method == "DELETE" and self.keys.pop(path.rpartition("/")[2], None) is not None:
            return 200, {"message": "API key revoked"}, {}
        return _missing()


def _missing() -> Answer:
    return 404, {"message": "There is none", "error": "NOT_FOUND"}, {}


class _Asked(http.server.BaseHTTPRequestHandler):
    server: SignInFake

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(content) if content else None
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        status, said, headers = self.server.answer(self.command, self.path, token if scheme == "Bearer" else None, body)
        document = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(document))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(document)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def sign_in_fake() -> Iterator[SignInFake]:
    """One that answers until the block ends."""
    with SignInFake() as fake:
        thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield fake
        finally:
            fake.shutdown()
            thread.join()
