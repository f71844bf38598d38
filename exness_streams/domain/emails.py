"""E-mail addresses, as far as an account hangs on one."""

from __future__ import annotations

import re

EMAIL_MAX = 254
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(\.{_ATOM})*@({_LABEL}\.)*{_LABEL}")


def normalized_email(text: str) -> str | None:
    """The one spelling of an address: without white space around it, in lower case. None when it is no address.

    A mailbox whose spelling differs by more (dots, a tag behind +) is another one to most mail servers, and to us.
    """
    email = text.strip(" \t").lower()
    local, _, _ = email.partition("@")
    return email if len(email) <= EMAIL_MAX and len(local) <= 64 and _EMAIL.fullmatch(email) else None
