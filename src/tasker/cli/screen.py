"""Screen: what a command says: Rich for people, one JSON value for programs, questions and errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table
    from rich.text import Text

Column = str | tuple[str, str]
"""A title; or (title, kind): `whole` is never shortened nor folded (what people copy), `right` is for numbers."""

LABEL = 12
"""Columns for the name of a fact."""
FOLDED, GAP = 16, 2
"""Columns that a cell needs at least to be folded into, and between two cells."""
UNBOUNDED = 1_000
"""Columns where there is no terminal: a line stays a line, for grep."""


class Screen:
    """Where a command's words go.

    Args:
        json: whether a program reads; people's words are then left out.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self._out: Console | None = None
        self._err: Console | None = None

    @property
    def out(self) -> Console:
        if self._out is None:
            self._out = console(sys.stdout)
        return self._out

    @property
    def err(self) -> Console:
        if self._err is None:
            self._err = console(sys.stderr)
        return self._err

    @property
    def asks(self) -> bool:
        """Whether somebody is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    def say(self, *lines: RenderableType) -> None:
        """Tell people; nothing with `--json`. A line is wrapped by the terminal, so that it can be copied whole."""
        if not self.json:
            for line in lines:
                self.out.print(line, soft_wrap=isinstance(line, str) or hasattr(line, "plain"))

    def table(self, *columns: Column, rows: Sequence[Sequence[Text | str]]) -> None:
        """Show people a table."""
        self.say(table(self.out, columns, rows))

    def hint(self, line: str) -> None:
        """What one may do next, where people look: not in a pipe."""
        if not self.json and self.out.is_terminal:
            self.out.print(plain(line, "dim"), soft_wrap=True)

    def note(self, line: str) -> None:
        """A word beside the answer, on standard error."""
        if not self.json:
            self.err.print(plain(line), soft_wrap=True)

    def data(self, value: Any, *, line: bool = False) -> None:
        """Print one JSON value; `line`: on one line, at once, for streams."""
        text = json.dumps(value, ensure_ascii=False, indent=None if line else 2)
        sys.stdout.write(text + "\n")
        if line:
            sys.stdout.flush()


def console(file: IO[str]) -> Console:
    """A Rich console for a stream: colours only on a terminal, lines of any length elsewhere."""
    from rich.console import Console

    width = None if file.isatty() or os.environ.get("COLUMNS") else UNBOUNDED
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def plain(text: str, style: str = "") -> Text:
    """Text as it is: brackets in it are no markup."""
    from rich.text import Text

    return Text(text, style)


def labelled(label: str, value: str | Text) -> Table:
    """One fact: its name, and what there is to say, folded beside it."""
    from rich.table import Table

    row = Table.grid(padding=(0, GAP, 0, 0))
    row.add_column(no_wrap=True, min_width=LABEL)
    row.add_column(overflow="fold")
    row.add_row(plain(f"  {label}", "dim"), plain(value) if isinstance(value, str) else value)
    return row


def table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text | str]]) -> RenderableType:
    """A table without lines; where the terminal is too narrow for one, each row as a few lines of its own."""
    named = [(column, "") if isinstance(column, str) else column for column in columns]
    cells = [[plain(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max([len(title), *(row[i].cell_len for row in cells)]) for i, (title, _) in enumerate(named)]
    least = [width if kind else min(width, FOLDED) for width, (_, kind) in zip(widths, named, strict=True)]
    if sum(least) + GAP * (len(named) - 1) > console.width:
        return _records(named, cells)
    return _table(named, cells)


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Text]]) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for title, kind in columns:
        made.add_column(title, justify="right" if kind == "right" else "left", no_wrap=bool(kind), overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def _records(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Text]]) -> Group:
    """What must stay whole on the first line of a row; the rest below, each with its title."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = []
    for row in rows:
        pairs = list(zip(columns, row, strict=True))
        lines.append(Text("  ").join([cell for (_, kind), cell in pairs if kind == "whole" and cell.plain]))
        for (title, kind), cell in pairs:
            if kind != "whole" and cell.plain:
                lines.append(Padding(Text.assemble((f"{title.lower()} ", "dim"), cell), (0, 0, 0, 2)))
    return Group(*lines)
