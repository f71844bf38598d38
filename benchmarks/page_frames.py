"""How smoothly the page runs in Chromium: frames a second with 500 open positions and 50 markets that move.

Needs Playwright and Chromium. The browser is headless and draws in software, on the same cores as the platform, so a
trader's machine with a graphics card does better. A frame is what requestAnimationFrame is called for; the
display's rate is 60 a second. Main thread: the share of the time in which the page's thread was busy.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import Figure, report
from playwright.sync_api import Page, sync_playwright
from running_platform import RunningPlatform

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from chromium import find_chromium  # type: ignore[import-not-found]  # found at run time

POSITIONS = 500
SYMBOLS = [f"S{n:02}_USDC" for n in range(50)]
UPDATES_PER_S = (200, 2_000)
DURATION_S = 10
FRAMES_PER_S_MIN = 50

COUNT_FRAMES = """(seconds) => new Promise((resolve) => {
  const times = [];
  const next = (now) => {
    times.push(now);
    if (now - times[0] < seconds * 1000) requestAnimationFrame(next);
    else resolve(times);
  };
  requestAnimationFrame(next);
})"""


class ManyMarkets(RunningPlatform):
    """A platform with many markets and room for many positions."""

    def __init__(self, data_dir: Path, updates_per_s: int) -> None:
        super().__init__(data_dir)
        self._rate = updates_per_s / len(SYMBOLS)

    def command(self) -> list[str]:
        return [*super().command(), "--rate", str(self._rate)]

    def environment(self) -> dict[str, str]:
        settings = {"EXNESS_INSTRUMENTS": ",".join(SYMBOLS), "EXNESS_MAX_OPEN": str(POSITIONS)}
        return super().environment() | settings

    def post(self, path: str, body: dict[str, object]) -> None:
        """POST, which must succeed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status not in (200, 201):
                raise RuntimeError(f"{path}: {answer.status} {said!r}")
        finally:
            connection.close()


def fill(platform: ManyMarkets) -> None:
    """Open the positions, over all markets."""
    for number in range(POSITIONS):
        side = "long" if number % 2 else "short"
        platform.post("/api/v1/positions/open", {"margin": 10, "asset": SYMBOLS[number % len(SYMBOLS)], "type": side})


def busy_s(session: Any) -> float:
    """Seconds that the page's main thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(entry["value"] for entry in metrics if entry["name"] == "TaskDuration"))


def watch(page: Page, url: str, name: str) -> list[Figure]:
    """Look at the page for a while."""
    page.goto(url)
    page.wait_for_selector('[data-testid="connection"][data-state="connected"]')
    page.wait_for_function(
        "n => document.querySelector('[data-testid=count-open]').textContent === n", arg=str(POSITIONS)
    )
    page.wait_for_timeout(2_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before_s = busy_s(session)
    times_ms: list[float] = page.evaluate(COUNT_FRAMES, DURATION_S)
    share = (busy_s(session) - before_s) / DURATION_S
    gaps_ms = sorted(after - before for before, after in itertools.pairwise(times_ms))
    per_s = (len(times_ms) - 1) / (times_ms[-1] - times_ms[0]) * 1000
    return [
        Figure(f"{name}: frames", per_s, "frames/s", at_least=FRAMES_PER_S_MIN),
        Figure(f"{name}: between frames, p99", gaps_ms[int(len(gaps_ms) * 0.99)], "ms"),
        Figure(f"{name}: between frames, longest", gaps_ms[-1], "ms"),
        Figure(f"{name}: main thread busy", share * 100, "%"),
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("Chromium is not installed")
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for rate in UPDATES_PER_S:
            with ManyMarkets(Path(made) / f"rate-{rate}", rate) as platform:
                platform.wait_for_quotes()
                fill(platform)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                name = f"{POSITIONS} positions, {len(SYMBOLS)} markets, {rate} updates/s"
                found += watch(page, f"http://127.0.0.1:{platform.port}/", name)
                page.close()
        browser.close()
    return found


if __name__ == "__main__":
    report(measure())
