"""With which code a process ends, by what failed: a supervisor may start it again, or had better not."""

from __future__ import annotations

from exness_streams.market_data.source import OtherSource
from exness_streams.settings.platform import ConfigError
from exness_streams.transport.faults import Misconfigured

EXIT_FAILED = 1
"""A fault; starting again may help."""

EXIT_MISCONFIGURED = 2
"""What was set can't work, and will not before somebody changes it."""

MISCONFIGURED = (Misconfigured, ConfigError, OtherSource, PermissionError)


def exit_code_of(failed: BaseException) -> int:
    """The code for what failed. A port or a directory that is not this user's counts as a setting."""
    return EXIT_MISCONFIGURED if isinstance(failed, MISCONFIGURED) else EXIT_FAILED
