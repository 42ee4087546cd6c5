"""View: one task as it is looked at, with its steps, budgets and reasons; and how a step reads in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasker.cli.words import clock, due, shortened, span
from tasker.clock import as_datetime
from tasker.states import STEP_SATISFIED, StepState

if TYPE_CHECKING:
    from tasker.app.step import Step
    from tasker.app.task import Task
    from tasker.app.tasker import Tasker
    from tasker.definition.shape import Shape
    from tasker.engine.why import Reason


@dataclass(frozen=True)
class View:
    """One look at a task.

    Attributes:
        budgets: step → how many attempts it may have.
        reasons: what it waits for; empty once it is finished.
        places: worker → `host:pid`.
        now: the database's time.
    """

    task: Task
    shape: Shape
    budgets: Mapping[str, int]
    reasons: list[Reason]
    places: Mapping[str, str]
    now: datetime

    @property
    def steps(self) -> list[Step[Any]]:
        return list(self.task.steps.values())

    @property
    def failed(self) -> list[Step[Any]]:
        return [step for step in self.steps if step.state is StepState.ERROR]

    @property
    def satisfied(self) -> int:
        return sum(step.state in STEP_SATISFIED for step in self.steps)

    @property
    def took(self) -> float | None:
        """Seconds from its creation to its end."""
        end = self.task.finished_at
        return None if end is None else (end - self.task.created_at).total_seconds()

    def attempts(self, step: Step[Any]) -> str:
        return f"attempt {step.attempts} of {self.budgets[step.name]}"


def look(tasker: Tasker, task_id: str) -> View:
    """Read everything about one task."""
    from tasker.app.task import Task
    from tasker.store import read

    reader, store = tasker.reader, tasker.store
    row = reader.row(task_id)
    task = Task(tasker, row)
    return View(
        task=task,
        shape=reader.shape(row.template),
        budgets=reader.budgets(row),
        reasons=[] if task.is_final else task.why(),
        places={worker.id: f"{worker.host}:{worker.pid}" for worker in read.all_workers(store)},
        now=moment(tasker),
    )


def moment(tasker: Tasker) -> datetime:
    """The database's time."""
    now = as_datetime(tasker.store.clock.now())
    assert now is not None
    return now


def message_of(error: Mapping[str, Any] | None) -> str:
    """What an error says, on one line."""
    return shortened(" ".join(str((error or {}).get("message") or (error or {}).get("code") or "no message").split()))


def took(step: Step[Any], now: datetime) -> str:
    """How long its last attempt took, or has taken so far."""
    if step.started_at is None:
        return ""
    end = now if step.state is StepState.IN_PROGRESS else step.finished_at
    return "" if end is None else span(end - step.started_at)


def step_words(view: View, step: Step[Any], *, brief: bool = False) -> str:
    """What there is to say of a step beside its state; `brief`: without times of day."""
    said = []
    state = step.state
    if state in (StepState.COMPLETE, StepState.IN_PROGRESS):
        said.append(took(step, view.now))
    if state is StepState.IN_PROGRESS and step.worker is not None and step.worker in view.places:
        said.append(f"at {view.places[step.worker]}")
    if (state is StepState.COMPLETE and step.attempts > 1) or (state is StepState.IN_PROGRESS and step.attempts > 1):
        said.append(view.attempts(step))
    if state is StepState.IN_PROGRESS and step.progress:
        said.append(progress_words(step.progress))
    if state is StepState.WAITING_FOR_RETRY:
        said += _retry_words(view, step, brief)
    if state is StepState.ERROR:
        said += [view.attempts(step), message_of(step.error)]
    if state in (StepState.SKIPPED, StepState.RESOLVED_MANUALLY) and step.note:
        said.append(shortened(step.note))
    return ", ".join(word for word in said if word)


def _retry_words(view: View, step: Step[Any], brief: bool) -> list[str]:
    again = f"again {due(step.due_at, view.now)}" if step.due_at is not None else ""
    again = again.partition(",")[0] if brief else again
    if step.error is None:  # it asked for it: no attempt was used
        return [again, shortened(step.note or "")]
    return [view.attempts(step), again, message_of(step.error)]


def progress_words(progress: Mapping[str, Any]) -> str:
    """A bar, a share and the handler's own words."""
    share, text = progress.get("fraction"), str(progress.get("text") or "")
    if not isinstance(share, int | float):
        return shortened(text, 60)
    share = min(1.0, max(0.0, share))
    full = round(share * 10)
    return f"{'█' * full}{'░' * (10 - full)} {share:.0%} {shortened(text, 60)}".rstrip()


def ended_words(view: View) -> str:
    """When a finished task ended, and how long it took."""
    if view.task.finished_at is None or view.took is None:
        return ""
    return f"at {clock(view.task.finished_at, view.now)}, {span(view.took)} after it was created"
