"""`tasker events`: the catalogue of events one can subscribe to."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated

import typer

from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.definition.spelling import did_you_mean
from tasker.errors import NotFound


def add_to(app: typer.Typer) -> None:
    command(app, "events", example="tasker events step.retrying")(events)


def events(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="EVENT", help="One of them, or the first part: step.")] = None,
) -> None:
    """List the events that a subscriber can ask for: @app.on("task.failed")."""
    from tasker.events import CATALOG

    screen = session.screen
    chosen = {
        one: kind
        for one, kind in CATALOG.items()
        if name is None or one == name or one.startswith(f"{name.rstrip('.')}.")
    }
    if name is not None and not chosen:
        raise NotFound(f"there is no event {name!r}.{did_you_mean(name, CATALOG)} Events: {', '.join(CATALOG)}")
    found = [
        {
            "name": one,
            "class": f"tasker.events.{kind.__name__}",
            "description": inspect.cleandoc(kind.__doc__ or ""),
            "fields": {field.name: str(field.type) for field in dataclasses.fields(kind)},
        }
        for one, kind in chosen.items()
    ]
    if screen.json:
        screen.data(found)
        return
    from tasker.cli.screen import plain

    rows = [
        [
            plain(str(one["name"]), "bold"),
            plain(str(one["class"])),
            plain(", ".join(one["fields"])),
            plain(str(one["description"])),
        ]
        for one in found
    ]
    screen.table(("EVENT", "whole"), "CLASS", "FIELDS", "WHEN", rows=rows)
