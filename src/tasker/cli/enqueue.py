"""`tasker enqueue`: store a new task of a template, and wait for it if that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.cli import parse
from tasker.cli.ask import Missing
from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.cli.task import masked
from tasker.cli.words import ending

if TYPE_CHECKING:
    from tasker.app.task import Task


def add_to(app: typer.Typer) -> None:
    command(app, "enqueue", example="""tasker enqueue shop/fulfil_order '{"order_id": 17}' --wait""")(enqueue)


def enqueue(
    session: Session,
    template: Annotated[str, typer.Argument(help="namespace/name, with or without @version.")],
    context: Annotated[str, typer.Argument(metavar="JSON|@file|-", help="What it is given.")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is finished and print its results.")] = False,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="With --wait: at most so long.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: with it a second enqueue finds the first task.")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=-100, max=100, help="Higher goes first.")] = None,
    queue: Annotated[str | None, typer.Option(help="Default: the template's.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Start so much later: 30s, 5m, 2h, 1d.")] = None,
    run_at: Annotated[str | None, typer.Option(metavar="MOMENT", help="Start then: 18:30, or ISO 8601.")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the task.")] = "",
    initiator: Annotated[str, typer.Option(help="Who asked; kept with the task.")] = "",
    source_system: Annotated[str, typer.Option(help="From where; kept with the task.")] = "",
) -> None:
    """Store a new task. It runs once a worker is there; --wait waits for it, exit status 0 if it completes."""
    if timeout is not None and not wait:
        raise Missing("--timeout is how long --wait waits; say --wait too")
    limit = None if timeout is None else parse.span(timeout)
    options = {
        "idempotency_key": key,
        "priority": priority,
        "queue": queue,
        "tags": tag or (),
        "delay": None if delay is None else parse.span(delay),
        "run_at": None if run_at is None else parse.moment(run_at),
        "reason": reason,
        "initiator": initiator,
        "source_system": source_system,
    }
    task = session.app.enqueue(template, parse.json_value(context, "context"), **options)
    if wait:
        _wait(session, task, limit)
    else:
        _say(session, task)


def _say(session: Session, task: Task) -> None:
    screen = session.screen
    if screen.json:
        screen.data({**masked(session, task), "created": task.created})
        return
    what = "enqueued" if task.created else f"there already ({task.state})"
    screen.say(f"{what}  {task.id}  {task.template}")
    screen.hint(f"watch it:  tasker task watch {ending(task.id)}{session.flags}")


def _wait(session: Session, task: Task, limit: float | None) -> None:
    screen = session.screen
    screen.note(f"{'enqueued' if task.created else 'there already'}  {task.id}  {task.template}")
    created = task.created
    result: Any = session.mask(task.result(limit))
    screen.data({**masked(session, task), "created": created, "result": result} if screen.json else result)
