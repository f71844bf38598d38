"""The readers of this worker's live streams, and what is pushed to them.

An event goes to its account's sockets from within the fold. Market data is sent in paced rounds: one encoding per
quote, one batch for all readers at the same version, and nothing for a reader that has not read the last round.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from async_timeout import timeout

from exness_streams.api.ports import Ending, Feed, Quotes
from exness_streams.api.stream.market import MarketVersions
from exness_streams.api.stream.messages import FeedMessage, Form, HeartbeatMessage, encoded
from exness_streams.api.stream.reader import (
    BEHIND_BYTES,
    SERVICE_RESTART,
    SIGNED_OUT,
    TRY_AGAIN_LATER,
    UNREAD_BYTES_MAX,
    Reader,
)
from exness_streams.domain.events import Event
from exness_streams.domain.identity import Ended
from exness_streams.engine.event_sink import EventSink
from exness_streams.transport.freshness import Freshness

PACE_S = 0.05
"""Market data goes round at most this often; the first change after quiet goes at once."""

LOOK_S = 0.5
UNREAD_ALL_BYTES_MAX = 256 * 1024 * 1024
"""May wait for all readers together: what each may have is too much when all have it."""

HEARTBEAT_MS = 10_000
STOP_GRACE_S = 1.0
READERS_A_TURN = 25
SIGNED_OUT_WORDS = "the session is over: sign in again"
MOVING = "the account is moving: connect again"

UNKNOWN_SOURCE = "unknown"
STREAM_MESSAGES = ("state", "event", "market_data", "feed", "heartbeat", "relayed")
"""What is counted, by type; account events are one, and so is what other workers sent through here."""

READERS_MAX = 5_000
READERS_PER_ACCOUNT_MAX = 64
STREAMS_SHARE = 0.75
"""Of the server's connections: streams are never idle, and whoever only asks needs places, too."""

DISPLACED = "a newer stream of the same address took this one's place"


def readers_for(connections: int) -> int:
    """How many readers a server with so many connections has room for."""
    return max(1, min(READERS_MAX, int(connections * STREAMS_SHARE)))


