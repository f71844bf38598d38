"""One engine worker in a process of its own on a real broker, with prices that a test makes itself."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer
from broker import Broker
from platform_process import environment
from ports import free_ports

from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder

GIVE_UP_S = 60.0
POLL_S = 0.05
PARTITIONS = 2
OPEN, CLOSE = "/api/v1/positions/open", "/api/v1/positions/close"
ORDER = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2}

_MAIN = "from exness_streams.cli import main; main()"
ENGINE = ["-c", _MAIN, "engine"]
MARKET_DATA = ["-c", _MAIN, "market-data"]
FAUST = ["-m", "faust", "-A", "exness_streams.app", "worker"]


class EngineProcess:
    """`exness-streams engine`, or another command that starts one. The worker's name is its port's."""

    def __init__(self, directory: Path, broker: Broker, command: Sequence[str] = ENGINE, **variables: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        port = variables.get("PORT") or str(free_ports(1)[0])
        self.output = directory / "engine.out"
        self.variables = {
            "KAFKA_BROKERS": broker.address,
            "PORT": port,
            "EXNESS_WORKER_ID": f"engine-{port}",
            "EXNESS_DATA_DIR": str(directory / "data"),
            "EXNESS_PARTITIONS": str(PARTITIONS),
            "EXNESS_STANDBY_REPLICAS": "0",
            "EXNESS_INSTRUMENTS": "SOL_USDC",
            **variables,
        }
        self.url = f"http://127.0.0.1:{port}"
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command], env=environment(**self.variables), stdout=output, stderr=output
            )

    def said(self) -> str:
        """All that it wrote."""
        return self.output.read_text(errors="replace")

    async def wait_ready(self) -> None:
        """Until GET /readyz gives 200. RuntimeError when the process has ended, or is not ready for very long."""
        give_up_at_s = time.monotonic() + GIVE_UP_S
        while not await asyncio.to_thread(self.is_ready):
            if self._process.poll() is not None or time.monotonic() > give_up_at_s:
                raise RuntimeError(f"the engine is not ready (exit {self._process.returncode}):\n{self.said()}")
            await asyncio.sleep(POLL_S)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """What GET /readyz says."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=5):
                return True
        except urllib.error.HTTPError as refused:
            refused.close()
        except OSError:
            pass
        return False

    async def wait_ended(self) -> int:
        """Its exit code. subprocess.TimeoutExpired when it goes on."""
        return await asyncio.to_thread(self._process.wait, GIVE_UP_S)

    def signal(self, number: signal.Signals) -> None:
        """Nothing when it has ended."""
        self._process.send_signal(number)

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait_ended()

    def end(self) -> None:
        """Whatever has happened, nothing is left running."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(GIVE_UP_S)


@asynccontextmanager
async def prices(address: str, every_s: float = 0.05) -> AsyncIterator[None]:
    """SOL_USDC has a price, now and every 50 ms while the context lasts. The topic must be there."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()

    async def publish() -> None:
        while True:
            now_ms = time.time_ns() // 1_000_000
            tick = MarketDataMessage("SOL_USDC", Decimal(150), now_ms, now_ms * 1000, None, Decimal(149), Decimal(151))
            await producer.send_and_wait(MARKET_UPDATES_TOPIC, json_encoder.encode(tick), key=b"SOL_USDC", partition=0)
            await asyncio.sleep(every_s)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
        await producer.stop()


class Client:
    """Asks the engine; a refusal for want of a price, or while cells move, is asked again."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def post(self, path: str, body: dict[str, Any], account: str) -> dict[str, Any]:
        """The answer to what must succeed."""
        return await self._ask("POST", path, account, json=body)

    async def state(self, account: str) -> dict[str, Any]:
        return await self._ask("GET", "/api/v1/state", account)

    async def _ask(self, method: str, path: str, account: str, **options: Any) -> dict[str, Any]:
        give_up_at_s = time.monotonic() + GIVE_UP_S
        headers = {"X-Account": account}
        while True:
            async with self._session.request(method, self._url + path, headers=headers, **options) as response:
                answer: dict[str, Any] = json.loads(await response.read())
                if response.status in (200, 201):
                    return answer
            assert response.status == 503, answer
            assert time.monotonic() < give_up_at_s, answer
            await asyncio.sleep(POLL_S)

    async def trade(self, account: str) -> None:
        """A position opened and closed."""
        opened = await self.post(OPEN, ORDER, account)
        await self.post(CLOSE, {"positionId": opened["positionId"]}, account)
