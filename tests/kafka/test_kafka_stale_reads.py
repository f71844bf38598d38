"""A worker that stood still for longer than its session, and goes on: what it tells first is right, or a refusal.

Its clients have sent their requests while it stood still, so they are read before it hears of anything.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
from aiokafka.partitioner import DefaultPartitioner
from engine_process import GIVE_UP_S, PARTITIONS, POLL_S, Client, EngineProcess, prices
from kafka_harness import KafkaHarness

DEPOSIT = "/api/v1/account/deposit"
READS = ("/api/v1/state", "/api/v1/trades", "/api/v1/equity")
SECOND = {"amount": 2}

_OF_A_CELL = re.compile(r'^exness_journal_lag_records\{partition="(\d+)"\}', re.M)


@asynccontextmanager
async def two_workers(harness: KafkaHarness, session: aiohttp.ClientSession) -> AsyncIterator[list[EngineProcess]]:
    """Each has one of the two cells."""
    workers = [
        EngineProcess(harness.directory / name, harness.broker, EXNESS_WORKER_ID=name, EXNESS_SESSION_TIMEOUT_S="10")
        for name in ("one", "two")
    ]
    try:
        for worker in workers:
            await worker.wait_ready()
        while [len(await owned(worker, session)) for worker in workers] != [1, 1]:  # noqa: ASYNC110 - the workers have no event for it
            await asyncio.sleep(POLL_S)
        for worker in workers:
            await worker.wait_ready()
        yield workers
    finally:
        for worker in workers:
            worker.end()


async def owned(worker: EngineProcess, session: aiohttp.ClientSession) -> list[int]:
    """The partitions of a worker's cells."""
    async with session.get(worker.url + "/metrics") as answer:
        return [int(found) for found in _OF_A_CELL.findall(await answer.text())]


def accounts_in(partition: int) -> list[str]:
    """Some whose cell it is."""
    choose, partitions = DefaultPartitioner(), list(range(PARTITIONS))
    names = [f"a{number}" for number in range(20)]
    return [name for name in names if choose(name.encode(), partitions, partitions) == partition][:4]


class Asked:
    """A request that a worker has in its socket, whether it runs or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def of(cls, worker: EngineProcess, method: str, path: str, account: str, body: Any, key: str) -> Asked:
        host, port = worker.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", f"X-Account: {account}", "Connection: close"]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}", f"Idempotency-Key: {key}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        await writer.drain()
        return cls(reader, writer)

    async def answer(self) -> tuple[int, Any]:
        """Status and body; status 0 when its worker has ended without an answer, as one that was fenced does."""
        told = b""
        with suppress(ConnectionError):
            told = await asyncio.wait_for(self._reader.read(), GIVE_UP_S)
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        head, found, body = told.partition(b"\r\n\r\n")
        if not found:
            return 0, None
        status, *fields = head.decode().split("\r\n")
        if any(field.lower() == "transfer-encoding: chunked" for field in fields):
            _, _, body = body.partition(b"\r\n")
            body = body.split(b"\r\n")[0]
        return int(status.split()[1]), json.loads(body)


async def test_a_worker_that_stood_still_tells_nothing_old(harness: KafkaHarness) -> None:
    async with (
        aiohttp.ClientSession() as session,
        two_workers(harness, session) as workers,
        prices(harness.broker.address),
    ):
        stopped, other = workers
        accounts = accounts_in(*await owned(stopped, session))
        assert len(accounts) == 4
        before, after = Client(stopped.url, session), Client(other.url, session)
        for account in accounts:
            assert (await patient(before, account, {"amount": 1}, "first"))["sequence"] == 1
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(session.ws_connect(f"{stopped.url}/ws", headers={"X-Account": account}))
                for account in accounts
            ]
            stopped.signal(signal.SIGSTOP)
            try:
                for account in accounts:  # as soon as the group gives the other one all cells
                    assert (await patient(after, account, SECOND, "second"))["sequence"] == 2
                asked = [
                    (account, path, await Asked.of(stopped, "GET", path, account, None, ""))
                    for account in accounts
                    for path in READS
                ]
                repeats = [await Asked.of(stopped, "POST", DEPOSIT, account, SECOND, "second") for account in accounts]
            finally:
                stopped.signal(signal.SIGCONT)
            for account, path, request in asked:
                status, told = await request.answer()
                assert status in (0, 503) or told["sequence"] >= 2, (account, path, status, told)
            for repeat in repeats:
                status, told = await repeat.answer()
                assert (status == 200 and told["sequence"] == 2) or status in (0, 503, 504), (status, told)
            for stream in streams:
                await until_sent_away(stream)
        for account in accounts:
            again = await patient(after, account, SECOND, "second")
            assert again["sequence"] == 2, "whoever asked, it was done once"


async def patient(client: Client, account: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """A deposit with a key, repeated until somebody has settled it."""
    url = client._url + DEPOSIT
    headers = {"X-Account": account, "Idempotency-Key": key}
    for _ in range(int(GIVE_UP_S / POLL_S)):
        async with client._session.post(url, json=body, headers=headers) as response:
            answer: dict[str, Any] = json.loads(await response.read())
            if response.status == 200:
                return answer
            assert response.status in (503, 504), answer
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{account} is not served")


async def until_sent_away(stream: aiohttp.ClientWebSocketResponse) -> None:
    """Its worker closes it, or ends."""
    while (heard := await stream.receive(timeout=GIVE_UP_S)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert heard.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR), heard
