"""The names of all settings: a variable with our prefix that is none of them is a slip, and stops the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches

from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import UNPREFIXED, ConfigError
from exness_streams.settings.prefix import OF_CLIENTS, PREFIX

ALIKE_MIN = 0.6


def setting_names() -> frozenset[str]:
    """Every variable with our prefix that some command reads. All commands know them all."""
    fields = KafkaSettings.model_fields
    return OF_CLIENTS | {PREFIX + name.upper() for name, field in fields.items() if field.validation_alias is None}


def refuse_unknown_variables(environment: Mapping[str, str] = os.environ) -> None:
    """ConfigError for the first variable that looks like a setting and is none, with the nearest that is."""
    known = setting_names()
    # Compared without the prefix, which all have; some of the settings have none.
    full_names = {name.removeprefix(PREFIX): name for name in (*known, *UNPREFIXED)}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper().removeprefix(PREFIX), full_names, n=1, cutoff=ALIKE_MIN)
            hint = f"did you mean {full_names[near[0]]}?" if near else "docs/settings.md lists the settings"
            raise ConfigError(f"{ascii(name)[1:-1]} is not a setting; {hint}")
