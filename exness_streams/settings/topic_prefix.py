"""Whose a data directory of a worker on Kafka is: its tables and checkpoints are those of one platform's topics."""

from __future__ import annotations

import os
from pathlib import Path

from exness_streams.transport.faults import Misconfigured

VARIABLE = "EXNESS_TOPIC_PREFIX"
_MARK = "topic-prefix"
_MARK_BYTES_MAX = 128


def claim_prefix(data_dir: Path, prefix: str) -> None:
    """Mark a data directory as that of the topics with this prefix. Misconfigured when it is another's; OSError."""
    if not check_prefix(data_dir, prefix):
        data_dir.mkdir(parents=True, exist_ok=True)
        made = data_dir / f"{_MARK}.{os.getpid()}.new"  # workers of one machine may share the directory
        with made.open("wb") as file:
            file.write(prefix.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(data_dir / _MARK)


def check_prefix(data_dir: Path, prefix: str) -> bool:
    """Whether a data directory is marked as of the topics with this prefix; False when it has no mark yet.

    One that workers of before there were prefixes have used is that of topics without. Misconfigured, OSError.
    """
    try:
        with (data_dir / _MARK).open("rb") as file:
            known = file.read(_MARK_BYTES_MAX).strip().decode("ascii", "replace")
    except FileNotFoundError:
        if not (data_dir / "workers").exists():
            return False
        known = ""
    if known == prefix:
        return True
    holds = f"those of the topics with the prefix {known}" if known else "those of topics without a prefix"
    back = f"set {VARIABLE}={known}" if known else f"unset {VARIABLE}"
    asked = f"{VARIABLE}={prefix}" if prefix else f"no {VARIABLE}"
    raise Misconfigured(
        f"{asked} is refused: the tables and checkpoints in {data_dir} are {holds}. To go on with them {back}; for "
        "another platform choose another directory (EXNESS_DATA_DIR)"
    )
