"""Pages of strangers in a real Chromium: by a name that leads to this machine (DNS rebinding), and from another origin.

The browser's own checks of local networks are off: the platform must hold without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import find_chromium
from platform_harness import PlatformThread
from playwright.sync_api import Browser, Page

STRANGER, FRIEND = "evil.example", "friend.example"

ATTACK = """
async (url) => {
    const tell = async (asked) => {
        try {
            const answer = await asked;
            return [answer.status, answer.type === 'opaque' ? '' : await answer.text()];
        } catch (failure) {
            return [0, String(failure)];
        }
    };
    const order = JSON.stringify({ margin: 100, asset: 'SOL', type: 'long' });
    const headers = { 'Content-Type': 'application/json' };
    const opened = (socket) => new Promise((resolve) => {
        socket.onmessage = () => resolve(true);
        socket.onerror = () => resolve(false);
        socket.onclose = () => resolve(false);
    });
    return {
        read: await tell(fetch(`${url}/api/v1/state`)),
        asked: await tell(fetch(`${url}/api/v1/state`, { headers })),
        traded: await tell(fetch(`${url}/api/v1/positions/open`, { method: 'POST', headers, body: order })),
        blind: await tell(fetch(`${url}/api/v1/positions/open`, { method: 'POST', mode: 'no-cors', body: order })),
        stream: await opened(new WebSocket(`${url.replace('http', 'ws')}/ws`)),
        bare: await opened(new WebSocket(url.replace('http', 'ws'))),
    };
}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), cors_origins=(f"http://{FRIEND}",))
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture(scope="module")
def tricked(browser: Browser) -> Iterator[Browser]:
    """A browser for which the strangers' names lead to this machine. browser: says what is missing."""
    rules = f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1,MAP {FRIEND} 127.0.0.1"
    launched = browser.browser_type.launch(
        executable_path=find_chromium(),
        args=["--no-sandbox", "--disable-features=LocalNetworkAccessChecks", rules],
    )
    yield launched
    launched.close()


def attack(tricked: Browser, origin: str, url: str) -> Any:
    """What a page of the origin gets from the platform at the URL."""
    page: Page = tricked.new_page()
    page.route(f"{origin}/trap", lambda route: route.fulfill(content_type="text/html", body="<p>Cats</p>"))
    page.goto(f"{origin}/trap")
    try:
        return page.evaluate(ATTACK, url)
    finally:
        page.close()


def test_a_name_that_leads_here_is_no_key(tricked: Browser, platform: PlatformThread) -> None:
    """The page is of the same origin as the platform then: no rule of the browser's stands between them."""
    before = platform.state()
    origin = f"http://{STRANGER}:{platform.port}"
    got = attack(tricked, origin, origin)
    for name in ("read", "asked", "traded", "blind"):
        status, body = got[name]
        assert (name, status) == (name, 421)
        assert json.loads(body)["error"] == "MISDIRECTED_REQUEST"
    assert (got["stream"], got["bare"]) == (False, False)
    assert platform.state() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_gets_nothing(tricked: Browser, platform: PlatformThread, host: str) -> None:
    before = platform.state()
    got = attack(tricked, f"http://{STRANGER}", f"http://{host}:{platform.port}")
    for name in ("read", "asked", "traded", "blind"):  # it may not even know that the last was sent, and refused
        status, failure = got[name]
        assert (name, status, "Failed to fetch" in failure) == (name, 0, True)
    assert (got["stream"], got["bare"]) == (False, False)
    assert platform.state() == before


def test_a_page_on_the_list_gets_all(tricked: Browser, platform: PlatformThread) -> None:
    before = platform.state()
    got = attack(tricked, f"http://{FRIEND}", f"http://127.0.0.1:{platform.port}")
    assert [got[name][0] for name in ("read", "asked", "traded")] == [200, 200, 201]
    assert (got["stream"], got["bare"]) == (True, True)
    assert len(platform.state()["positions"]) == len(before["positions"]) + 1
