"""Watching an account: what the stream's frames make of it, how it looks, and that it comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from cli_fakes import ACCOUNT, POSITION, STATE, plain_environment
from rich.console import Console
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from exness_streams.client.refusals import RequestFailed
from exness_streams.client.stream import follow, stream_url
from exness_streams.terminal.watch_view import line, picture, show_live
from exness_streams.terminal.watching import JsonLines, Watch

__all__ = ["plain_environment"]  # fixture

GIVE_UP_S = 30.0


def in_strings(value: Any) -> Any:
    """As the stream writes with numbers=string (whole numbers that are no Decimal decode from strings, too)."""
    if isinstance(value, dict):
        return {name: in_strings(item) for name, item in value.items()}
    if isinstance(value, list):
        return [in_strings(item) for item in value]
    return str(value) if isinstance(value, float) else value


SNAPSHOT = in_strings({"type": "state", **STATE})
OPENED = {"type": "PositionOpened", "eventId": "0-1-0", "accountId": "demo", "sequence": 2, "symbol": "SOL_USDC"}


def quote(price: str, bid: str | None, ask: str | None) -> dict[str, Any]:
    return {"type": "market_data", "symbol": "SOL_USDC", "price": price, "bid": bid, "ask": ask, "timestamp": 1}


@pytest.fixture
def watch() -> Watch:
    seen = Watch("demo")
    seen.hear({"type": "connection", "message": "hello", "heartbeatMs": 1000})
    seen.hear(SNAPSHOT)
    return seen


def test_positions_are_valued_at_the_newest_quote(watch: Watch) -> None:
    watch.hear(quote("151", "150.9", "151.2"))
    (position,) = watch.positions
    account = watch.account
    assert account is not None
    assert position.mark_price == Decimal("150.9")
    assert position.unrealized_pnl == Decimal("10.65956029")  # (150.9 - 150.1) * 13.32445036
    assert account.equity == Decimal(10000) + position.unrealized_pnl
    assert account.free_margin == account.equity - 1000
    assert account.margin_level == account.equity / 10


@pytest.mark.parametrize(
    ("side", "bid", "ask", "mark", "pnl"),
    [
        ("long", None, "1", "150.2", "1.33244504"),
        ("short", "1", None, "150.2", "-1.33244504"),
        ("short", "1", "150", "150", "1.33244504"),
        ("long", "10", "11", "10", "-1000"),  # a loss never exceeds the margin
        ("short", "999", "1000", "1000", "-1000"),
    ],
)
def test_sides(side: str, bid: str | None, ask: str | None, mark: str, pnl: str) -> None:
    watch = Watch("demo")
    watch.hear(SNAPSHOT | {"positions": [in_strings(POSITION | {"type": side})]})
    watch.hear(quote("150.2", bid, ask))
    (position,) = watch.positions
    assert (position.mark_price, position.unrealized_pnl) == (Decimal(mark), Decimal(pnl))


def test_the_direction_is_that_of_the_last_change(watch: Watch) -> None:
    directions = []
    for price in ("150", "151", "151", "150.5", "150.5"):
        watch.hear(quote(price, "150", "152"))
        directions.append(watch.quotes["SOL_USDC"].direction)
    assert directions == [0, 1, 1, -1, -1]


def test_an_event_asks_for_a_snapshot_once(watch: Watch) -> None:
    assert not watch.take_wish()
    watch.hear(OPENED)
    watch.hear(OPENED)
    assert watch.take_wish()
    assert not watch.take_wish()
    assert list(watch.news) == ["PositionOpened SOL_USDC"] * 2


@pytest.mark.parametrize("frame", [[], 5, None, {"type": "state"}, {"type": "market_data", "price": "x"}])
def test_nonsense_is_an_error(watch: Watch, frame: Any) -> None:
    with pytest.raises(msgspec.MsgspecError):
        watch.hear(frame)


def test_what_is_not_known_is_overlooked(watch: Watch) -> None:
    watch.hear({"type": "candle", "symbol": "SOL_USDC"})
    watch.hear({"type": "heartbeat", "timestamp": 1, "sequence": 1})
    assert watch.connection == "connected"


def text_of(watch: Watch) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(picture(watch))
    return console.export_text()


def test_the_picture(watch: Watch) -> None:
    watch.hear(quote("151", "150.9", "151.2"))
    watch.hear({"type": "feed", "status": "stale", "reason": "nothing for 5 s", "source": "simulated"})
    watch.hear(OPENED)
    watch.disconnected("gone [/]")
    shown = text_of(watch)
    for text in ("disconnected: gone [/]", "feed stale: nothing for 5 s", "150.9", "pos_0_1", "+10.66", "10,010.66"):
        assert text in shown
    assert "SIMULATED PRICES" in shown
    assert "SIMULATED PRICES" in line(watch)
    assert "\n" not in line(watch)
    assert "equity 10,010.66" in line(watch)
    assert "SOL_USDC 150.9/151.2" in line(watch)


def test_a_market_that_is_not_open_is_shown_beside_its_quote(watch: Watch) -> None:
    watch.hear(quote("150", "149", "151"))
    assert "State" not in text_of(watch)
    told = {"type": "market_state", "symbol": "SOL_USDC", "state": "close_only", "stateReason": "exchange",
            "stateSince": 1, "settlementPrice": None}  # fmt: skip
    watch.hear(told)
    watch.hear({**told, "symbol": "OLD_USDC", "state": "halted", "stateReason": "operator"})
    assert "close-only: the exchange" in text_of(watch)
    assert "SOL_USDC 149/151 (close-only: the exchange)  OLD_USDC (halted: an operator)" in line(watch)
    watch.hear({**told, "state": "open", "stateReason": None})
    assert set(watch.states) == {"OLD_USDC"}
    watch.hear({"type": "connection", "heartbeatMs": 10_000})
    assert not watch.states, "a new stream tells them anew"


def test_an_account_below_its_margin_call_level_is_called() -> None:
    watch = Watch("demo")
    watch.hear(SNAPSHOT | {"account": in_strings(ACCOUNT | {"marginCall": True})})
    assert "margin call" in text_of(watch)


class FakeStream:
    """A server of /ws. Each connection gets the next of `scripts`, or waits."""

    def __init__(self) -> None:
        self.scripts: list[Callable[[ServerConnection], None]] = []
        self.refusal: tuple[int, bytes] | None = None
        self.paths: list[str] = []
        self._end = threading.Event()
        self._server = serve(self._handle, "127.0.0.1", 0, process_request=self._admit, close_timeout=0.1)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if self.refusal is None:
            return None
        status, body = self.refusal
        return connection.respond(HTTPStatus(status), body.decode())

    def _handle(self, connection: ServerConnection) -> None:
        if self.scripts:
            self.scripts.pop(0)(connection)
        else:
            self._end.wait(30)

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def stream() -> Iterator[FakeStream]:
    fake = FakeStream()
    yield fake
    fake.close()


class Enough(Exception):
    """Ends the following."""


def until(condition: Callable[[], bool], shown: Callable[[], object]) -> Callable[[], None]:
    """To be called on every tick. AssertionError with all that was shown when it never comes true."""
    seen: list[object] = []
    give_up_at_s = time.monotonic() + GIVE_UP_S

    def tick() -> None:
        if condition():
            raise Enough
        if not seen or seen[-1] != shown():
            seen.append(shown())
        assert time.monotonic() < give_up_at_s, f"it never came true; shown were {seen}"

    return tick


def send(*frames: Any) -> Callable[[ServerConnection], None]:
    def script(connection: ServerConnection) -> None:
        for frame in frames:
            connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    return script


def test_it_comes_back_and_asks_anew(stream: FakeStream) -> None:
    asked: list[str] = []

    def second(connection: ServerConnection) -> None:
        send(SNAPSHOT, OPENED)(connection)
        asked.append(str(connection.recv()))
        send(SNAPSHOT | {"positions": []})(connection)
        with suppress(ConnectionClosed):
            connection.recv()

    watch, seen = Watch("a_1"), []

    def came_back() -> bool:
        seen.append(watch.connection)
        return bool(asked) and not watch.positions

    stream.scripts = [send(SNAPSHOT), second]
    with pytest.raises(Enough):
        follow(stream.url, watch, until(came_back, lambda: (watch.connection, len(watch.positions))))
    assert asked == ['{"type":"resync"}']
    assert any(state.startswith("disconnected") for state in seen)
    assert watch.connection == "connected"
    assert stream.paths == ["/ws?account=a_1&numbers=string"] * 2


@pytest.mark.parametrize("frame", ["{", "[]", '{"type":"state"}'])
def test_a_frame_that_makes_no_sense_is_a_broken_stream(stream: FakeStream, frame: str) -> None:
    watch = Watch("demo")
    stream.scripts = [send(frame)] * 100  # a busy machine may lose a connection before its frame is read
    with pytest.raises(Enough):
        follow(stream.url, watch, until(lambda: "cannot be read" in watch.connection, lambda: watch.connection))


def test_silence_is_a_broken_stream(stream: FakeStream) -> None:
    def mute(connection: ServerConnection) -> None:
        send({"type": "connection", "message": "", "heartbeatMs": 40}, SNAPSHOT)(connection)
        with suppress(ConnectionClosed):
            connection.recv()

    watch = Watch("demo")
    stream.scripts = [mute]
    is_told = until(lambda: watch.connection == "disconnected: no heartbeat", lambda: watch.connection)
    with pytest.raises(Enough):
        follow(stream.url, watch, is_told)


def test_a_refusal_ends_it(stream: FakeStream) -> None:
    stream.refusal = (400, b'{"message":"no such name","error":"INVALID_REQUEST"}')
    with pytest.raises(RequestFailed, match="INVALID_REQUEST: no such name"):
        follow(stream.url, Watch("demo"), lambda: None)


def test_a_platform_that_is_starting_is_waited_for(stream: FakeStream) -> None:
    stream.refusal = (503, b'{"message":"starting","error":"NOT_READY"}')
    watch = Watch("demo")

    def has_started() -> bool:
        if watch.connection == "disconnected: NOT_READY: starting":
            stream.refusal, stream.scripts = None, [send(SNAPSHOT)]
        return watch.state is not None

    with pytest.raises(Enough):
        follow(stream.url, watch, until(has_started, lambda: watch.connection))


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:x", "http://127.0.0.1:1"])
def test_nothing_to_watch_is_told(url: str) -> None:
    with pytest.raises(RequestFailed):
        follow(url, Watch("demo"), lambda: None)


def test_the_address_of_the_stream() -> None:
    assert stream_url("https://x.test/desk/", "a b") == "wss://x.test/desk/ws?account=a+b&numbers=string"


def test_lines_where_there_is_no_terminal(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    show_live(Console(), watch, lambda tick: (tick(), tick())[0])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1, "a line a second"
    assert "connected" in out


def test_a_live_table_on_a_terminal(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    show_live(Console(force_terminal=True, width=100), watch, lambda tick: tick())
    assert "pos_0_1" in capsys.readouterr().out


def test_a_program_gets_each_frame_as_it_came(stream: FakeStream) -> None:
    frames = ['{"type":"connection","message":"","heartbeatMs":2000}', '{"type":"state", "price":1.10}', "{"]
    stream.scripts = [send(*frames), send(*frames)]
    lines: list[bytes] = []
    complaints: list[str] = []
    seen = JsonLines("ann", lines.append, complaints.append)
    has_all = until(lambda: len(lines) == 4 and len(complaints) == 2, lambda: (list(lines), list(complaints)))
    with pytest.raises(Enough):
        follow(stream.url, seen, has_all)
    assert lines == [frame.encode() for frame in frames[:2]] * 2
    assert all("cannot be read" in why for why in complaints)
    assert seen.silence_s_max == 5
    assert stream.paths[0] == "/ws?account=ann&numbers=number"


def test_what_goes_on_is_complained_of_once() -> None:
    complaints: list[str] = []
    seen = JsonLines("ann", lambda line: None, complaints.append)
    for why in ("gone", "gone", "refused", "refused"):
        seen.disconnected(why)
    seen.take('{"type":"heartbeat"}')
    seen.disconnected("refused")
    assert complaints == ["gone", "refused", "refused"]
