"""A browser for each module; skipped where there is none, but never in CI."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

if importlib.util.find_spec("playwright"):  # chromium.py says what is missing
    from chromium import DESKTOP, Trader, find_chromium
    from platform_harness import PlatformThread
    from platform_process import PlatformProcess
    from playwright.sync_api import Browser, sync_playwright
    from ports import free_port

    Visit = Callable[..., Trader]
    _numbers = itertools.count(1)

    @pytest.fixture(scope="module")
    def browser() -> Iterator[Browser]:
        path = find_chromium()
        if path is None:
            missing = "Chromium is not installed (Debian: apt-get install chromium-headless-shell, or chromium)"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        with sync_playwright() as playwright:
            # No sandbox: root has none in a container. No such checks: a document that a test has changed has no
            # address, and may not connect to this machine then.
            browser = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
            )
            yield browser
            browser.close()

    @pytest.fixture(scope="module")
    def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
        """Simulated prices that stand still until a test moves them."""
        thread = PlatformThread(
            tmp_path_factory.mktemp("platform"), fee_rate="0.001", maintenance_margin_rate="0.005", max_leverage="50"
        )
        try:
            yield thread.start()
        finally:
            thread.stop()

    @pytest.fixture(scope="module")
    def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
        """`exness-streams run --feed simulated`, as a user starts it; the seed is always the same."""
        process = PlatformProcess(tmp_path_factory.mktemp("process") / "data", free_port())
        process.start()
        try:
            process.wait_tradable()
            yield process
        finally:
            process.end()

    @pytest.fixture
    def account() -> str:
        """One that nobody else uses."""
        return f"trader-{next(_numbers)}"

    @pytest.fixture
    def visit(browser: Browser, request: pytest.FixtureRequest, account: str) -> Iterator[Visit]:
        """visit(url): a page, in a browser profile of its own. At the end each must have behaved."""
        traders: list[Trader] = []

        def visit(url: str, name: str = account, beside: Trader | None = None, **options: Any) -> Trader:
            context = beside.context if beside else browser.new_context(**{"viewport": DESKTOP, **options})
            traders.append(Trader(context, url, name))
            return traders[-1]

        yield visit
        for number, trader in enumerate(traders, 1):
            trader.picture(re.sub(r"\W+", "-", f"{request.node.name}-{number}"))
        for context in browser.contexts:
            context.close()
        for trader in traders:
            assert not trader.unexpected, trader.unexpected

    @pytest.fixture
    def trader(visit: Visit, platform: PlatformThread) -> Trader:
        """A page on the module's platform, at live prices."""
        return visit(f"http://127.0.0.1:{platform.port}").arrive()
