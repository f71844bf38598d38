"""Where prices come from: the exchange itself, or anything else, which is called simulated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

Source = Literal["backpack", "simulated"]

SOURCES: Final[tuple[Source, ...]] = ("backpack", "simulated")

_EXCHANGE = "backpack.exchange"
_MARK_BYTES_MAX = 64


class OtherSource(Exception):
    """Prices of one source would be mixed with another's; str() is one line that tells the way out."""


def source_of(url: str) -> Source:
    """Whose prices a WebSocket URL gives: `backpack` on the exchange's own hosts, else `simulated`."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    is_exchange = host == _EXCHANGE or host.endswith("." + _EXCHANGE)
    return "backpack" if is_exchange else "simulated"


def claim_source(data_dir: Path, source: Source) -> None:
    """Mark a data directory as this source's; one without a mark is adopted. OtherSource, OSError.

    To be done once nothing else can refuse a start, and before the first price is written.
    """
    if not check_source(data_dir, source):
        _write(data_dir / "source", source)


def check_source(data_dir: Path, source: Source) -> bool:
    """Whether a data directory is marked as this source's; False when it has no mark yet. OtherSource, OSError."""
    mark = data_dir / "source"
    try:
        with mark.open("rb") as file:
            known = file.read(_MARK_BYTES_MAX).strip().decode("ascii", "replace")
    except FileNotFoundError:
        return False
    if known == source:
        return True
    if known not in SOURCES:
        raise OtherSource(f"{mark} should contain {' or '.join(SOURCES)}, the source of the prices, but does not")
    way_out = "run --feed simulated`" if known == "simulated" else "run --feed backpack` and no BACKPACK_WS_URL"
    raise OtherSource(
        f"{data_dir} holds trades at {known} prices, and this run would use {source} prices: choose another directory "
        f"(--data-dir, EXNESS_DATA_DIR), or go on with `exness-streams {way_out}"
    )


def check_topic(counted: Mapping[str, int], source: Source) -> None:
    """Whether prices of this source may follow those in the topic; most of its updates decide. OtherSource."""
    known = max(counted, key=lambda name: counted[name], default=source)
    if known != source:
        raise OtherSource(
            f"the topic of market updates holds {known} prices of the last day, and this process would write {source} "
            "ones: set BACKPACK_WS_URL back, or use another Kafka cluster"
        )


def _write(mark: Path, source: Source) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    made = mark.with_name("source.new")
    with made.open("wb") as file:
        file.write(source.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    made.replace(mark)
