"""The mails of a platform without a mail server, which tells its links to whoever runs it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager


class Mailbox(logging.Handler):
    """links: e-mail addresses with what was mailed to them, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the link that a line of the log tells."""
        if found := re.search(r"(\S+@\S+) is: (\S+)$", record.getMessage()):
            self.links.append((found[1], found[2]))

    def link_of(self, email: str, count: int = 1) -> str | None:
        """The newest link for an address, once there are so many."""
        links = [link for whose, link in self.links if whose == email]
        return links[-1] if len(links) >= count else None


@contextmanager
def open_mailbox() -> Iterator[Mailbox]:
    """That of all platforms in this process, until the block ends."""
    box, source = Mailbox(), logging.getLogger("exness_streams.identity.mail")
    source.addHandler(box)
    try:
        yield box
    finally:
        source.removeHandler(box)
