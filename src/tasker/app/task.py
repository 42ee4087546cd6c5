"""Task: a snapshot of one task, and what one may do to it."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasker import payload
from tasker.app.step import Step, Steps, iso
from tasker.clock import Seconds, as_datetime
from tasker.errors import NotFound, RequestError, TaskFailed
from tasker.states import STEP_SATISFIED, TASK_FINAL, StepState, TaskState

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker
    from tasker.engine.why import Reason

StepRef = str | Callable[..., Any]


class Task:
    """One task as it was read last; `refresh` reads again, and so do `wait` and every action.

    Attributes:
        id: its id, text.
        template: `namespace/name@version`.
        state: `pending`, `in_progress`, `waiting`, `paused`, `complete`, `error`, `cancelled`, `resolved_manually`.
        context: what it was given, as JSON made it.
        error: `{code, message, steps}` once it is in `error`.
        created: whether this enqueue made it; False where an idempotency key found it.
    """

    id: str
    template: str
    state: TaskState
    created: bool
    context: Any
    error: Mapping[str, Any] | None
    queue: str
    priority: int
    tags: tuple[str, ...]
    idempotency_key: str | None
    initiator: str
    source_system: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def __init__(self, app: Tasker, row: Any, created: bool = False) -> None:
        self._app = app
        self.created = created
        self._take(row)

    def _take(self, row: Any) -> None:
        self._row = row
        self._steps: Steps | None = None
        self.id, self.template, self.state = row.id, row.ref, TaskState(row.state)
        self.context = payload.decode(row.context)
        self.error = None if row.error is None else json.loads(row.error)
        self.queue, self.priority, self.tags = row.queue, row.priority, tuple(json.loads(row.tags))
        self.idempotency_key = row.idempotency_key
        self.initiator, self.source_system, self.reason = row.initiator, row.source_system, row.reason
        created_at = as_datetime(row.created_at)
        assert created_at is not None
        self.created_at = created_at
        self.started_at, self.finished_at = as_datetime(row.started_at), as_datetime(row.finished_at)

    def __repr__(self) -> str:
        return f"<Task …{self.id[-9:]} {self.template} {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def app(self) -> Tasker:
        """The app it was read by."""
        return self._app

    @property
    def is_final(self) -> bool:
        """Whether it stays as it is until a person acts."""
        return self.state in TASK_FINAL

    @property
    def steps(self) -> Steps:
        """All its steps in definition order, those that never ran too."""
        if self._steps is None:
            self._steps = self._app.reader.steps(self._row)
        return self._steps

    def refresh(self) -> Task:
        """Read it again; returns itself.

        Raises:
            NotFound: it is not in the database: not committed yet, rolled back, or pruned.
        """
        self._take(self._app.reader.row(self.id))
        return self

    def wait(self, timeout: Seconds | None = None) -> Task:
        """Wait until it is finished; returns itself.

        Raises:
            TaskTimeout: it was not finished in time; the message is why.
            RequestError: this thread runs an event loop, which would stand still.
        """
        return self._app.waiting.wait(self, timeout)

    def result(self, timeout: Seconds | None = None) -> Any:
        """Wait, then give the results as JSON made them: of the template's `result` step, else of all leaves by name.

        Raises:
            TaskFailed: it ended in `error` or `cancelled`.
            TaskTimeout: as `wait`.
        """
        self.wait(timeout)
        return self._result()

    def _result(self) -> Any:
        if self.state is TaskState.RESOLVED_MANUALLY and self._row.result is not None:
            return payload.decode(self._row.result)
        if self.state in (TaskState.ERROR, TaskState.CANCELLED):
            failed = [step for step in self.steps.values() if step.state is StepState.ERROR]
            raise TaskFailed(_failed_words(self, failed), self, failed)
        shape = self._app.reader.shape(self._row.template)
        if shape.result is not None:
            return self.steps[shape.result].results
        names = [shape.graph.names[i] for i in shape.graph.leaves]
        return {name: self.steps[name].results for name in names if self.steps[name].state in STEP_SATISFIED}

    async def arefresh(self) -> Task:
        """`refresh` for async hosts."""
        return await asyncio.to_thread(self.refresh)

    async def aresult(self, timeout: Seconds | None = None) -> Any:
        """`result` for async hosts."""
        await self._app.waiting.await_(self, timeout)
        return await asyncio.to_thread(self._result)

    def __await__(self) -> Generator[Any, None, Task]:
        return self._app.waiting.await_(self, None).__await__()

    def why(self, step: StepRef | None = None) -> list[Reason]:
        """Say what it waits for, each reason with its code, text, step and moment; empty once it is finished.

        Args:
            step: ask about this step, also when it only waits for its parents.
        """
        return self._app.reader.why(self.id, None if step is None else self._name(step))

    def history(self) -> list[dict[str, Any]]:
        """Its moves and people's actions, oldest first."""
        return self._app.reader.history(self.id)

    def annotations(self) -> list[tuple[str, Any]]:
        """Facts its handlers attached, oldest first."""
        return self._app.reader.annotations(self.id)

    def as_dict(self) -> dict[str, Any]:
        """The REST form: JSON values only."""
        return {
            "id": self.id,
            "template": self.template,
            "state": str(self.state),
            "context": self.context,
            "error": self.error,
            "queue": self.queue,
            "priority": self.priority,
            "tags": list(self.tags),
            "idempotency_key": self.idempotency_key,
            "initiator": self.initiator,
            "source_system": self.source_system,
            "reason": self.reason,
            "created_at": iso(self.created_at),
            "started_at": iso(self.started_at),
            "finished_at": iso(self.finished_at),
            "steps": [step.as_dict() for step in self.steps.values()],
        }

    # what a person may do

    def cancel(self, *, reason: str, actor: str | None = None) -> Task:
        """Cancel it at once: pending steps never start, running ones are told."""
        return self._act("cancel", {}, reason, actor)

    def pause(self, *, reason: str = "", actor: str | None = None) -> Task:
        """Start nothing new; what runs ends and is recorded."""
        return self._act("pause", {}, reason, actor)

    def resume(self, *, reason: str = "", actor: str | None = None) -> Task:
        """Let a paused task go on, now."""
        return self._act("resume", {}, reason, actor)

    def retry(
        self,
        step: StepRef | None = None,
        max_attempts: int | None = None,
        *,
        reason: str = "",
        actor: str | None = None,
    ) -> Task:
        """Try a failed step, or all of them, again with a new budget; a step that waits is due now.

        Args:
            max_attempts: a larger (or smaller) budget for these steps of this task.
        """
        if max_attempts is not None and (isinstance(max_attempts, bool) or max_attempts < 1):
            raise RequestError(f"retry: max_attempts={max_attempts!r}: it must be a whole number of at least 1")
        params = {"step": self._name(step)} if step is not None else {}
        return self._act("retry", {**params, **({"max_attempts": max_attempts} if max_attempts else {})}, reason, actor)

    def resolve(
        self, step: StepRef | None = None, results: Any = None, *, reason: str, actor: str | None = None
    ) -> Task:
        """Declare a step done by hand, with its results; without a step: the failed task as a whole."""
        params: dict[str, Any] = {"results": self._app.reader.checked_results(self._row, self._name(step), results)}
        if step is not None:
            params["step"] = self._name(step)
        return self._act("resolve", params, reason, actor)

    def skip(self, step: StepRef, *, reason: str, actor: str | None = None) -> Task:
        """Declare a step not needed; its children get None."""
        return self._act("skip", {"step": self._name(step)}, reason, actor)

    def rerun(self, from_step: StepRef, context: Any = None, *, reason: str, actor: str | None = None) -> Task:
        """Run a step and all its descendants again, with another context if one is given."""
        params: dict[str, Any] = {"step": self._name(from_step)}
        if context is not None:
            params["context"] = self._app.reader.checked_context(self._row, context)
        return self._act("rerun", params, reason, actor)

    def would_rerun(self, from_step: StepRef) -> list[str]:
        """The steps that a rerun from there would run again."""
        graph = self._app.reader.shape(self._row.template).graph
        name = self._name(from_step)
        if name not in graph.index:
            raise NotFound(f"{self.template} has no step {name!r}; its steps: {', '.join(graph.names)}")
        return [name, *(graph.names[i] for i in graph.descendants(graph.index[name]))]

    def _act(self, what: str, params: Mapping[str, Any], reason: str, actor: str | None) -> Task:
        self._app.operator.act(self.id, what, params, reason, actor or default_actor())
        return self.refresh()

    def _name(self, step: StepRef | None) -> str:
        if step is None or isinstance(step, str):
            return step or ""
        return self._app.reader.step_name(self.template, step)


def default_actor() -> str:
    """Who acts where nobody said: the user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _failed_words(task: Task, failed: list[Step[Any]]) -> str:
    if task.state is TaskState.CANCELLED:
        return f"{task.template} …{task.id[-9:]} was cancelled"
    words = "; ".join(f"step {step.name!r}: {(step.error or {}).get('message', '')}" for step in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    message = words + more or str((task.error or {}).get("message", ""))
    return f"{task.template} …{task.id[-9:]} ended in error: {message}. See:  tasker task show {task.id[-9:]}"
