"""Taking back many pending orders, one after the other: the API cancels one at a time."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from exness_streams.client.http import ApiClient
from exness_streams.client.refusals import NO_ANSWER, RequestFailed

GONE = "ORDER_NOT_FOUND"
"""What is said of an order that was filled, has expired or was cancelled in the meantime: nothing is left to do."""


class CancelResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of one order: cancelled, or not (error, message)."""

    order_id: str
    cancelled: bool
    error: str | None = None
    message: str | None = None


class CancelAllDone(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each order, in the form of the API's close-all."""

    message: str
    results: list[CancelResult]

    @property
    def is_complete(self) -> bool:
        """Whether none of the orders is left."""
        return all(result.cancelled or result.error == GONE for result in self.results)


def cancel_all(client: ApiClient, order_ids: Iterable[str]) -> CancelAllDone:
    """Cancel each of the orders. After a request without an answer no other is sent: all that are left say so."""
    results: list[CancelResult] = []
    silent: RequestFailed | None = None
    for order_id in order_ids:
        if silent is None:
            try:
                client.cancel(order_id)
            except RequestFailed as failed:
                silent = failed if failed.error.error == NO_ANSWER else None
                results.append(_failed(order_id, failed))
            else:
                results.append(CancelResult(order_id=order_id, cancelled=True))
        else:
            results.append(_failed(order_id, silent))
    count = sum(result.cancelled for result in results)
    gone = sum(result.error == GONE for result in results)
    told = f"{count} of {len(results)} orders cancelled" + (f", {gone} had gone before" if gone else "")
    return CancelAllDone(message=told if results else "no pending orders to cancel", results=results)


def _failed(order_id: str, failed: RequestFailed) -> CancelResult:
    return CancelResult(order_id=order_id, cancelled=False, error=failed.error.error, message=failed.error.message)
