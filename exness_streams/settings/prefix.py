"""What the names of our settings have in common. Imported by commands that read no setting of the platform's."""

from __future__ import annotations

import os
from collections.abc import Mapping

PREFIX = "EXNESS_"

OF_CLIENTS = frozenset({f"{PREFIX}URL", f"{PREFIX}ACCOUNT", f"{PREFIX}TOKEN", f"{PREFIX}INSECURE"})
"""Read by the commands of a person at a terminal."""


def has_settings_of_the_platform(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a variable has our prefix and is not one of the clients': a setting, or a slip."""
    return any(name.upper().startswith(PREFIX) and name.upper() not in OF_CLIENTS for name in environment)
