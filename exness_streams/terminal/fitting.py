"""Figures that fit the width of a screen: no number is ever folded or cut, columns go instead.

Where even the columns that must stay don't fit, a row becomes a list with a figure a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column. is_figure: set to the right. goes: the higher, the sooner it is left out; 0 stays."""

    name: str
    is_figure: bool = True
    goes: int = 0


class FittedTable:
    """A table without lines, of markup. rows_max: so many rows are shown, and the others counted."""

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        self.columns = tuple(columns)
        self.rows = [[_text(cell) for cell in row] for row in rows]
        self.rows_max: int | None = None
        names = [Text(column.name, style="bold") for column in self.columns]
        self._widths = [
            max(name.cell_len, *(row[index].cell_len for row in self.rows), 0) for index, name in enumerate(names)
        ]

    def height(self, width: int) -> int:
        """How many lines it takes on a screen of so many columns."""
        return len(self._lines(width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._lines(options.max_width)

    def _lines(self, width: int) -> list[Text]:
        rows, others = self.rows, 0
        if self.rows_max is not None and len(rows) > self.rows_max:
            rows, others = rows[: self.rows_max], len(rows) - self.rows_max
        kept = self._kept(width)
        lines = self._stacked(rows) if kept is None else self._table(rows, kept)
        if others:
            lines.append(Text(f"and {others} more", style="dim"))
        if kept is not None and len(kept) < len(self.columns):
            gone = ", ".join(column.name for index, column in enumerate(self.columns) if index not in kept)
            lines.append(Text(f"too narrow for {gone}", style="dim", overflow="fold"))
        return lines

    def _kept(self, width: int) -> list[int] | None:
        """The columns that fit; None when those that must stay don't."""
        kept = list(range(len(self.columns)))
        while sum(self._widths[index] for index in kept) + len(_GAP) * (len(kept) - 1) > width:
            index = max(kept, key=lambda index: self.columns[index].goes)
            if not self.columns[index].goes:
                return None
            kept.remove(index)
        return kept

    def _table(self, rows: Iterable[Sequence[Text]], kept: Sequence[int]) -> list[Text]:
        head = [Text(column.name, style="bold") for column in self.columns]
        return [self._line(row, kept) for row in (head, *rows)]

    def _line(self, row: Sequence[Text], kept: Sequence[int]) -> Text:
        line = Text(no_wrap=True, overflow="ignore")
        for index in kept:
            pad = " " * (self._widths[index] - row[index].cell_len)
            parts = (pad, row[index]) if self.columns[index].is_figure else (row[index], pad)
            line.append_text(Text.assemble(_GAP if line else "", *parts))
        line.rstrip()
        return line

    def _stacked(self, rows: Iterable[Sequence[Text]]) -> list[Text]:
        widest = max(len(column.name) for column in self.columns)
        return [
            Text.assemble((column.name.ljust(widest), "dim"), " ", cell, overflow="fold")
            for row in rows
            for column, cell in zip(self.columns, row, strict=True)
        ]


def _text(cell: str) -> Text:
    # Most cells have no markup, and a table may have a thousand ten times a second.
    return Text.from_markup(cell, emoji=False) if "[" in cell or "\\" in cell else Text(cell)


class FittedPairs:
    """Figures with their names, so many beside each other as fit."""

    def __init__(self, rows: Iterable[Sequence[tuple[str, str]]]) -> None:
        self._rows = [[(name, Text.from_markup(figure)) for name, figure in row] for row in rows]

    def height(self, width: int) -> int:
        """How many lines it takes on a screen of so many columns."""
        return len(self._lines(width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._lines(options.max_width)

    def _lines(self, width: int) -> list[Text]:
        most = max(len(row) for row in self._rows)
        for beside in range(most, 0, -1):
            # Pairs that don't fit beside the others go below, column by column, so that what belongs together stays.
            rows = [
                row[begin : begin + beside]
                for begin in range(0, most, beside)
                for row in self._rows
                if row[begin : begin + beside]
            ]
            lines = self._aligned(rows)
            if beside == 1 or all(line.cell_len <= width for line in lines):
                return lines
        raise AssertionError("one pair a line is always taken")

    def _aligned(self, rows: Sequence[Sequence[tuple[str, Text]]]) -> list[Text]:
        count = max(len(row) for row in rows)
        columns = [[row[index] for row in rows if index < len(row)] for index in range(count)]
        names = [max(len(name) for name, _ in column) for column in columns]
        figures = [max(figure.cell_len for _, figure in column) for column in columns]
        lines = []
        for row in rows:
            line = Text(overflow="fold")
            for index, (name, figure) in enumerate(row):
                pad = " " * (figures[index] - figure.cell_len)
                line.append_text(
                    Text.assemble("   " if line else "", (name.ljust(names[index]), "dim"), _GAP, pad, figure)
                )
            lines.append(line)
        return lines
