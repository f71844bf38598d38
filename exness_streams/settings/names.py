"""The names of all settings: a variable with our prefix that is none of them is a slip, and stops the start."""

from __future__ import annotations

import os
from collections.abc import Mapping

from exness_streams.domain.nearest import nearest
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import UNPREFIXED, ConfigError
from exness_streams.settings.prefix import OF_CLIENTS, PREFIX


def setting_names() -> frozenset[str]:
    """Every variable with our prefix that some command reads. All commands know them all."""
    fields = KafkaSettings.model_fields
    return OF_CLIENTS | {PREFIX + name.upper() for name, field in fields.items() if field.validation_alias is None}


def refuse_unknown_variables(environment: Mapping[str, str] = os.environ) -> None:
    """ConfigError for the first variable that looks like a setting and is none, with the nearest that is."""
    known = setting_names()
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            meant = nearest(name, (*known, *UNPREFIXED), spelling=_without_prefix)
            hint = f"did you mean {meant}?" if meant else "docs/settings.md lists the settings"
            raise ConfigError(f"{ascii(name)[1:-1]} is not a setting; {hint}")


def _without_prefix(name: str) -> str:
    # All have it, so it says nothing; some of the settings have none.
    return name.upper().removeprefix(PREFIX)
