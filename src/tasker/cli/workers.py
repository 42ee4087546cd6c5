"""`tasker workers`: who works, where, on what, and whether it still says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.app.step import iso
from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.cli.view import moment
from tasker.cli.words import ago, ending
from tasker.clock import as_datetime

if TYPE_CHECKING:
    from rich.text import Text

    from tasker.app.tasker import Tasker

_COLOURS = {"alive": "green", "draining": "yellow", "silent": "bold red", "dead": "red", "stopped": "dim"}
_ALL = ("alive", "draining", "stopped", "dead")


def add_to(app: typer.Typer) -> None:
    command(app, "workers", example="tasker workers --all")(workers)


def workers(
    session: Session,
    all_: Annotated[bool, typer.Option("--all", help="Those that stopped or died, too.")] = False,
) -> None:
    """List the workers: where they run, what they serve, how busy they are."""
    tasker, screen = session.existing(), session.screen
    found = _workers(tasker, all_)
    if screen.json:
        times = ("heartbeat_at", "started_at")
        screen.data([{**one, **{name: iso(one[name]) for name in times}} for one in found])
        return
    if not found:
        screen.say("no worker is alive. Start one:  tasker worker --app module:attr")
        return
    from tasker.cli.screen import plain

    now = moment(tasker)
    rows: list[list[Text | str]] = [
        [
            plain(f"…{ending(one['id'])}", "bold"),
            plain(one["state"], _COLOURS[one["state"]]),
            plain(one["place"]),
            plain(", ".join(one["queues"])),
            f"{one['concurrency'] - one['free']}/{one['concurrency']}",
            str(one["tasks"]),
            plain(ago(one["heartbeat_at"], now)),
            plain(", ".join(one["templates"])),
        ]
        for one in found
    ]
    columns = (
        ("WORKER", "whole"),
        ("STATE", "whole"),
        "PLACE",
        "QUEUES",
        ("BUSY", "right"),
        ("TASKS", "right"),
        "SEEN",
    )
    screen.table(*columns, "TEMPLATES", rows=rows)


def _workers(tasker: Tasker, gone_too: bool) -> list[dict[str, Any]]:
    from tasker.app.shelf import read_templates
    from tasker.store import read

    store, timeout = tasker.store, tasker.settings.worker_timeout_seconds
    refs = {row.id: row.ref for row in read_templates(store)}
    owned, now = read.count_owned(store), store.clock.now()
    found = []
    for row in read.all_workers(store, _ALL if gone_too else _ALL[:2]):
        silent = row.state in _ALL[:2] and now - row.heartbeat_at > timeout
        found.append(
            {
                "id": row.id,
                "state": "silent" if silent else row.state,
                "place": f"{row.host}:{row.pid}",
                "queues": json.loads(row.queues),
                "templates": [refs[one] for one in json.loads(row.templates) if one in refs],
                "concurrency": row.concurrency,
                "free": row.free,
                "tasks": owned.get(row.id, 0),
                "heartbeat_at": as_datetime(row.heartbeat_at),
                "started_at": as_datetime(row.started_at),
                "version": row.version,
            }
        )
    return found
