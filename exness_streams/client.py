"""A client of the HTTP API for a person at a terminal."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import uuid
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from exness_streams.messages import CloseMessage, ErrorMessage, PositionMessage, StateMessage, json_encoder

TIMEOUT_S = 15.0

M = TypeVar("M")


class RequestFailed(Exception):
    """The platform said no, or nothing; str() says which, in one line."""


class ApiClient:
    """Speaks for one account. Every order carries an idempotency key."""

    def __init__(self, url: str, account: str) -> None:
        self._url = url.rstrip("/")
        self._account = account

    def state(self) -> StateMessage:
        """The account now."""
        return self._ask("/api/v1/state", None, StateMessage)

    def open(self, body: dict[str, Any]) -> PositionMessage:
        """Open a position; fields as in the API, None left out."""
        return self._ask("/api/v1/positions/open", body, PositionMessage)

    def close(self, body: dict[str, Any]) -> CloseMessage:
        """Close a position."""
        return self._ask("/api/v1/positions/close", body, CloseMessage)

    def _ask(self, path: str, body: dict[str, Any] | None, answer: type[M]) -> M:
        headers = {"X-Account": self._account}
        content = None
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
            content = json_encoder.encode({name: value for name, value in body.items() if value is not None})
        try:
            request = urllib.request.Request(self._url + path, data=content, headers=headers)
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return msgspec.json.decode(response.read(), type=answer)
        except urllib.error.HTTPError as error:
            raise RequestFailed(_refusal(error)) from None
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            if isinstance(error, http.client.InvalidURL):
                raise self._unsendable(error) from None
            raise RequestFailed(f"no answer from {self._url} ({error}); is `exness-streams run` running?") from None
        except ValueError as error:
            raise self._unsendable(error) from None

    def _unsendable(self, error: Exception) -> RequestFailed:
        # Neither the URL nor the account is checked before: what can't be sent is refused by the sender.
        return RequestFailed(f"no request can be made to {self._url} for account {self._account!r}: {error}")


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        refused = msgspec.json.decode(error.read(), type=ErrorMessage)
    except msgspec.MsgspecError:
        return f"HTTP {error.code}: {error.reason}"
    return f"{refused.error}: {refused.message}"


def money(amount: Decimal | None) -> str:
    """An amount to the cent, as it is read; `-` for none."""
    return "-" if amount is None else f"{amount:,.2f}"


def coloured(amount: Decimal) -> str:
    """Gains green, losses red."""
    colour = "green" if amount > 0 else "red" if amount < 0 else "white"
    return f"[{colour}]{amount:+,.2f}[/]"


def show_state(console: Console, state: StateMessage) -> None:
    """The account strip and the open positions as tables."""
    account = state.account
    level = "-" if account.margin_level is None else f"{account.margin_level:,.1f} %"
    strip = Table.grid(padding=(0, 3))
    for _ in range(3):
        strip.add_column(style="dim")
        strip.add_column(justify="right")
    strip.add_row("balance", money(account.balance), "used margin", money(account.used_margin), "margin level", level)
    strip.add_row("equity", money(account.equity), "free margin", money(account.free_margin), "free cash", cash(state))
    strip.add_row("unrealized", coloured(account.unrealized_pnl), "realized", coloured(account.realized_pnl), "", "")
    console.print(f"[bold]account {account.account_id}[/] (USD)")
    console.print(strip)
    if not state.positions:
        console.print("no open positions")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("Position", no_wrap=True)
    table.add_column("Side", no_wrap=True)
    for name in ("Margin", "Entry", "Mark", "Liq.", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    for position in state.positions:
        table.add_row(
            position.position_id,
            f"{position.type} {position.leverage}x {position.asset}",
            money(position.margin),
            str(position.entry_price),
            "-" if position.mark_price is None else str(position.mark_price),
            str(position.liquidation_price),
            coloured(position.unrealized_pnl),
        )
    console.print(table)


def cash(state: StateMessage) -> str:
    """USD that no position holds."""
    return money(state.balances["USD"])


def show_opened(console: Console, position: PositionMessage) -> None:
    """What was opened, and how to close it."""
    console.print(
        f"[bold]{position.type} {position.quantity} {position.symbol}[/] at {position.entry_price}, "
        f"margin {money(position.margin)} USD at {position.leverage}x, liquidation at {position.liquidation_price}, "
        f"fee {money(position.fee)}",
        soft_wrap=True,
    )
    console.print(f"close it with: exness-streams close {position.position_id}", soft_wrap=True)


def show_closed(console: Console, closed: CloseMessage) -> None:
    """What the close brought."""
    console.print(
        f"{closed.message} at {closed.close_price}: {coloured(closed.realized_pnl)} USD, fee {money(closed.fee)}",
        soft_wrap=True,
    )
