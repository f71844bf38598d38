"""Thousands of requests that no route can take: each gets the right code in the one shape, and changes nothing.

MALFORMED_REQUESTS: how many (300). MALFORMED_SEED: of their choice (1).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest
from account_hash import hashed
from malformed_requests import Malformed, MalformedRequests
from platform_harness import OPEN, PlatformThread, until

REQUESTS = int(os.environ.get("MALFORMED_REQUESTS", "300"))
SEED = int(os.environ.get("MALFORMED_SEED", "1"))
GIVE_UP_S = 60.0


@pytest.fixture(params=["open", "required"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    access = {"auth": request.param, "secret_key": ("a secret of thirty-two bytes or more",)}
    data_dir = tmp_path_factory.mktemp("platform") / "data"
    thread = PlatformThread(data_dir, rate_limit="", address_rate_limit="", **access)
    try:
        yield thread.start()
    finally:
        thread.stop()


def answered(connection: http.client.HTTPConnection, sent: Malformed) -> tuple[int, bytes, str]:
    """Status, body and media type."""
    connection.putrequest(sent.method, sent.path)
    for name, value in sent.headers.items():
        connection.putheader(name, value.encode("utf-8"))
    if sent.content or sent.method in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(len(sent.content)))
    connection.endheaders(sent.content)
    response = connection.getresponse()
    return response.status, response.read(), response.headers.get("Content-Type", "")


def test_each_is_refused_as_it_should_be(platform: PlatformThread, caplog: pytest.LogCaptureFixture) -> None:
    is_open = platform.settings.auth == "open"
    if is_open:
        empty = hashed(platform)
        platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"})
        until(lambda: hashed(platform) != empty)
    before = hashed(platform)
    requests = MalformedRequests(json.loads(platform.get("/api/v1/openapi.json").body), random.Random(SEED))
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=GIVE_UP_S)
    seen: Counter[int] = Counter()
    with caplog.at_level(logging.WARNING):
        for _ in range(REQUESTS):
            sent = requests.next()
            try:
                status, body, kind = answered(connection, sent)
            except (ConnectionError, http.client.HTTPException):
                connection.close()  # the answer before was about a body that was not read
                status, body, kind = answered(connection, sent)
            seen[status] += 1
            assert status in sent.statuses or (status == 401 and not is_open), (sent, body)
            if sent.method != "HEAD":
                refusal = json.loads(body)
                assert refusal["message"], (sent, body)
                assert refusal["message"].isprintable(), (sent, body)
                assert refusal.get("code", refusal["error"]).isupper(), (sent, body)  # a link that fails says both
                assert kind == "application/json", sent
    connection.close()
    assert set(seen) == {400, 401, 404, 405, 413, 415}, seen
    assert hashed(platform) == before
    assert not [record for record in caplog.records if record.exc_info], caplog.text
