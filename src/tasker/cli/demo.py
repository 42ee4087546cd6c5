"""`tasker demo`: the story of a shop, told with real processes (`tasker.demo`)."""

from __future__ import annotations

from typing import Annotated

import typer

from tasker.cli.command import command
from tasker.cli.session import Session


def add_to(app: typer.Typer) -> None:
    command(app, "demo", example="tasker demo --orders 100 --keep")(demo)


def demo(
    session: Session,
    orders: Annotated[int, typer.Option(min=1, help="How many; one of them can never be fulfilled.")] = 25,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the database and the logs for a look afterwards.")
    ] = False,
) -> None:
    """Run a shop's orders through four systems that fail, kill a worker halfway, and compare the ledgers.

    On a SQLite file of its own, or on --database.
    """
    from tasker.demo import run

    status = run(orders, session.database, keep, session.screen.err if session.json else session.screen.out)
    if session.json:
        session.screen.data({"orders": orders, "agree": status == 0})
    if status:
        raise typer.Exit(status)
