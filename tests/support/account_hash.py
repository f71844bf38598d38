"""One figure for what all accounts of a running platform have."""

from __future__ import annotations

from platform_harness import PlatformThread

from exness_streams.domain import codec
from exness_streams.domain.state_hash import state_hash
from exness_streams.processes.engine_worker import Platform

PREFIXES = (codec.ROW_PREFIX, codec.OUTCOME_PREFIX, codec.SLOT_PREFIX)


def hashed(platform: PlatformThread) -> str:
    """Of all that is committed of them, and of what is remembered of their requests; prices go on meanwhile."""
    running = platform.platform
    if not isinstance(running, Platform):
        raise RuntimeError("it does not run")
    table, cells = running.engine.table, running.engine.settings.partitions

    def read() -> str:
        return state_hash(entry for cell in range(cells) for prefix in PREFIXES for entry in table.scan(cell, prefix))

    found: str = platform.call(read)
    return found
