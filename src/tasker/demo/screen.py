"""Screen: what the demo shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasker.demo.services.systems import OPERATIONS
from tasker.demo.services.weather import Trouble
from tasker.demo.watch import Snapshot

PLAIN_SECONDS = 2.0
"""How often a line says how far it is, where there is no terminal."""


class Screen:
    """Says what happens, and how far it is."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began, self._told_at = time.monotonic(), 0.0
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Take the live table away: what is printed from now on stays."""
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Tell one thing that happened."""
        self.console.print(Text.assemble((f"{time.monotonic() - self._began:5.1f} s  ", "dim"), text), soft_wrap=True)

    def show(self, seen: Snapshot) -> None:
        """Show how far everything is."""
        if self._live:
            self._live.update(_progress(seen))
        elif time.monotonic() - self._told_at >= PLAIN_SECONDS:
            self._told_at = time.monotonic()
            self.say(
                f"{seen.finished} of {seen.orders} orders finished, {seen.entries} of {seen.expected} ledger entries"
            )


def _progress(seen: Snapshot) -> RenderableType:
    states = " · ".join(f"{n} {state.replace('_', ' ')}" for state, n in sorted(seen.states.items()))
    orders = Table.grid(padding=(0, 2))
    orders.add_row(
        "orders", ProgressBar(seen.orders, seen.finished, width=40), f"{seen.finished}/{seen.orders}", states
    )
    return Group(orders, systems(seen.counts, seen.orders), Text(seen.why, "dim", no_wrap=True, overflow="ellipsis"))


def systems(counts: Mapping[str, Mapping[str, int]], orders: int) -> Table:
    """What each system did, and what went wrong meanwhile."""
    table = Table("system", "done", "requests", "repeated", "its troubles", box=None, header_style="bold")
    for name, seen in counts.items():
        wanted = (orders - 1) * len(OPERATIONS[name])
        troubles = [f"{seen[trouble.value]} {trouble.value}" for trouble in Trouble if trouble.value in seen]
        done, requests, repeated = seen.get("entries", 0), seen.get("requests", 0), seen.get("duplicates", 0)
        table.add_row(name, f"{done}/{wanted}", str(requests), str(repeated), ", ".join(troubles) or "none yet")
    return table
