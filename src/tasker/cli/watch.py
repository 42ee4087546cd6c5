"""`tasker task watch`: a live tree of a task's steps; where there is no terminal, a line for each change.

It only reads, again and again; `tasker.cli.view` says what is read, `tasker.cli.tree` how it is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from tasker.app.step import iso
from tasker.cli.command import command
from tasker.cli.session import Session
from tasker.cli.task import masked
from tasker.cli.view import View, ended_words, look, message_of, step_words
from tasker.cli.which import TaskArgument, find_task
from tasker.cli.why import reasons_as_json
from tasker.cli.words import clock, ending, symbol
from tasker.states import StepState, TaskState

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

FIRST, MOST = 0.05, 0.5
"""Seconds between two looks: the first after a change, doubling to the second."""
STEADY = 0.25
"""Seconds between two looks on a terminal, where countdowns run."""
_OF_STEPS = ("running", "retry_due")


def add_to(tasks: typer.Typer) -> None:
    command(tasks, "watch", example="tasker task watch last")(watch)


def watch(session: Session, task: TaskArgument) -> None:
    """Watch a task until it is finished: exit status 0 if it is complete, 1 otherwise."""
    tasker, screen = session.existing(), session.screen
    task_id = find_task(tasker, task).id
    if screen.json:
        last = _as_json(session, task_id)
    elif screen.out.is_terminal:
        last = _live(session, task_id)
    else:
        last = _lines(session, task_id)
    done = last.task.state in (TaskState.COMPLETE, TaskState.RESOLVED_MANUALLY)
    if not done and last.task.is_final:
        screen.note(f"why:  tasker task why {ending(task_id)}{session.flags}")
    if not done:
        raise typer.Exit(1)


def looks(tasker: Tasker, task_id: str, most: float = MOST) -> Iterator[View]:
    """Look at a task whenever it is time to, until it is finished."""
    pause, before = FIRST, None
    while True:
        view = look(tasker, task_id)
        yield view
        if view.task.is_final:
            return
        now = _stamp(view)
        pause = FIRST if now != before else min(most, pause * 2)
        before = now
        time.sleep(pause)


def _stamp(view: View) -> Any:
    """What is the same while nothing happens."""
    steps = [(step.state, step.number, step.due_at, step.progress) for step in view.steps]
    return view.task.state, steps, [reason.code for reason in view.reasons]


def _live(session: Session, task_id: str) -> View:
    from rich.live import Live

    from tasker.cli.tree import drawn

    console = session.screen.out
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        for view in looks(session.tasker, task_id, STEADY):
            live.update(drawn(view, console.height - 2))
    return view


def _lines(session: Session, task_id: str) -> View:
    """One line for each change, for logs and pipes."""
    screen, told = session.screen, Told()
    for view in looks(session.tasker, task_id):
        for line in told.news(view):
            screen.say(f"{clock(view.now)}  {session.here(line)}")
        screen.out.file.flush()
    return view


class Told:
    """What was told of a task already. That a duration runs on is no news."""

    def __init__(self) -> None:
        self._steps: dict[str, Any] = {}
        self._reasons: set[Any] = set()
        self._state = ""

    def news(self, view: View) -> Iterator[str]:
        """A line for whatever is not as it was told last."""
        if not self._state:
            yield f"{view.task.template}  {view.task.id}"
        for step in view.steps:
            now = (step.state, step.number, step.generation, step.due_at, step.progress)
            if self._steps.get(step.name, now if step.state is StepState.PENDING else None) != now:
                words = step_words(view, step)
                yield f"{symbol(step.state)} {step.name}  {step.state}{f', {words}' if words else ''}"
            self._steps[step.name] = now
        # That a step runs, or waits for its retry, its own line has told.
        reasons = {(one.code, one.step, one.until): one.text for one in view.reasons[:3] if one.code not in _OF_STEPS}
        yield from (f"  {text}" for key, text in reasons.items() if key not in self._reasons)
        self._reasons = set(reasons)
        if self._state != view.task.state:
            yield self._of_task(view)
            self._state = view.task.state

    def _of_task(self, view: View) -> str:
        task = view.task
        end = f" {ended_words(view)}" if task.is_final else ""
        return f"{symbol(task.state)} task is {task.state}{end}{f': {message_of(task.error)}' if task.error else ''}"


def _as_json(session: Session, task_id: str) -> View:
    """One JSON value a line, whenever something has changed."""
    before: Any = None
    for view in looks(session.tasker, task_id):
        now = _stamp(view)
        if now != before:
            before = now
            facts = {"at": iso(view.now), **masked(session, view.task), "reasons": reasons_as_json(view.reasons)}
            session.screen.data(facts, line=True)
    return view
