"""The OpenAPI document is what the server does: every route is in it, and every answer is as it says.

schemathesis sends a running platform what the document describes, and what it forbids, and checks each answer.
FUZZ_EXAMPLES: random cases per operation (20). FUZZ_SEED: of the random cases (1).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from platform_harness import PlatformThread

from exness_streams.api.openapi.document import openapi_document
from exness_streams.audit.embedded import audit_all
from exness_streams.engine.engine import APP_ID

PATH = "/api/v1/openapi.json"
FUZZ_EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "20")
FUZZ_SEED = os.environ.get("FUZZ_SEED", "1")
FUZZ_LIMIT_S = 300 + 10 * int(FUZZ_EXAMPLES)
CHECKS = """
[checks]
positive_data_acceptance.enabled = false  # what fits may still be refused by the rules of trading: openapi_checks.py
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 426, 429]  # 426: no WebSocket
"""
EVERY_EXAMPLE = (
    "getState", "openPosition", "modifyPosition", "closePosition", "closeAllPositions", "placeOrder", "cancelOrder",
    "deposit", "resetAccount",
)  # fmt: skip


def needs(module: str) -> pytest.MarkDecorator:
    """Skips where a tool is not installed; in CI that is a failure."""
    is_missing = importlib.util.find_spec(module) is None and "CI" not in os.environ
    return pytest.mark.skipif(is_missing, reason=f"{module} is not installed: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_quote_age_ms=3_600_000)
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def document(platform: PlatformThread) -> Any:
    return json.loads(platform.get(PATH).body)


def operations(document: Any) -> dict[str, tuple[str, str, Any]]:
    """(method, path, operation) by the operation's name."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_served_as_it_is_generated(platform: PlatformThread) -> None:
    reply = platform.get(PATH)
    assert reply.headers["Content-Type"].startswith("application/json")
    here = {"servers": [{"url": f"http://127.0.0.1:{platform.port}", "description": ANY}]}
    assert json.loads(reply.body) == json.loads(json.dumps(openapi_document())) | here
    strings = platform.get(PATH + "?numbers=string")
    assert json.loads(strings.body) == json.loads(json.dumps(openapi_document("string"))) | here


@needs("openapi_spec_validator")
def test_it_is_valid(document: Any) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")


def is_of_the_page(path: str) -> bool:
    return path == "/docs" or path.startswith("/web/")


def test_no_route_is_forgotten(platform: PlatformThread, document: Any) -> None:
    assert platform.platform is not None
    router = platform.platform.engine.app.web.web_app.router
    mounted = {
        (route.method, route.resource.canonical)
        for route in router.routes()
        if route.method != "HEAD" and route.resource is not None and not is_of_the_page(route.resource.canonical)
    }
    assert mounted == {(method, path) for method, path, _ in operations(document).values()}


def test_every_example_works(platform: PlatformThread, document: Any) -> None:
    known, ids = operations(document), dict[str, str]()
    assert {name for name, (_, path, _) in known.items() if path.startswith("/api/v1/")} >= set(EVERY_EXAMPLE)
    for name in EVERY_EXAMPLE:
        method, path, operation = known[name]
        content = operation.get("requestBody", {"content": {"application/json": {"examples": {"none": {"value": {}}}}}})
        for example in content["content"]["application/json"]["examples"].values():
            body = {field: ids.get(field, value) for field, value in example["value"].items()}
            sent = platform.post(path, body, "reader") if method == "POST" else platform.get(path, "reader")
            assert str(sent.status) == min(operation["responses"]), sent
            ids |= {field: sent.json[field] for field in ("positionId", "orderId") if field in sent.json}


def closed(document: Any) -> Any:
    """The document, with every answer forbidden to say more than it describes."""
    for name, schema in document["components"]["schemas"].items():
        if not name.endswith("Request"):
            schema.setdefault("additionalProperties", False)
    return document


def ask_schemathesis(document: Any, port: int, folder: Path, *options: str) -> None:
    """Run it. Prints what it found, and how to ask the same again."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(CHECKS)
    command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", f"http://127.0.0.1:{port}"]
    common = ["--continue-on-failure", "--no-color"]
    budget = ["--seed", FUZZ_SEED, "--max-examples", FUZZ_EXAMPLES]
    found_by = [str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")]
    hooks = {"SCHEMATHESIS_HOOKS": "openapi_checks", "PYTHONPATH": os.pathsep.join(found_by)}
    ran = subprocess.run(
        [*command, *common, *budget, *options],
        cwd=folder,
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        timeout=FUZZ_LIMIT_S,
        check=False,
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0, f"with seed {FUZZ_SEED}"


OF_MARKETS = "decideMarket"
"""Halts and settles at random: what comes after it finds no market to trade in."""


@pytest.mark.timeout(FUZZ_LIMIT_S + 60)
@needs("schemathesis")
def test_every_answer_is_as_described(platform: PlatformThread, document: Any, tmp_path: Path) -> None:
    phases = ("--phases", "examples,coverage,fuzzing", "--exclude-operation-id", OF_MARKETS)
    ask_schemathesis(closed(document), platform.port, tmp_path, *phases)


@pytest.mark.timeout(FUZZ_LIMIT_S + 60)
@needs("schemathesis")
def test_every_answer_in_a_sequence_is_as_described(platform: PlatformThread, document: Any, tmp_path: Path) -> None:
    options = ("--phases", "stateful", "--header", "X-Account: fuzz", "--exclude-operation-id", OF_MARKETS)
    ask_schemathesis(closed(document), platform.port, tmp_path, *options)
    assert platform.state("fuzz")["sequence"] > 0, "nothing happened"


@pytest.mark.timeout(FUZZ_LIMIT_S + 60)
@needs("schemathesis")
def test_every_answer_to_operators_of_markets_is_as_described(
    platform: PlatformThread, document: Any, tmp_path: Path
) -> None:
    phases = ("--phases", "examples,coverage,fuzzing", "--include-operation-id", OF_MARKETS)
    ask_schemathesis(closed(document), platform.port, tmp_path, *phases)


def test_after_all_of_that_money_is_conserved(platform: PlatformThread) -> None:
    platform.stop()
    settings = platform.settings
    audits = audit_all(settings.log_dir, settings.tables_dir, settings.checkpoints_dir, APP_ID)
    assert all(cell.is_clean for cell in audits), [cell.differences for cell in audits]
    assert sum(cell.accounts for cell in audits) > 0
