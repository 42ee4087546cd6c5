"""`tasker db upgrade|status`: the tables, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tasker.cli.command import command, group
from tasker.cli.screen import labelled
from tasker.cli.session import Session
from tasker.cli.words import plural, size

if TYPE_CHECKING:
    from tasker.store.store import Store


def add_to(app: typer.Typer) -> None:
    db = group("db", "Create, upgrade and look at the tables.", example="tasker db status")
    command(db, "upgrade", example="tasker db upgrade --database postgresql://localhost/shop")(upgrade)
    command(db, "status", example="tasker db status --json")(status)
    app.add_typer(db)


@contextmanager
def unchecked(session: Session) -> Iterator[Store]:
    """The database as it is: without tables, or with those of another version."""
    store = session.tasker._open(check=False)
    try:
        yield store
    finally:
        store.close()


def upgrade(session: Session) -> None:
    """Create the tables, or bring them to the version of this package. Twice does no harm."""
    from tasker.store import migrate

    with unchecked(session) as store:
        before = migrate.upgrade(store)
        name, now = store.name, migrate.head()
    if session.json:
        session.screen.data({"database": name, "before": before, "version": now})
    if before == now:
        session.screen.say(f"{name}: up to date, version {now}")
    else:
        session.screen.say(f"{name}: {f'upgraded from {before}' if before else 'tables created'}, version {now}")


def status(session: Session) -> None:
    """Show the version of the tables, their size and the number of tasks. Exit status 1 if they are out of date."""
    from tasker.store import health, migrate, read

    session.existing()
    with unchecked(session) as store:
        version, head, name = migrate.current(store), migrate.head(), store.name
        fits = version == head
        states = read.count_states(store) if fits else {}
        bytes_ = health.size(store) if version is not None else 0
    if session.json:
        facts = {"database": name, "version": version, "head": head, "up_to_date": fits}
        session.screen.data({**facts, "bytes": bytes_, "tasks": states})

    newer = version is not None and version not in migrate.known()
    session.screen.say(labelled("database", name))
    session.screen.say(labelled("version", f"{version or 'no tables'}{'' if fits else f', this package needs {head}'}"))
    if fits:
        session.screen.say(labelled("size", size(bytes_)))
        counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
        session.screen.say(
            labelled("tasks", f"{plural(sum(states.values()), 'task')}{f': {counts}' if counts else ''}")
        )
        return
    action = (
        "a newer Tasker has upgraded it:  pip install -U tasker-engine"
        if newer
        else f"tasker db upgrade{session.flags}"
    )
    session.screen.say(labelled("", action))
    raise typer.Exit(1)