class StreamHub(EventSink):
    """Knows every reader, those of this worker's own accounts by account. offered: as MarketVersions'."""

    def __init__(
        self,
        market: Quotes,
        feed: Feed,
        worker: Ending,
        freshness: Freshness,
        *,
        offered: Iterable[str] | None = None,
        readers_max: int = READERS_MAX,
        readers_per_account_max: int = READERS_PER_ACCOUNT_MAX,
        unread_all_bytes_max: int = UNREAD_ALL_BYTES_MAX,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.slow_closed = self.refused = self.displaced = 0
        self._quotes_of, self._feed, self._worker = market, feed, worker
        self._freshness = freshness
        self._readers_max, self._readers_per_account_max = readers_max, readers_per_account_max
        self._unread_all_bytes_max = unread_all_bytes_max
        self._readers_per_address_max = max(1, readers_max // 2)
        self._all: set[Reader] = set()
        self._of_account: dict[str, list[Reader]] = {}
        self._of_address: dict[str, dict[Reader, None]] = {}
        self._open = 0
        self._own: dict[Reader, None] = {}
        self._market = MarketVersions(offered)
        self._moved = asyncio.Event()
        self._has_behind = False
        self._emptied = asyncio.Event()
        self._feed_told = ("", "")
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """All readers, those relayed to other workers included."""
        return len(self._all)

    # The hub's life

    async def start(self, _: object = None) -> None:
        """Begin the rounds."""
        self._tasks = [asyncio.create_task(one) for one in (self._publish(), self._watch(), self._end_with_worker())]

    async def stop(self, _: object = None) -> None:
        """Send all readers elsewhere, and wait a moment for them to go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._send_all_away()

    async def _end_with_worker(self) -> None:
        # A worker takes its time to stop, and its web server is the last of it: readers should not wait for that.
        await self._worker.wait_until_stopped()
        await self._send_all_away()

    async def _send_all_away(self) -> None:
        for reader in list(self._all):
            self.dismiss(reader, SERVICE_RESTART, "the worker is stopping: connect again")
        if self._all:
            self._emptied.clear()
            try:
                async with timeout(STOP_GRACE_S):
                    await self._emptied.wait()
            except asyncio.TimeoutError:
                for reader in list(self._all):
                    reader.abort()

    # Coming and going

    def make_room_for(self, account_id: str, address: str) -> str:
        """Make room for one more reader: the oldest of its address goes when the account, the address or all are full.

        Returns why there is no room, '' when there is. An account may be everybody's (`demo`): nobody can take all of
        its streams from the others, nor all of the worker's. Guests have no account, and share only the worker.
        """
        of_address = self._of_address.get(address, {})
        of_account = self._of_account.get(account_id, ())
        if account_id and len(of_account) >= self._readers_per_account_max:
            oldest = next((reader for reader in of_account if reader.address == address), None)
            full = f"the account has its {self._readers_per_account_max} streams: close one"
        elif len(of_address) >= self._readers_per_address_max or self._open >= self._readers_max:
            oldest = next(iter(of_address), None)
            full = f"this worker serves its {self._readers_max} streams: try again later, or another worker"
        else:
            return ""
        if oldest is None:
            self.refused += 1
            return full
        self.displaced += 1
        self.dismiss(oldest, TRY_AGAIN_LATER, DISPLACED)
        return ""

    def admit(self, reader: Reader) -> None:
        """Count a reader whose messages come from elsewhere: it is closed when this worker stops."""
        self._all.add(reader)
        self._of_address.setdefault(reader.address, {})[reader] = None
        self._open += 1

    def follow(self, reader: Reader, snapshot: bytes | None, sequence: int) -> None:
        """Send a snapshot, the market and the feed; events from `sequence` on follow. All in one step: no gap.

        snapshot: None for a guest, who has no account.
        """
        self._tell_feed()
        self.admit(reader)
        self._own[reader] = None
        self._of_account.setdefault(reader.account_id, []).append(reader)
        reader.heartbeat_at_s = time.monotonic() + HEARTBEAT_MS / 1000 - LOOK_S
        if snapshot is not None:
            self.snapshot(reader, snapshot, sequence)
        self._refresh()
        self._send_market(reader)
        reader.send(self._feed_frame(reader.form))
        self.counters["feed"] += 1

    def snapshot(self, reader: Reader, snapshot: bytes, sequence: int) -> None:
        """Send the account as it stands after its event `sequence`."""
        reader.sequence = sequence
        reader.send(snapshot)
        self.counters["state"] += 1

    def dismiss(self, reader: Reader, code: int, reason: str) -> None:
        """Close a reader's stream: nothing follows."""
        self._unfollow(reader)
        reader.close(code, reason)

    def gone(self, reader: Reader) -> None:
        """The connection is over."""
        self._unfollow(reader)
        self._all.discard(reader)
        if not self._all:
            self._emptied.set()

    def _unfollow(self, reader: Reader) -> None:
        of_address = self._of_address.get(reader.address, {})
        if reader in of_address:
            self._open -= 1
            del of_address[reader]
            if not of_address:
                del self._of_address[reader.address]
        if reader in self._own:
            del self._own[reader]
            readers = self._of_account[reader.account_id]
            readers.remove(reader)
            if not readers:
                del self._of_account[reader.account_id]

    def is_too_slow(self, reader: Reader) -> bool:
        """Whether too much waits for a reader; its stream is closed then."""
        if reader.unread_bytes <= UNREAD_BYTES_MAX:
            return False
        self.give_up(reader)
        return True

    def give_up(self, reader: Reader) -> None:
        """A reader does not take what may not be left out."""
        if not reader.closing:
            self.slow_closed += 1
        self.dismiss(reader, TRY_AGAIN_LATER, "too slow: connect again for a new snapshot")

    # What the cells say

    def folded(self, partition: int, events: Sequence[Event]) -> None:
        if not self._own:
            return
        if events:
            self._send_stale_away()  # right as they are, the accounts' owner may not have come so far
        for event in events:
            readers = self._of_account.get(event.account_id)
            if readers:
                self._tell(list(readers), event)
        self._moved.set()

    def _tell(self, readers: Iterable[Reader], event: Event) -> None:
        """To each reader once, and never back: what is folded again, or is in the reader's snapshot, was told."""
        frames: dict[Form, bytes] = {}
        for reader in readers:
            if event.sequence <= reader.sequence:
                continue
            frame = frames.get(reader.form)
            if frame is None:
                frame = frames[reader.form] = encoded(event, reader.form)
            reader.send(frame)
            reader.sequence = event.sequence
            self.counters["event"] += 1
            self.is_too_slow(reader)

    def ended(self, ended: Ended) -> None:
        for reader in list(self._of_account.get(ended.account_id, ())):
            if reader.credential in ended.credentials:
                self.dismiss(reader, SIGNED_OUT, SIGNED_OUT_WORDS)

    def dropped(self, partition: int) -> None:
        for reader in [reader for reader in self._own if reader.partition == partition]:
            self.dismiss(reader, SERVICE_RESTART, MOVING)

    # Rounds

    async def _publish(self) -> None:
        version = 0
        while True:
            await self._moved.wait()
            self._moved.clear()
            begun_s = time.monotonic()
            self._refresh()
            if self._market.version == version and not self._has_behind:
                continue  # every cell tells of each frame: news would wait for the pause of what is none
            version = self._market.version
            await self._round()
            # A worker with more to do than it can makes its rounds less often, and orders keep their turn.
            await asyncio.sleep(max(PACE_S, 2 * (time.monotonic() - begun_s)))

    def _refresh(self) -> None:
        seen = self._quotes_of
        self._market.refresh(seen.quotes, seen.days, seen.markets)

    async def _round(self) -> None:
        sent, self._has_behind = 0, False
        for reader in list(self._own):
            if reader.closing or reader.market_version == self._market.version:
                continue
            if reader.unread_bytes > BEHIND_BYTES:
                self._has_behind = True
                self._moved.set()  # looked at again in the next round, whether the market moves or not
                continue
            self._send_market(reader)
            sent += 1
            if sent % READERS_A_TURN == 0:
                await asyncio.sleep(0)

    def _send_market(self, reader: Reader) -> None:
        batch = self._market.since(reader.market_version, reader.form, reader.symbols)
        if batch.updates:
            reader.send(batch.frames)
        reader.market_version = self._market.version
        self.counters["market_data"] += batch.updates

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._send_stale_away()
            self._tell_feed()
            self._beat()
            self._relieve()

    def _send_stale_away(self) -> None:
        """Their accounts may have moved while this worker stood still. Before any heartbeat says that nothing did."""
        if not self._freshness.is_fresh():
            for reader in [reader for reader in self._own if reader.account_id]:
                self.dismiss(reader, SERVICE_RESTART, MOVING)

    def _relieve(self) -> None:
        """When too much waits for all readers together, those for whom the most does go, with what waits for them."""
        waiting = {reader: reader.unread_bytes for reader in self._all}
        too_much = sum(waiting.values()) - self._unread_all_bytes_max
        for reader in sorted(waiting, key=waiting.__getitem__, reverse=True) if too_much > 0 else ():
            self.give_up(reader)
            reader.abort()
            too_much -= waiting[reader]
            if too_much <= 0:
                return

    def _tell_feed(self) -> None:
        feed = self._feed.feed_status()
        told = feed["status"], feed.get("source", UNKNOWN_SOURCE)
        if told == self._feed_told:
            return
        self._feed_told = told
        frame = self._feed_frame("number")  # it has no number that is no integer
        for reader in self._own:
            reader.send(frame)
            self.counters["feed"] += 1

    def _feed_frame(self, form: Form) -> bytes:
        feed = self._feed.feed_status()
        source = feed.get("source", UNKNOWN_SOURCE)
        told = FeedMessage(status=feed["status"], reason=feed.get("reason", ""), source=source)
        return encoded(told, form)

    def _beat(self) -> None:
        now_s, timestamp = time.monotonic(), int(time.time() * 1000)
        for reader in self._own:
            if reader.heartbeat_at_s > now_s or reader.unread_bytes > BEHIND_BYTES:
                continue
            reader.heartbeat_at_s = now_s + HEARTBEAT_MS / 1000 - LOOK_S
            reader.say(HeartbeatMessage(timestamp=timestamp, sequence=reader.sequence))
            self.counters["heartbeat"] += 1
