"""How each cell of this worker is, in words for whoever asks /readyz: serving, or why not, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import NamedTuple, Protocol

from exness_streams.engine.frame_drops import WORDS, FrameDrops
from exness_streams.engine.owned_cell import Progress

LOOK_S = 1.0


class CellState(str, Enum):
    """The values are stable: they stand in /readyz, and serve as metric labels.

    RECOVERING: its table is being read. LOADING: what was in its journal is being folded. QUIESCED: partitions are
    being dealt out anew. BEHIND: commands are refused, reads are answered. DEAF: it drops all frames, so its prices
    stand still.
    """

    SERVING = "serving"
    RECOVERING = "recovering"
    LOADING = "loading"
    QUIESCED = "quiesced"
    BEHIND = "behind"
    DEAF = "deaf"


NOT_READY = frozenset({CellState.RECOVERING, CellState.LOADING, CellState.QUIESCED, CellState.DEAF})
"""What makes the worker unready. One that is behind recovers by itself, soonest when it is not asked elsewhere."""


class CellCondition(NamedTuple):
    """Of one partition. reason: goes on after "cell 3 is loading: "; empty for one that serves. since_ms: of this
    state, to the second."""

    partition: int
    state: CellState
    reason: str
    since_ms: int


class Cells(Protocol):
    """The cells that are here."""

    @property
    def frame_drops(self) -> FrameDrops:
        """Which of them take no frames."""

    @property
    def partitions(self) -> list[int]:
        """Theirs."""

    def holds_lease(self, partition: int) -> bool:
        """Whether it may commit."""

    def is_caught_up(self, partition: int) -> bool:
        """Whether it is here, and has folded what was in its journal."""

    def progress(self, partition: int) -> Progress:
        """How far it has come. KeyError when it is not here."""


class CellConditions:
    """assigned: the partitions that are this worker's by the group. behind: why a cell takes no commands, or ''."""

    def __init__(
        self,
        cells: Cells,
        assigned: Callable[[], Iterable[int]],
        behind: Callable[[int], str],
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._cells, self._assigned, self._behind, self._wall_s = cells, assigned, behind, wall_s
        self._known: dict[int, CellCondition] = {}

    def look(self) -> list[CellCondition]:
        """Every cell of this worker, by partition. To be called once a second at least, for `since_ms`."""
        self._known = {found.partition: found for found in self._found()}
        return list(self._known.values())

    @property
    def is_unready(self) -> bool:
        """Whether a cell was, at the last look."""
        return any(known.state in NOT_READY for known in self._known.values())

    def _found(self) -> Iterator[CellCondition]:
        now_ms = int(self._wall_s() * 1000)
        for partition in sorted({*self._assigned(), *self._cells.partitions}):
            state, reason = self._state_of(partition)
            known, drops = self._known.get(partition), self._cells.frame_drops.of(partition)
            since_ms = known.since_ms if known is not None and known.state is state else now_ms
            if state is CellState.DEAF and drops is not None:
                since_ms = drops.since_ms
            yield CellCondition(partition, state, reason, since_ms)

    def _state_of(self, partition: int) -> tuple[CellState, str]:
        cells = self._cells
        if partition not in cells.partitions:
            return CellState.RECOVERING, "its table is being read"
        if not cells.holds_lease(partition):
            return CellState.QUIESCED, "partitions are being dealt out anew among the workers"
        if not cells.is_caught_up(partition):
            at = cells.progress(partition)
            folded, whole = at.next_offset - at.first, at.journal_end - at.first
            return CellState.LOADING, f"{folded:,} of {whole:,} journal records are folded"
        drops = cells.frame_drops.of(partition)
        if drops is not None:
            return CellState.DEAF, f"it drops all frames, {drops.frames:,} by now, for they {WORDS[drops.reason]}"
        if behind := self._behind(partition):
            return CellState.BEHIND, behind
        return CellState.SERVING, ""
