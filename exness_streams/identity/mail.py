"""Sign-in links by mail, or on the terminal of who runs a platform on loopback."""

from __future__ import annotations

import asyncio
import logging
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from exness_streams.domain.hosts import is_loopback
from exness_streams.domain.outside_text import in_one_line
from exness_streams.settings.platform import Settings

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 15.0


class MailFault(Exception):
    """A mail was not sent. str(): why, in one line."""


class Mail:
    """Sends links. is_configured: whether there is a mail server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.is_configured = bool(settings.smtp_host)
        self._prints = not self.is_configured and is_loopback(settings.host)

    @property
    def refused(self) -> str:
        """Why no link can be sent at all; empty when it can."""
        if self.is_configured or self._prints:
            return ""
        return "this platform has no mail server (SMTP_HOST)"

    async def send_link(self, email: str, link: str) -> None:
        """MailFault when the mail server does not take it."""
        if self._prints:
            log.warning("no mail server is set (SMTP_HOST); the sign-in link of %s is: %s", email, link)
            return
        try:
            await self._send(_message(email, link, self._sender))
        except (aiosmtplib.SMTPException, OSError, asyncio.TimeoutError) as error:
            said = in_one_line(error) or type(error).__name__
            log.warning("the mail server %s took no mail: %s", self._settings.smtp_host, said)
            raise MailFault(said) from None

    @property
    def _sender(self) -> str:
        return self._settings.mail_from or f"login@{self._settings.smtp_host}"

    async def _send(self, message: EmailMessage) -> None:
        settings = self._settings
        await aiosmtplib.send(
            message,
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_secure,
            username=settings.smtp_user or None,
            password=settings.smtp_pass or None,
            timeout=SEND_TIMEOUT_S,
        )


def _message(email: str, link: str, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Exness Streams <{sender}>"
    message["To"] = email
    message["Subject"] = "Your sign-in link"
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        f"Open this link to sign in to Exness Streams:\n\n{link}\n\n"
        "It works once, within 15 minutes.\n"
        "If you did not ask for it, ignore this mail: nobody can sign in without it.\n"
    )
    return message
