"""The disk fills while clients trade: each gets a clear answer or none, and what was acknowledged is there later."""

from __future__ import annotations

import http.client
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from platform_harness import PlatformThread, Reply

from exness_streams.audit.embedded import audit_all
from exness_streams.engine.engine import APP_ID
from exness_streams.processes.logs import is_news
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.embedded.open_log import OpenLog
from exness_streams.transport.faults import LogFull

DEPOSIT = "/api/v1/account/deposit"
CLIENTS = 4
PAGES = 150
"""Of 4 KiB: some hundred deposits fit."""


def deposit_until_it_ends(platform: PlatformThread, account: str) -> list[Reply]:
    """One USD after the other, each with a key of its own, until nobody answers."""
    replies: list[Reply] = []
    with suppress(OSError, http.client.HTTPException):  # it has ended, as it should
        while True:
            replies += [platform.post(DEPOSIT, {"amount": 1}, account, f"{account}-{len(replies)}")]
    return replies


# Connections that were open when it crashed are closed by the end of its process, which is ours here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def open_on_a_small_disk(self: OpenLog) -> None:
        self._log = EmbeddedLog(self.directory, pages_max=PAGES)

    accounts = [f"a{number}" for number in range(CLIENTS)]
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(OpenLog, "open", open_on_a_small_disk)
        platform = PlatformThread(tmp_path / "data").start()
        with ThreadPoolExecutor(CLIENTS) as clients:
            replies = dict(
                zip(accounts, clients.map(lambda one: deposit_until_it_ends(platform, one), accounts), strict=True)
            )
        with pytest.raises(LogFull, match="free some space"):
            platform.stop()
    printed = [record for record in caplog.records if is_news(record)]  # the command's last line tells the fault
    assert not [record for record in printed if record.exc_info], [record.getMessage() for record in printed]
    acknowledged = {account: [reply.status for reply in got].count(200) for account, got in replies.items()}
    assert sum(acknowledged.values()) > CLIENTS
    for got in replies.values():
        for refused in (reply for reply in got if reply.status != 200):
            assert refused.status in (503, 504), refused
            assert refused.json["error"] in ("NOT_READY", "OVERLOADED", "OUTCOME_UNKNOWN")
            assert refused.headers["Content-Type"].startswith("application/json")

    after = PlatformThread(tmp_path / "data").start()
    try:
        for account, sure in acknowledged.items():
            state = after.state(account)
            # Each client had one request under way when the disk was full: it may or may not be there.
            assert sure <= state["sequence"] <= len(replies[account]) + 1
            assert state["balances"]["USD"] == 10_000 + state["sequence"]
            again = after.post(DEPOSIT, {"amount": 1}, account, f"{account}-0")
            assert (again.status, after.state(account)["sequence"]) == (200, state["sequence"])
    finally:
        after.stop()
    settings = after.settings
    (audit,) = audit_all(settings.log_dir, settings.tables_dir, settings.checkpoints_dir, APP_ID)
    assert audit.is_clean, audit.differences
