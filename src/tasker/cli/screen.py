"""Screen: what a command says: Rich for people, one JSON value for programs, questions and errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

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


def table(*columns: str | tuple[str, str], rows: Sequence[Sequence[RenderableType]] = ()) -> Table:
    """A table without lines. A column is its title, or (title, what may happen to it): `whole` is never shortened
    nor wrapped (what people copy), `right` is for numbers; others are folded where the terminal is narrow.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        title, kind = (column, "") if isinstance(column, str) else column
        cells = [row[index] for row in rows]
        whole = max((len(getattr(cell, "plain", str(cell))) for cell in [title, *cells]), default=0)
        made.add_column(
            title,
            justify="right" if kind == "right" else "left",
            no_wrap=kind in ("whole", "right"),
            min_width=whole if kind == "whole" else None,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*row)
    return made
