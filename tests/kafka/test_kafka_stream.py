"""The live stream on two engine workers: any of them streams any account, and one that goes sends its readers on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import aiohttp
from engine_process import GIVE_UP_S, POLL_S, Client, EngineProcess, prices
from kafka_harness import KafkaHarness
from stream_client import Book, Json, StreamClient, stream

ACCOUNTS = [f"a{number}" for number in range(6)]


async def metric(worker: EngineProcess, session: aiohttp.ClientSession, name: str) -> float:
    async with session.get(worker.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def wait_shared(workers: list[EngineProcess], session: aiohttp.ClientSession) -> None:
    """Until each of two workers has one of the two cells."""

    async def owned() -> list[float]:
        return [await metric(worker, session, "exness_cells_owned ") for worker in workers]

    async def wait() -> None:
        while await owned() != [1.0, 1.0]:  # noqa: ASYNC110 - the workers have no event for it
            await asyncio.sleep(POLL_S)

    await asyncio.wait_for(wait(), GIVE_UP_S)
    for worker in workers:
        await worker.wait_ready()


async def follow(client: StreamClient, book: Book, sequence: int) -> None:
    """Read on until the account's event `sequence`; every event must be the next one."""
    while book.sequence < sequence:
        message = await client.read()
        assert message is not None, (client.close_code, client.close_reason)
        if "eventId" in message:
            book.apply(message)


async def connect_again(worker: EngineProcess, account: str, stack: AsyncExitStack) -> tuple[StreamClient, Book]:
    """As a client does: until it is let in."""
    for _ in range(int(GIVE_UP_S / POLL_S)):
        try:
            client = await stack.enter_async_context(stream(worker.url, account))
            await client.next("connection")
            return client, Book(await client.next("state"))
        except (aiohttp.ClientError, AssertionError):  # noqa: PERF203
            await asyncio.sleep(POLL_S)
    raise AssertionError(f"{account} is not served again\n{worker.said()}")


async def test_any_worker_streams_any_account_and_one_that_goes_sends_its_readers_on(harness: KafkaHarness) -> None:
    workers = [
        EngineProcess(harness.directory / name, harness.broker, EXNESS_WORKER_ID=name) for name in ("one", "two")
    ]
    try:
        for worker in workers:
            await worker.wait_ready()
        async with aiohttp.ClientSession() as session, prices(harness.broker.address), AsyncExitStack() as stack:
            await wait_shared(workers, session)
            clients = [Client(worker.url, session) for worker in workers]
            streams = [
                (account, worker, *await connect_again(worker, account, stack))
                for account in ACCOUNTS
                for worker in workers
            ]
            await asyncio.gather(
                *(clients[n % 2].trade(account) for n, account in enumerate(ACCOUNTS) for _ in range(5))
            )
            states = {account: await clients[0].state(account) for account in ACCOUNTS}
            for account, _, client, book in streams:
                await follow(client, book, states[account]["sequence"])
                assert book.sequence == 10
            for worker in workers:
                assert await metric(worker, session, 'exness_stream_messages_total{type="relayed"}') > 0
                assert await metric(worker, session, 'exness_stream_messages_total{type="state"}') > 0
            await one_goes(workers, streams, session, stack)
        assert await workers[1].terminate() == 0, workers[1].said()
        for worker in workers:
            assert "Traceback" not in worker.said(), worker.said()
    finally:
        for worker in workers:
            worker.end()


async def one_goes(
    workers: list[EngineProcess],
    streams: list[tuple[str, EngineProcess, StreamClient, Book]],
    session: aiohttp.ClientSession,
    stack: AsyncExitStack,
) -> None:
    """The first worker is stopped: its readers are told, and go on at the other without a gap."""
    going, staying = workers
    assert await going.terminate() == 0, going.said()
    ended: dict[str, Book] = {}
    for account, worker, client, book in streams:
        if worker is going:
            assert (await client.closed())[0] == 1012
            ended[account] = book
    client = Client(staying.url, session)
    for account, before in ended.items():
        again, book = await connect_again(staying, account, stack)
        assert book == before, "nothing happened meanwhile"
        await client.trade(account)
        await follow(again, book, before.sequence + 2)
        state: Json = await client.state(account)
        assert book.sequence == state["sequence"]
