"""What a person at a terminal is shown: answers of the API as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal

from rich.console import Console, RenderableType
from rich.markup import escape

from exness_streams.client.cancelling import CancelAllDone
from exness_streams.messages import (
    AccountMessage,
    BalanceMessage,
    CloseAllMessage,
    CloseMessage,
    OrderMessage,
    PositionMessage,
    StateMessage,
    TradeMessage,
)
from exness_streams.terminal.fitting import Column, FittedPairs, FittedTable

WIDTH_WITHOUT_SCREEN = 1_000


def money(amount: Decimal | None) -> str:
    """An amount to the cent, as it is read; `-` for none."""
    return "-" if amount is None else f"{amount:,.2f}"


def price(value: Decimal | None) -> str:
    """A price with its digits; `-` for none."""
    return "-" if value is None else format(value, "f")


def coloured(amount: Decimal) -> str:
    """Gains green, losses red, by what is shown: what is nothing to the cent has neither colour nor minus."""
    shown = signed(amount)
    colour = "white" if not shown.strip("+-0.,") else "green" if shown[0] == "+" else "red"
    return f"[{colour}]{shown}[/]"


def signed(amount: Decimal) -> str:
    """A gain or a loss to the cent, with its sign; nothing is +0.00."""
    shown = f"{amount:+,.2f}"
    return shown if shown.strip("-0.,") else "+0.00"


def moment(time_ms: int | None) -> str:
    """A time in the terminal's zone, to the minute; `-` for none."""
    if time_ms is None:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")


def show(console: Console, *shown: RenderableType) -> None:
    """Print; as wide as need be where nobody's screen ends the line."""
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH_WITHOUT_SCREEN, highlight=False)
    for part in shown:
        console.print(part)


def sentence(console: Console, told: str) -> None:
    """Print a line of markup; on a screen that is narrower it goes on below, between two words and within no number."""
    console.print(told, soft_wrap=not console.is_terminal)


def account_strip(account: AccountMessage, cash: Decimal) -> FittedPairs:
    """The account's figures. cash: USD that nothing holds."""
    level = "-" if account.margin_level is None else f"{account.margin_level:,.1f} %"
    if account.margin_call:
        level = f"[bold red]{level} margin call[/]"
    return FittedPairs(
        [
            [("balance", money(account.balance)), ("used margin", money(account.used_margin)), ("margin level", level)],
            [
                ("equity", money(account.equity)),
                ("free margin", money(account.free_margin)),
                ("free cash", money(cash)),
            ],
            [("unrealized", coloured(account.unrealized_pnl)), ("realized", coloured(account.realized_pnl))],
        ]
    )


_TRIGGERS = (Column("SL", goes=5), Column("TP", goes=6))


def positions_table(positions: list[PositionMessage]) -> FittedTable:
    """Open positions, one a row; stop loss and take profit if one has any."""
    has_triggers = _have_triggers(positions)
    columns = (
        Column("Position", is_figure=False),
        Column("Side", is_figure=False),
        Column("Margin", goes=4),
        Column("Entry", goes=3),
        Column("Mark", goes=1),
        Column("Liq.", goes=2),
        *(_TRIGGERS if has_triggers else ()),
        Column("PnL"),
    )
    return FittedTable(
        columns,
        (
            (
                escape(position.position_id),
                escape(f"{position.type} {position.leverage:f}x {position.asset}"),
                money(position.margin),
                price(position.entry_price),
                price(position.mark_price),
                price(position.liquidation_price),
                *((price(position.stop_loss), price(position.take_profit)) if has_triggers else ()),
                coloured(position.unrealized_pnl),
            )
            for position in positions
        ),
    )


def orders_table(orders: list[OrderMessage]) -> FittedTable:
    """Pending orders, one a row; stop loss and take profit if one has any."""
    has_triggers = _have_triggers(orders)
    columns = (
        Column("Order", is_figure=False),
        Column("Side", is_figure=False),
        Column("Margin", goes=1),
        Column("Price"),
        Column("Quantity", goes=2),
        *(_TRIGGERS if has_triggers else ()),
        Column("Expires", goes=3),
    )
    return FittedTable(
        columns,
        (
            (
                escape(order.order_id),
                escape(f"{order.type} {order.leverage:f}x {order.asset} {order.kind}"),
                money(order.margin),
                price(order.price),
                price(order.quantity),
                *((price(order.stop_loss), price(order.take_profit)) if has_triggers else ()),
                moment(order.expires_at),
            )
            for order in orders
        ),
    )


