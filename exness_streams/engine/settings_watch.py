"""Whether this worker's deciding settings are those of the worker that makes the frames: each says their digest."""

from __future__ import annotations

import logging

from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame

log = logging.getLogger(__name__)

DIFFER = (
    "the deciding settings (instruments, terms, limits, starting balance, age of quotes) of this worker are not those "
    "of the worker that makes the price frames: give all workers the same, and start them again"
)


class SettingsWatch:
    """own: this worker's digest. It is said once that they differ, and once that they agree again."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._epoch = 0
        self.differ = False

    @property
    def reason(self) -> str:
        """Why this worker is degraded; empty when it is not."""
        return DIFFER if self.differ else ""

    def take(self, frame: PriceFrame | RawFrame) -> None:
        """A frame that came to a cell. One of a former framer, or of a release that tells no digest, says nothing."""
        if frame.epoch < self._epoch or frame.settings is None:
            return
        self._epoch = frame.epoch
        differ = frame.settings != self._own
        if differ != self.differ:
            self.differ = differ
            if differ:
                log.warning("%s (theirs %s, here %s)", DIFFER, frame.settings, self._own)
            else:
                log.info(
                    "the deciding settings of this worker are again those of the worker that makes the price frames"
                )
