"""The calls of the original's page, as it sends them: another origin, preflights, bare WebSockets, no credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from mail_server import Mailbox
from platform_harness import CLOSE, OPEN, STATE, PlatformThread, Reply

PAGE = "http://localhost:3000"
JSON = {"Origin": PAGE, "Content-Type": "application/json"}
SHORT_CONNECTIONS = 80
"""More than an account has streams."""


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[PlatformThread]:
    running = PlatformThread(
        tmp_path_factory.mktemp("platform"), frontend_url=PAGE, smtp_host="127.0.0.1", smtp_port=mailbox.port
    ).start()
    yield running
    running.stop()


def fetched(platform: PlatformThread, method: str, path: str, body: Any = None) -> Reply:
    """What a browser gets for its page: it asks first, as JSON is no simple type, and then looks who may read."""
    asks = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    may = platform.send("OPTIONS", path, b"", {"Origin": PAGE, **asks})
    assert 200 <= may.status < 300
    assert may.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Content-Type" in may.headers["Access-Control-Allow-Headers"]
    assert method in may.headers["Access-Control-Allow-Methods"]
    reply = platform.send(method, path, b"" if body is None else json.dumps(body).encode(), JSON)
    assert reply.headers["Access-Control-Allow-Origin"] == PAGE
    return reply


def middle(platform: PlatformThread) -> float:
    return 150.05  # of 150.00 and 150.10


def order(platform: PlatformThread, slippage: float, kind: str = "long") -> dict[str, Any]:
    price = middle(platform)
    return {"margin": 100, "asset": "SOL", "type": kind, "leverage": 2, "slippage": slippage, "currentPrice": price}


def test_it_reads_the_state_as_numbers(platform: PlatformThread) -> None:
    state = json.loads(fetched(platform, "GET", STATE).body)
    assert isinstance(state["balances"]["USD"], int | float)
    assert state["positions"] == state["orders"] == []


@pytest.mark.parametrize("kind", ["long", "short"])
def test_it_opens_sees_and_closes(platform: PlatformThread, kind: str) -> None:
    opened = fetched(platform, "POST", OPEN, order(platform, 0.1, kind))
    assert 200 <= opened.status < 300
    shown = json.loads(fetched(platform, "GET", STATE).body)["positions"][0]
    assert (shown["asset"], shown["type"], shown["positionId"]) == ("SOL", kind, opened.json["positionId"])
    for name in ("margin", "leverage", "slippage", "entryPrice", "quantity", "unrealizedPnL", "timestamp"):
        assert isinstance(shown[name], int | float), name
    closed = fetched(platform, "POST", CLOSE, {"positionId": shown["positionId"], "currentPrice": middle(platform)})
    assert (closed.status, closed.json["message"]) == (200, "Position closed successfully")


def test_an_emptied_slippage_is_refused_in_words(platform: PlatformThread) -> None:
    """The middle lies between bid and ask, so no fill is at it or better."""
    before = fetched(platform, "GET", STATE).json
    refused = fetched(platform, "POST", OPEN, order(platform, 0))
    assert (refused.status, refused.json["error"]) == (400, "SLIPPAGE_EXCEEDED")
    assert "150.1" in refused.json["message"]
    assert fetched(platform, "GET", STATE).json == before


def test_a_position_that_is_not_there(platform: PlatformThread) -> None:
    refused = fetched(platform, "POST", CLOSE, {"positionId": "nothing", "currentPrice": 150})
    assert (refused.status, refused.json["error"]) == (404, "POSITION_NOT_FOUND")
    assert refused.json["message"]


async def test_its_socket_has_no_path_and_is_opened_again_and_again(platform: PlatformThread) -> None:
    async with aiohttp.ClientSession(headers={"Origin": PAGE}) as page:
        left = []
        for number in range(SHORT_CONNECTIONS):
            socket = await page.ws_connect(f"ws://127.0.0.1:{platform.port}")
            hello, *quotes = [json.loads((await socket.receive(30)).data) for _ in range(3)]
            assert hello["type"] == "connection"
            assert hello["message"]
            # It takes any message with bid and ask for its one symbol's.
            shown = [quote for quote in quotes if "bid" in quote and "ask" in quote]
            assert [(quote["symbol"], quote["bid"], quote["ask"]) for quote in shown] == [("SOL_USDC", 150, 150.1)]
            if number % 2:
                left.append(socket)  # a tab that went away without a word
            else:
                await socket.close()
        for socket in left:
            await socket.close()


async def test_the_socket_of_another_page_is_refused(platform: PlatformThread) -> None:
    async with aiohttp.ClientSession(headers={"Origin": "http://localhost:3001"}) as page:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await page.ws_connect(f"ws://127.0.0.1:{platform.port}")
    assert refused.value.status == 403


def test_the_banner_says_what_the_originals_did(platform: PlatformThread) -> None:
    banner = fetched(platform, "GET", "/").json
    assert banner["message"]
    assert banner["emailService"] == "configured"
    assert banner["timestamp"].endswith("Z")


def test_without_a_mail_server_the_banner_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    running = PlatformThread(tmp_path_factory.mktemp("mailing")).start()
    try:
        assert running.get("/").json["emailService"] == "not configured"
    finally:
        running.stop()


def test_both_names_of_this_machine_are_meant(platform: PlatformThread) -> None:
    reply = platform.send("GET", STATE, b"", {"Host": f"localhost:{platform.port}", **JSON})
    assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (200, PAGE)


@pytest.mark.parametrize("door", ["signup", "login"])
def test_its_own_door_opens(platform: PlatformThread, mailbox: Mailbox, door: str) -> None:
    """Sign-up or login, the mail, its page, and the page's GET: then it keeps the address, and sends no proof of it."""
    asked = fetched(platform, "POST", f"/api/auth/{door}", {"email": f"{door}@example.com"})
    assert 200 <= asked.status < 300
    link = mailbox.link(f"{door}@example.com")
    path, _, query = link.partition("?")
    assert path == f"{PAGE}/auth/verify"
    let_in = fetched(platform, "GET", f"/api/auth/verify?{query}")
    assert 200 <= let_in.status < 300
    assert let_in.json["success"] is True
    assert let_in.json["user"] == {"email": f"{door}@example.com", "verified": True}
    again = fetched(platform, "GET", f"/api/auth/verify?{query}")
    assert again.status == 400
    assert again.json["success"] is False
    assert again.json["error"].startswith("this link has been used")
    assert fetched(platform, "GET", STATE).status == 200  # it acts for `demo` afterwards, as before


def test_a_wrong_address_is_said_in_its_words(platform: PlatformThread) -> None:
    refused = fetched(platform, "POST", "/api/auth/login", {"email": "nobody"})
    assert refused.status == 400
    assert refused.json["error"]
    assert "e-mail address" in refused.json["message"]
