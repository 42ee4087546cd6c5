"""`tasker task list|show|history`: look at tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.app.step import iso
from tasker.cli.command import command, group
from tasker.cli.screen import labelled
from tasker.cli.session import Session
from tasker.cli.view import View, ended_words, look, message_of, moment, step_words, took
from tasker.cli.which import TaskArgument, find_task
from tasker.cli.words import ago, clock, colour, ending, plural, span, symbol
from tasker.states import STEP_SATISFIED, StepState

if TYPE_CHECKING:
    from rich.text import Text

    from tasker.app.step import Step, Steps
    from tasker.app.task import Task

Q_HELP = "The search language: state: template: step: tag: key: queue: worker: error: attempt:>3 age:>1h."

_LINES = 12
"""Lines of a payload that are shown; all of it is in --json."""


def group_of_tasks() -> typer.Typer:
    tasks = group("task", "Look at tasks, ask why they wait, and step in.", example="tasker task why last")
    command(tasks, "list", example="tasker task list --q 'state:error age:<1d'")(list_tasks)
    command(tasks, "show", example="tasker task show key:order-17 report_tax")(show)
    command(tasks, "history", example="tasker task history last")(history)
    return tasks


def list_tasks(
    session: Session,
    state: Annotated[str | None, typer.Option(help="One state, or several with commas.")] = None,
    template: Annotated[str | None, typer.Option(help="namespace/name, with or without @version.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag it bears.")] = None,
    q: Annotated[str | None, typer.Option(help=Q_HELP)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="TASK", help="Go on after this one, to older ones.")] = None,
) -> None:
    """List tasks, the newest first."""
    tasker, screen = session.existing(), session.screen
    start = None if after is None else find_task(tasker, after).id
    page = tasker.tasks(state=state, template=template, tag=tag, q=q, limit=limit, after=start)
    steps = tasker.reader.steps_of_many(page)
    if screen.json:
        screen.data([_summary(task, steps[task.id]) for task in page])
        return
    if not page:
        screen.say("no task" + (" matches" if any((state, template, tag, q, after)) else " yet"))
        return
    from tasker.cli.screen import plain

    now = moment(tasker)
    rows = [
        [
            plain(f"…{ending(task.id)}", "bold"),
            plain(f"{symbol(task.state)} {task.state}", colour(task.state)),
            plain(task.template),
            plain(_done(steps[task.id])),
            plain(ago(task.created_at, now)),
            plain(task.idempotency_key or ""),
            plain(_now(steps[task.id], now)),
        ]
        for task in page
    ]
    columns = (("TASK", "whole"), ("STATE", "whole"), "TEMPLATE", ("STEPS", "right"), "CREATED", "KEY", "NOW")
    screen.table(*columns, rows=rows)
    if page.after is not None:
        screen.hint(f"older ones:  tasker task list … --after {ending(page.after)}{session.flags}")


def _summary(task: Task, steps: Steps) -> dict[str, Any]:
    """A task of a list: its REST form without payloads, its steps counted."""
    same = ("id", "template", "error", "queue", "priority", "idempotency_key", "initiator", "source_system", "reason")
    return {
        **{name: getattr(task, name) for name in same},
        "state": str(task.state),
        "tags": list(task.tags),
        "created_at": iso(task.created_at),
        "started_at": iso(task.started_at),
        "finished_at": iso(task.finished_at),
        "steps_satisfied": _satisfied(steps),
        "steps_total": len(steps),
    }


def _satisfied(steps: Steps) -> int:
    return sum(step.state in STEP_SATISFIED for step in steps.values())


def _done(steps: Steps) -> str:
    return f"{_satisfied(steps)}/{len(steps)}"


def _now(steps: Steps, now: datetime) -> str:
    """The step to look at first: what failed, else what waits, else what runs."""
    for state in (StepState.ERROR, StepState.WAITING_FOR_RETRY, StepState.IN_PROGRESS):
        found = [step for step in steps.values() if step.state is state]
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            return f"{found[0].name}{_detail(found[0], now)}{more}"
    return ""


def _detail(step: Step[Any], now: datetime) -> str:
    if step.state is StepState.ERROR:
        return f": {message_of(step.error)[:80]}"
    if step.state is StepState.WAITING_FOR_RETRY and step.due_at is not None:
        return f" again in {span(step.due_at - now)}" if step.due_at > now else " again now"
    return ""


def show(
    session: Session,
    task: TaskArgument,
    step: Annotated[str | None, typer.Argument(help="Show this step with all its attempts.")] = None,
) -> None:
    """Show a task: its context, steps and results; or one step with every attempt."""
    tasker = session.existing()
    view = look(tasker, find_task(tasker, task).id)
    if step is None:
        _show_task(session, view)
    else:
        from tasker.cli.step import show_step

        show_step(session, view, step)


def _show_task(session: Session, view: View) -> None:
    screen, task = session.screen, view.task
    annotations = task.annotations()
    if screen.json:
        facts = [{"type": kind, "value": session.mask.at(kind, value)} for kind, value in annotations]
        screen.data({**masked(session, task), "annotations": facts})
        return
    screen.say(headline(view), "")
    for name, value in _facts(view):
        screen.say(labelled(name, value))
    for name, value in [("context", task.context), *annotations]:
        screen.say(labelled(name, payload(session, value)))
    screen.say("")
    screen.table(("STEP", "whole"), ("STATE", "whole"), ("ATTEMPTS", "right"), "TOOK", "", rows=_rows(view))
    left = [step for step in view.steps if step.results is not None]
    screen.say(*([""] if left else []), *(labelled(step.name, payload(session, step.results)) for step in left))
    tip = "why:  tasker task why" if not task.is_final or view.failed else "more:  tasker task show"
    example = "" if not task.is_final or view.failed else f" {view.steps[0].name}" if view.steps else ""
    screen.hint("")
    screen.hint(f"{tip} {ending(task.id)}{example}{session.flags}")


def masked(session: Session, task: Task) -> dict[str, Any]:
    """The REST form, with secrets masked where users keep theirs."""
    found, mask = task.as_dict(), session.mask
    steps = [{**step, "results": mask(step["results"]), "error": mask(step["error"])} for step in found["steps"]]
    return {**found, "context": mask(found["context"]), "steps": steps}


def headline(view: View) -> Text:
    """The first line about a task: its state, template and whole id."""
    from rich.text import Text

    task = view.task
    return Text.assemble(
        (f"{symbol(task.state)} {task.state}", colour(task.state)), "  ", (task.template, "bold"), "  ", task.id
    )


def payload(session: Session, value: Any, lines: int = _LINES) -> str:
    """A JSON value for people: secrets masked, the end of a long one cut."""
    import json

    text = json.dumps(session.mask(value), ensure_ascii=False)
    if len(text) > 100:
        text = json.dumps(session.mask(value), ensure_ascii=False, indent=2)
    shown = text.split("\n")
    if len(shown) > lines:
        shown = [*shown[:lines], f"… {plural(len(shown) - lines, 'more line')}: --json shows all"]
    return "\n".join(line if len(line) <= 500 else f"{line[:500]}…" for line in shown)


def _facts(view: View) -> Iterator[tuple[str, str]]:
    task = view.task
    asked = [task.initiator and f"by {task.initiator}", task.source_system and f"from {task.source_system}"]
    why = ", ".join([*filter(None, asked), *([f"because {task.reason}"] if task.reason else [])])
    yield "created", f"{clock(task.created_at, view.now)}, {ago(task.created_at, view.now)}{f', {why}' if why else ''}"
    if task.finished_at is not None:
        yield "ended", ended_words(view)
    if task.error:
        yield "error", message_of(task.error)
    if task.idempotency_key:
        yield "key", task.idempotency_key
    if task.tags:
        yield "tags", ", ".join(task.tags)
    yield "queue", f"{task.queue}, priority {task.priority}" if task.priority else task.queue
    yield "steps", f"{view.satisfied} of {len(view.steps)} satisfied"


def _rows(view: View) -> Sequence[Sequence[Any]]:
    from tasker.cli.screen import plain

    return [
        [
            plain(step.name),
            plain(f"{symbol(step.state)} {step.state}", colour(step.state)),
            plain(f"{step.attempts}/{view.budgets[step.name]}" if step.attempts else ""),
            plain(took(step, view.now)),
            plain("" if step.state is StepState.COMPLETE else _beside(view, step)),
        ]
        for step in view.steps
    ]


def _beside(view: View, step: Step[Any]) -> str:
    """What the row of a step says beside its columns."""
    return message_of(step.error) if step.state is StepState.ERROR else step_words(view, step)


def history(session: Session, task: TaskArgument) -> None:
    """Show what happened to a task and who did it, the oldest first."""
    tasker, screen = session.existing(), session.screen
    found = find_task(tasker, task)
    entries = found.history()
    if screen.json:
        screen.data(entries)
        return
    from tasker.cli.screen import plain

    now = moment(tasker)
    rows = [
        [
            plain(clock(datetime.fromisoformat(entry["at"]), now)),
            plain(entry["what"], "bold"),
            plain(entry["step"] or ""),
            plain(f"{entry['from']} → {entry['to']}" if entry["from"] and entry["from"] != entry["to"] else ""),
            plain(entry["actor"] or ""),
            plain(" ".join(" — ".join(filter(None, (entry["reason"], entry.get("answer")))).split())),
        ]
        for entry in entries
    ]
    screen.table(("AT", "whole"), ("WHAT", "whole"), "STEP", "MOVE", "WHO", "WHY", rows=rows)
