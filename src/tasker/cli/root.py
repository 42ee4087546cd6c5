"""Root: every command there is, and the run of one."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from tasker.cli import (
    actions,
    db,
    demo,
    doctor,
    enqueue,
    events,
    systems,
    task,
    template,
    watch,
    why,
    worker,
    workers,
)
from tasker.cli.command import App, Database, Json, Verbose
from tasker.cli.failure import told
from tasker.cli.session import Session

app = typer.Typer(
    name="tasker",
    help="Durable tasks of many steps: run them, look at them, ask why they wait, and step in.",
    no_args_is_help=True,
    epilog="Example:  tasker task why last",
)


def _version(wanted: bool) -> None:
    if wanted:
        import tasker

        print(f"tasker {tasker.__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    app: App = None,
    database: Database = None,
    json: Json = False,
    verbose: Verbose = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Durable tasks of many steps: run them, look at them, ask why they wait, and step in."""
    ctx.ensure_object(Session).take(app, database, json, verbose)


for module in (demo, worker, enqueue):
    module.add_to(app)
tasks = task.group_of_tasks()
for module in (why, watch, actions):
    module.add_to(tasks)
app.add_typer(tasks)
for module in (template, systems, workers, db, events, doctor):
    module.add_to(app)


def run(argv: list[str]) -> int:
    """Run one command; give the exit status."""
    session = Session()
    session.json, session.verbose = "--json" in argv, _verbose(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a symbol that the terminal does not know is no reason to fail
    try:
        status = typer.main.get_command(app).main(args=argv, prog_name="tasker", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except SystemExit as ended:  # Typer and Rich leave so when nobody reads any more
        return ended.code if isinstance(ended.code, int) else 1
    except (Exception, KeyboardInterrupt) as error:
        return told(error, session)
    return status if isinstance(status, int) else 0


def _verbose(argv: list[str]) -> int:
    """How often `-v` was said: what goes wrong before the line is understood is told accordingly, too."""
    return sum(1 if one == "--verbose" else len(one) - 1 for one in argv if one in ("--verbose", "-v", "-vv"))
