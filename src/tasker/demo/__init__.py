"""Demo: a shop's orders through four systems that fail, a worker killed halfway, and the ledgers compared.

`tasker.demo.run()` is `tasker demo`. `tasks` is the part to read: a template as yours would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def run(orders: int = 25, database_url: str | None = None, keep: bool = False, console: Console | None = None) -> int:
    """Run the demo; give the exit status. See `tasker.demo.story.run`."""
    from tasker.demo.story import run

    return run(orders, database_url, keep, console)


__all__ = ["run"]