def _have_triggers(held: Iterable[PositionMessage | OrderMessage]) -> bool:
    return any(one.stop_loss is not None or one.take_profit is not None for one in held)


def show_state(console: Console, state: StateMessage) -> None:
    """The account strip, the open positions, and the pending orders if there are any."""
    heading = f"[bold]account {escape(state.account.account_id)}[/] (USD)"
    show(console, heading, account_strip(state.account, state.balances["USD"]))
    show(console, positions_table(state.positions) if state.positions else "no open positions")
    if state.orders:
        show(console, orders_table(state.orders))


def show_orders(console: Console, orders: list[OrderMessage]) -> None:
    """The pending orders."""
    show(console, orders_table(orders) if orders else "no pending orders")


def show_trades(console: Console, trades: list[TradeMessage]) -> None:
    """Closed trades, newest first."""
    if not trades:
        console.print("no closed trades")
        return
    columns = (
        Column("Closed", is_figure=False, goes=2),
        Column("Side", is_figure=False),
        Column("Reason", is_figure=False, goes=3),
        Column("Quantity", goes=1),
        Column("Entry", goes=4),
        Column("Close"),
        Column("Fee", goes=5),
        Column("PnL"),
    )
    rows = (
        (
            moment(trade.closed_at),
            escape(f"{trade.type} {trade.leverage:f}x {trade.asset}"),
            escape(trade.reason),
            price(trade.quantity),
            price(trade.entry_price),
            price(trade.close_price),
            money(trade.fee),
            coloured(trade.realized_pnl),
        )
        for trade in trades
    )
    show(console, FittedTable(columns, rows))


def show_opened(console: Console, position: PositionMessage) -> None:
    """What was opened, and how to close it."""
    sentence(
        console,
        f"[bold]{position.type} {price(position.quantity)} {position.symbol}[/] at {price(position.entry_price)}, "
        f"margin {money(position.margin)} USD at {position.leverage:f}x, "
        f"liquidation at {price(position.liquidation_price)}, fee {money(position.fee)}",
    )
    sentence(console, f"close it with: exness-streams close {position.position_id}")


def show_modified(console: Console, position: PositionMessage) -> None:
    """The triggers as they stand now."""
    sentence(
        console,
        f"{position.position_id}: stop loss {price(position.stop_loss)}, take profit {price(position.take_profit)}, "
        f"market {price(position.mark_price)}",
    )


def show_closed(console: Console, closed: CloseMessage) -> None:
    """What the close brought."""
    sentence(
        console,
        f"{closed.message} at {price(closed.close_price)}: {coloured(closed.realized_pnl)} USD, "
        f"fee {money(closed.fee)}",
    )
    if closed.position is not None:
        left = closed.position
        sentence(console, f"left: {price(left.quantity)} {left.symbol}, margin {money(left.margin)} USD")


def show_closed_all(console: Console, closed: CloseAllMessage) -> None:
    """What became of each position."""
    for result in closed.results:
        if result.closed:
            told = f"at {price(result.close_price)}: {coloured(result.realized_pnl or Decimal(0))} USD"
        else:
            told = f"[red]{escape(f'{result.error}: {result.message}')}[/]"
        sentence(console, f"{escape(result.position_id)} {told}")
    sentence(console, f"{closed.message}: {coloured(closed.realized_pnl)} USD")


def show_cancelled_all(console: Console, done: CancelAllDone) -> None:
    """What became of each order."""
    for result in done.results:
        told = "cancelled" if result.cancelled else f"[red]{escape(f'{result.error}: {result.message}')}[/]"
        sentence(console, f"{escape(result.order_id)} {told}")
    sentence(console, done.message)


def show_order(console: Console, order: OrderMessage) -> None:
    """An order that was placed or taken back, or was filled at once."""
    what = f"[bold]{order.kind} {order.side} {price(order.quantity)} {order.market}[/] at {price(order.price)}"
    if order.fill_price is not None:
        sentence(console, f"{what}: {order.status} at {price(order.fill_price)}, margin {money(order.margin)} USD")
        sentence(console, f"close it with: exness-streams close {order.position_id}")
        return
    sentence(console, f"{what}, {money(order.reserved_margin)} USD held: {order.status}")
    if order.status == "open":
        sentence(console, f"cancel it with: exness-streams orders cancel {order.order_id}")


def show_balance(console: Console, balance: BalanceMessage) -> None:
    """The balance after a deposit or a reset."""
    sentence(console, f"{balance.message}: balance {money(balance.balance)} USD")
