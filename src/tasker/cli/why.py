"""`tasker task why`: what a task waits for, or how it ended, and what one may do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker.app.step import iso
from tasker.cli.command import command
from tasker.cli.screen import GAP, LABEL, labelled
from tasker.cli.session import Session
from tasker.cli.task import headline, masked
from tasker.cli.view import View, ended_words, look, message_of, step_words, took
from tasker.cli.which import TaskArgument, find_task
from tasker.cli.words import colour, due, ending, plural, symbol
from tasker.errors import NotFound
from tasker.states import STEP_FINAL, StepState, TaskState

if TYPE_CHECKING:
    from tasker.app.step import Step
    from tasker.engine.why import Reason


def add_to(tasks: typer.Typer) -> None:
    command(tasks, "why", example="tasker task why last report_tax")(why)


def why(
    session: Session,
    task: TaskArgument,
    step: Annotated[str | None, typer.Argument(help="Ask about this step, also when it waits for others.")] = None,
) -> None:
    """Say why a task is not finished, or how it ended, and what may be done about it."""
    tasker = session.existing()
    view = look(tasker, find_task(tasker, task).id)
    if step is not None and step not in view.task.steps:
        raise NotFound(f"{view.task.template} has no step {step!r}; its steps: {', '.join(view.task.steps)}")
    reasons = view.reasons if step is None else view.task.why(step)
    if session.screen.json:
        session.screen.data(_as_json(session, view, step, reasons))
        return
    session.screen.say(headline(view), "")
    for reason in reasons:
        say_reason(session, view, reason)
    if step is not None and not reasons:
        _say_step(session, view, view.task.steps[step])
    elif step is None and view.task.is_final:
        _say_end(session, view)


def _as_json(session: Session, view: View, step: str | None, reasons: list[Reason]) -> dict[str, Any]:
    whole = masked(session, view.task)
    return {
        **{name: whole[name] for name in ("id", "template", "state", "error", "created_at", "finished_at")},
        "step": step,
        "reasons": reasons_as_json(reasons),
        "failed": [one for one in whole["steps"] if one["state"] == "error"],
    }


def reasons_as_json(reasons: list[Reason]) -> list[dict[str, Any]]:
    return [{"code": one.code, "text": one.text, "step": one.step, "until": iso(one.until)} for one in reasons]


def say_reason(session: Session, view: View, reason: Reason) -> None:
    """One reason: what it is, until when, and the command that helps."""
    from tasker.cli.screen import plain

    screen, margin = session.screen, " " * (max(LABEL, len(reason.step or "") + 2) + GAP)
    text, _, instead = session.here(reason.text).partition("   (")  # what one may write in code comes last
    text, _, line = text.partition(":  tasker ")
    screen.say(labelled(reason.step or "task", text))
    if reason.code not in ("running", "retry_due") and reason.until is not None and reason.until > view.now:
        screen.say(plain(f"{margin}{due(reason.until, view.now)}"))
    if line:
        screen.say(plain(f"{margin}tasker {line}", "bold"))
    if instead:
        screen.say(plain(f"{margin}({instead}", "dim"))
    advice = _advice(view, reason)
    if advice:
        screen.say(plain(f"{margin}{advice[0]}:  {advice[1]}{session.flags}", "dim"))


def _advice(view: View, reason: Reason) -> tuple[str, str] | None:
    """What may be done about a reason, where its own words do not say so."""
    task = ending(view.task.id)
    if reason.code == "retry_due":
        return "try it now", f"tasker task retry {task} {reason.step}"
    if reason.code == "running":
        return "look on", f"tasker task watch {task}"
    if reason.code in ("priority", "queue_full", "slots_busy", "owner_silent", "suspect"):
        return "who works", "tasker workers"
    if reason.code == "parent":
        waits_for = next(
            (parent for parent in view.shape.step(reason.step or "").parents if f"'{parent}'" in reason.text), ""
        )
        return "why that one", f"tasker task why {task} {waits_for}"
    return None


def _say_end(session: Session, view: View) -> None:
    """How a finished task ended."""
    task, screen = view.task, session.screen
    screen.say(labelled("ended", ended_words(view)))
    if task.state is TaskState.COMPLETE:
        screen.say(labelled("results", f"tasker task show {ending(task.id)}{session.flags}"))
        return
    for what in ("cancel", "resolve"):
        for entry in [one for one in task.history() if one["what"] == what and not one["step"]][-1:]:
            screen.say(labelled(f"{what}led" if what == "cancel" else "resolved", _by(entry)))
    if task.error and not view.failed:
        screen.say(labelled("error", str(task.error.get("message", ""))))
    for step in view.failed:
        _say_failed(session, view, step)
    never = [step.name for step in view.steps if step.state not in STEP_FINAL]
    if never:
        screen.say(labelled("never ran", ", ".join(never[:8]) + (" …" if len(never) > 8 else "")))
    _say_helps(session, view)


def _by(entry: dict[str, Any]) -> str:
    return f"by {entry['actor']}" + (f": {entry['reason']}" if entry["reason"] else "")


def _say_failed(session: Session, view: View, step: Step[Any]) -> None:
    from rich.text import Text

    error = step.error or {}
    session.screen.say(
        Text.assemble(
            "  ",
            (f"{symbol(step.state)} {step.name}", colour(step.state)),
            f"  failed at {view.attempts(step)} ({error.get('code', 'exception')})",
        )
    )
    session.screen.say(labelled("", message_of(error)))
    place = _last_line(str(error.get("traceback") or ""))
    if place:
        session.screen.say(labelled("", place))


def _last_line(trace: str) -> str:
    """Where it happened: the last frame of a traceback, with its line of code."""
    lines = trace.rstrip().split("\n")
    frames = [i for i, line in enumerate(lines) if line.lstrip().startswith('File "')]
    if not frames:
        return ""
    code = lines[frames[-1] + 1].strip() if frames[-1] + 1 < len(lines) else ""
    return f"{lines[frames[-1]].strip()}:  {code}" if code else lines[frames[-1]].strip()


def _say_helps(session: Session, view: View) -> None:
    """The commands that help a task that has failed."""
    from tasker.cli.screen import plain

    session.screen.say("")
    for words, line in _helps(view):
        session.screen.say(plain(f"  {words:<16} {line}{session.flags}", "dim"))


def _helps(view: View) -> Iterator[tuple[str, str]]:
    task = ending(view.task.id)
    if view.task.state is TaskState.ERROR:
        yield "try again", f"tasker task retry {task}"
    if not view.failed:
        yield "run again", f'tasker task rerun {task} {view.steps[0].name} --reason "…"' if view.steps else ""
        return
    step = view.failed[0].name
    yield "every attempt", f"tasker task show {task} {step}"
    yield "done by hand", f"tasker task resolve {task} {step} --results '…' --reason \"…\""
    yield "not needed", f'tasker task skip {task} {step} --reason "…"'
    more = len(view.shape.graph.descendants(view.shape.graph.index[step]))
    yield "from there on", f'tasker task rerun {task} {step} --reason "…"   ({plural(more + 1, "step")})'


def _say_step(session: Session, view: View, step: Step[Any]) -> None:
    """How a step ended, or why it never ran."""
    if step.state is StepState.ERROR:
        _say_failed(session, view, step)
        _say_helps(session, view)
        return
    words = step_words(view, step) or took(step, view.now)
    if step.state not in STEP_FINAL:
        words = f"it never ran: its task is {view.task.state}"
        words += f", for {', '.join(one.name for one in view.failed[:3])} failed" if view.failed else ""
    session.screen.say(labelled(step.name, ", ".join(filter(None, (f"{symbol(step.state)} {step.state}", words)))))
