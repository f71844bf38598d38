"""A real mail server in a thread, and the mails that it took."""

from __future__ import annotations

import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from ports import free_port

WAIT_S = 30.0


class Mailbox:
    """Takes mails on 127.0.0.1. password: of the user `mailer`, None for anybody."""

    def __init__(self, password: str | None = None) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.refuses = False
        self._password = password
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            auth_required=password is not None,
            auth_require_tls=False,
            authenticator=self._authenticate,
        )

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _authenticate(self, server: SMTP, session: Any, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        is_right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            b"mailer",
            (self._password or "").encode(),
        )
        return AuthResult(success=is_right)

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuses:
            return "451 come again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    def link(self, email: str) -> str:
        """The link of the newest mail to an address. TimeoutError when none comes."""
        give_up_at_s = time.monotonic() + WAIT_S
        while time.monotonic() < give_up_at_s:
            for mail in reversed(self.mails):
                if mail["To"] == email:
                    return re.findall(r"https?://\S+", mail.get_content())[0]
            time.sleep(0.01)
        raise TimeoutError(f"no mail to {email} came")


def parts_of(link: str) -> dict[str, str]:
    """token and email of a link."""
    return dict(re.findall(r"[?&](token|email)=([^&]+)", link.replace("%40", "@")))
