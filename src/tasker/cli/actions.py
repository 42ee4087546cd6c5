"""`tasker task retry|resolve|skip|rerun|cancel|pause|resume`: step in, on one task or (`--q`) on all that match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.cli import parse
from tasker.cli.ask import Actor, Missing, Reason, Yes, consent, reason_for
from tasker.cli.bulk import Query, act_on_all
from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.cli.task import masked
from tasker.cli.which import TASK_HELP, TaskArgument, find_task
from tasker.cli.words import colour, ending, plural, symbol
from tasker.errors import RequestError

if TYPE_CHECKING:
    from tasker.app.task import Task

OneTask = Annotated[str | None, typer.Argument(metavar="TASK", help=f"{TASK_HELP[:-1]}; or leave it out and say --q.")]
Step = Annotated[str | None, typer.Argument(metavar="STEP", help="One step; default: all that failed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --q: only count.")]


def add_to(tasks: typer.Typer) -> None:
    command(tasks, "retry", example="tasker task retry --q 'state:error step:report_tax' --reason 'tax is back'")(retry)
    command(tasks, "resolve", example="""tasker task resolve last report_tax --results '{"tax": 19}' --reason …""")(
        resolve
    )
    command(tasks, "skip", example="tasker task skip 5016e67e8 send_mail --reason 'no address'")(skip)
    command(tasks, "rerun", example="tasker task rerun last fetch_order --reason 'the order was corrected'")(rerun)
    command(tasks, "cancel", example="tasker task cancel key:order-17 --reason duplicate")(cancel)
    command(tasks, "pause", example="tasker task pause last")(pause)
    command(tasks, "resume", example="tasker task resume --q 'state:paused tag:eu' --yes")(resume)


def retry(
    session: Session,
    task: OneTask = None,
    step: Step = None,
    max_attempts: Annotated[
        int | None, typer.Option(min=1, help="A new budget for the step, the first try included.")
    ] = None,
    q: Query = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Try failed steps again with a new budget; a step that waits is tried now."""
    if _wants_many(task, q, dry_run):
        act_on_all(session, "retry", q, reason or "", actor, yes, dry_run, {"max_attempts": max_attempts})
        return
    found = _find(session, task)
    _done(session, "retried", found.retry(step, max_attempts, reason=reason or "", actor=actor))


def cancel(
    session: Session,
    task: OneTask = None,
    q: Query = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Cancel a task at once: what waits never starts, what runs is told."""
    if _wants_many(task, q, dry_run):
        words = reason or "" if dry_run else reason_for(session.screen, "cancel", reason)
        act_on_all(session, "cancel", q, words, actor, yes, dry_run)
        return
    found = _find(session, task)
    words = reason_for(session.screen, "cancel", reason)
    _done(session, "cancelled", found.cancel(reason=words, actor=actor))


def pause(
    session: Session,
    task: OneTask = None,
    q: Query = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Start nothing new of a task; what runs ends and is recorded."""
    if _wants_many(task, q, dry_run):
        act_on_all(session, "pause", q, reason or "", actor, yes, dry_run)
        return
    _done(session, "paused", _find(session, task).pause(reason=reason or "", actor=actor))


def resume(
    session: Session,
    task: OneTask = None,
    q: Query = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Let a paused task go on, now."""
    if _wants_many(task, q, dry_run):
        act_on_all(session, "resume", q, reason or "", actor, yes, dry_run)
        return
    _done(session, "resumed", _find(session, task).resume(reason=reason or "", actor=actor))


def resolve(
    session: Session,
    task: TaskArgument,
    step: Annotated[
        str | None, typer.Argument(metavar="STEP", help="One step; default: the failed task as a whole.")
    ] = None,
    results: Annotated[str | None, typer.Option(metavar="JSON|@file|-", help="What the step would have left.")] = None,
    reason: Reason = None,
    actor: Actor = None,
) -> None:
    """Declare a step done by hand, with or without results; or a failed task as a whole."""
    found = find_task(session.existing(), task)
    value = None if results is None else parse.json_value(results, "results")
    words = reason_for(session.screen, "resolve", reason)
    _done(session, "resolved", found.resolve(step, value, reason=words, actor=actor))


def skip(
    session: Session,
    task: TaskArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that is not needed.")],
    reason: Reason = None,
    actor: Actor = None,
) -> None:
    """Declare a step not needed: its children go on, and get None for its results."""
    found = find_task(session.existing(), task)
    words = reason_for(session.screen, "skip", reason)
    _done(session, "skipped", found.skip(step, reason=words, actor=actor))


def rerun(
    session: Session,
    task: TaskArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step to begin again from.")],
    context: Annotated[str | None, typer.Option(metavar="JSON|@file|-", help="Another context from now on.")] = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Yes = False,
) -> None:
    """Run a step and all steps after it again; they are shown first."""
    screen = session.screen
    found = find_task(session.existing(), task)
    again = found.would_rerun(step)
    value = None if context is None else parse.json_value(context, "context")
    screen.note(f"{plural(len(again), 'step')} would run again: {', '.join(again)}")
    words = reason_for(screen, "rerun", reason)
    consent(screen, f"Run {plural(len(again), 'step')} of …{ending(found.id)} again?", yes)
    _done(session, "begun again", found.rerun(step, value, reason=words, actor=actor))


def _wants_many(task: str | None, q: str | None, dry_run: bool) -> bool:
    """Whether all tasks that match are meant; one task and a query contradict each other."""
    if (task is None) == (q is None):
        raise Missing(
            "say which TASK, or which all:  --q 'state:error …'" if task is None else "say a TASK or --q, not both"
        )
    if dry_run and q is None:
        raise Missing("--dry-run counts what --q matches; say --q")
    return q is not None


def _find(session: Session, task: str | None) -> Task:
    if task is None:
        raise RequestError("no task")
    return find_task(session.existing(), task)


def _done(session: Session, what: str, task: Task) -> None:
    screen = session.screen
    if screen.json:
        screen.data(masked(session, task))
        return
    from rich.text import Text

    state: Any = task.state
    screen.say(
        Text.assemble(
            f"{what}: {task.template} …{ending(task.id)} is now ", (f"{symbol(state)} {state}", colour(state))
        )
    )
    if not task.is_final:
        screen.hint(f"watch it:  tasker task watch {ending(task.id)}{session.flags}")
