"""What histories lack, and what their topic holds that is no event: counted, and said once a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from exness_streams.domain.outside_text import in_one_line
from exness_streams.engine.history_partition import Slice

log = logging.getLogger(__name__)

TOLD_EACH_S = 60.0


class HistoryLosses:
    """Of one process. passed_over: records that are no events. missing: events that never came."""

    def __init__(self, topic: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._clock_s = clock_s
        self.passed_over = self.missing = 0
        self._told_at_s: dict[str, float] = {}

    def count(self, partition: int, part: Slice) -> None:
        """Of what was folded."""
        if part.strange:
            self._pass_over(partition, part)
        if part.missing:
            self._miss(partition, part)

    def _pass_over(self, partition: int, part: Slice) -> None:
        """No event of ours: the topic is public. Were it one that was damaged, the account's next tells."""
        self.passed_over += len(part.strange)
        if self._is_time("passed over"):
            offset, error = part.strange[0]
            log.warning(
                "record %d of partition %d of %s can't be read as an event (%s) and is passed over, the %d. so far: "
                "only workers may write to that topic",
                offset,
                partition,
                self._topic,
                in_one_line(str(error), 200),
                self.passed_over,
            )

    def _miss(self, partition: int, part: Slice) -> None:
        self.missing += sum(part.missing.values())
        if self._is_time("missing"):
            account_id, missing = next(iter(part.missing.items()))
            log.warning(
                "partition %d of %s lacks %d events of account %s, and %d so far of all: its trades and its balance's "
                "course lack what those told; its money, positions and orders do not (docs/operations.md, Lost state)",
                partition,
                self._topic,
                missing,
                in_one_line(account_id, 100),
                self.missing,
            )

    def _is_time(self, what: str) -> bool:
        now_s = self._clock_s()
        if now_s - self._told_at_s.get(what, float("-inf")) <= TOLD_EACH_S:
            return False
        self._told_at_s[what] = now_s
        return True
