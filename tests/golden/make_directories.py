"""Makes the golden data directories of a release, with the code that is installed:

    python tests/golden/make_directories.py 0.1.0

Two archives under tests/golden/VERSION: `clean` was stopped in order, after a checkpoint; `killed` got SIGKILL in the
middle of its work. Beside each, what its clients were told. Run it once per release, before anything is changed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from platform_process import PlatformProcess, run_cli
from ports import free_port

HERE = Path(__file__).parent
ACCOUNTS = ("demo", "alice", "bob-7", "X_1")
SECONDS = 5.0
SETTINGS = {"EXNESS_FEE_RATE": "0.0005", "EXNESS_SPREAD_RATE": "0.0002", "EXNESS_JOURNAL_RETENTION_HOURS": "0"}

_SMALL = {"margin": "10", "asset": "SOL", "type": "long", "leverage": "2"}
REFUSED: list[tuple[str, Any]] = [
    ("/api/v1/positions/close", {"positionId": "pos_0_0"}),
    ("/api/v1/orders/cancel", {"orderId": "ord_0_0"}),
    ("/api/v1/positions/open", _SMALL | {"margin": "900000"}),
    ("/api/v1/positions/open", _SMALL | {"stopLoss": "99999"}),
    ("/api/v1/positions/open", _SMALL | {"price": "1", "slippage": "1"}),
    ("/api/v1/orders/place", _SMALL | {"kind": "stop", "price": "1"}),
]
"""What the cell refuses, in some of its many ways: a refusal under a key is remembered, too."""


def send(url: str, path: str, account: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    """Status and JSON of one request; OSError when there is no answer."""
    headers = {"X-Account": account, "Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=content, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def next_request(rng: random.Random, state: Any) -> tuple[str, Any]:
    """Any of the requests that change an account, as its state allows."""
    positions, orders = state["positions"], state["orders"]
    kind = rng.random()
    if kind < 0.25 and positions:
        part = rng.choice([{}, {"percentage": "40"}])
        return "/api/v1/positions/close", {"positionId": rng.choice(positions)["positionId"], **part}
    if kind < 0.35 and positions:
        position = rng.choice(positions)
        middle = (position["liquidationPrice"] + position["markPrice"]) / 2
        return "/api/v1/positions/modify", {"positionId": position["positionId"], "stopLoss": f"{middle:.2f}"}
    if kind < 0.45:
        return "/api/v1/account/deposit", {"amount": str(rng.randint(1, 500))}
    if kind < 0.60:
        price = {"kind": "limit", "price": rng.choice(["149.9", "120", "149.99"])}
        return "/api/v1/orders/place", {"margin": "50", "asset": "SOL", "type": "long", "leverage": "5", **price}
    if kind < 0.65 and orders:
        return "/api/v1/orders/cancel", {"orderId": rng.choice(orders)["orderId"]}
    if kind < 0.67:
        return "/api/v1/account/reset", {"confirm": "RESET"}
    if kind < 0.70:
        return "/api/v1/positions/close-all", {}
    if kind < 0.75:
        return rng.choice(REFUSED)
    if kind < 0.80:
        expiring = {"kind": "stop", "price": "150.01", "expiresAt": int(time.time() * 1000) + rng.randint(1_500, 4_000)}
        return "/api/v1/orders/place", {"margin": "20", "asset": "SOL", "type": "long", "leverage": "3", **expiring}
    return "/api/v1/positions/open", {
        "margin": rng.choice(["1", "10", "100.5", "1000"]),
        "asset": rng.choice(["SOL", "BTC_USDC", "ETH"]),
        "type": rng.choice(["long", "short"]),
        "leverage": rng.choice(["1", "2", "20", "100"]),
    }


def trade(url: str, account: str, told: list[Any], until_s: float) -> None:
    """One client, until the time is over or the platform is gone."""
    rng = random.Random(account)
    number = 0
    while time.monotonic() < until_s:
        number += 1
        try:
            path, body = next_request(rng, send(url, "/api/v1/state", account)[1])
            key = f"{account}-{number}"
            status, reply = send(url, path, account, body, key)
        except OSError:
            return
        told.append({"account": account, "path": path, "body": body, "key": key, "status": status, "reply": reply})
        time.sleep(0.02)


def make(kind: str, target: Path) -> None:
    """One directory, packed, and what its clients were told."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / kind
        platform = PlatformProcess(data_dir, free_port(), **SETTINGS)
        platform.start()
        told: list[Any] = []
        try:
            platform.wait_tradable()
            until_s = time.monotonic() + SECONDS
            clients = [threading.Thread(target=trade, args=(platform.url, each, told, until_s)) for each in ACCOUNTS]
            for client in clients:
                client.start()
            if kind == "killed":
                time.sleep(SECONDS - 1)
                platform.kill()
            for client in clients:
                client.join()
            if kind == "clean":
                states = {each: send(platform.url, "/api/v1/state", each)[1] for each in ACCOUNTS}
                print(platform.terminate(), {each: state["account"]["balance"] for each, state in states.items()})
                print(run_cli("checkpoint", "--data-dir", str(data_dir)).stdout)
        finally:
            platform.end()
        (target / f"{kind}.json").write_text("".join(json.dumps(each, sort_keys=True) + "\n" for each in told))
        subprocess.run(["tar", "-C", folder, "-cJf", str(target / f"{kind}.tar.xz"), kind], check=True)


def main() -> None:
    target = HERE / sys.argv[1]
    target.mkdir()
    for kind in ("clean", "killed"):
        make(kind, target)
        print(f"{target / kind}: made")


main()
