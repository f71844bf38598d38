"""Keeps Faust from reading its hundred or so environment variables, which would override the app's settings.

What the platform can be told has names of its own (EXNESS_…, KAFKA_BROKERS, PORT). `WEB_BIND=0.0.0.0` left over from
another service must not open a door, nor `APP_DATADIR` move the data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any

NO_ENVIRONMENT: dict[str, Any] = {"env": {}}
"""An option of each app: the environment that its settings are read from."""

READ_AT_IMPORT = frozenset(
    {"CYTHON_OPTIMIZATIONS", "DEVLOG", "DJANGO_SETTINGS_MODULE", "GEVENT_LOOP", "NO_CYTHON", "TYPEXPR_DEBUG"}
)
PREFIXES_READ_AT_IMPORT = ("FAUST_", "F_")


def forget_faust_variables(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Take away what Faust and mode read while they are imported. Call it before. Returns the names."""
    found = [name for name in environment if name in READ_AT_IMPORT or name.upper().startswith(PREFIXES_READ_AT_IMPORT)]
    for name in found:
        del environment[name]
    return found


def ignored_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that Faust would have obeyed, and that count for nothing here."""
    from faust.types.settings import Settings

    return sorted(name for param in Settings.SETTINGS.values() if (name := param.env_name) and name in environment)
