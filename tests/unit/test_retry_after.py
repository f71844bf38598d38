"""`Retry-After`: heeded as it is meant, and never for longer than its bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.market_data.retry_after import RETRY_AFTER_S_MAX, retry_after_s

NOW_S = 1_790_134_357.0  # Wed, 23 Sep 2026 03:32:37 GMT


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "30", 30.0),
        (503, " 0 ", 0.0),
        (429, "999999999999999999999", RETRY_AFTER_S_MAX),
        (429, "601", RETRY_AFTER_S_MAX),
        (429, "Wed, 23 Sep 2026 03:33:37 GMT", 60.0),
        (429, "Wed, 23 Sep 2026 03:31:37 GMT", 0.0),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_S_MAX),
        (429, "", None),
        (429, "soon", None),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "٣", None),
        (200, "30", None),
        (500, "30", None),
    ],
)
def test_what_it_says(status: int, header: str, seconds: float | None) -> None:
    assert retry_after_s(status, header, NOW_S) == seconds


@given(st.text())
def test_whatever_it_says_the_wait_is_bounded(header: str) -> None:
    seconds = retry_after_s(429, header, NOW_S)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_S_MAX
