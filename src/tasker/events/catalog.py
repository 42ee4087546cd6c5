"""The catalogue: each event a frozen dataclass whose fields are its payload.

`tasker events` and the reference are made from here. `name` is how strings call it: `StepRetrying` is `step.retrying`.
Moments are Unix seconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from tasker.errors import RequestError

E = TypeVar("E", bound="Event")

CATALOG: dict[str, type[Event]] = {}
"""Every event by its name."""


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class _OfTask(Event):
    task_id: str
    template: str


@dataclass(frozen=True, slots=True)
class _OfStep(_OfTask):
    step: str
    attempt: int


@dataclass(frozen=True, slots=True)
class _OfWorker(Event):
    worker: str


def _event(name: str) -> Callable[[type[E]], type[E]]:
    def listed(kind: type[E]) -> type[E]:
        kind.name = name
        CATALOG[name] = kind
        return kind

    return listed


@_event("task.enqueued")
@dataclass(frozen=True, slots=True)
class TaskEnqueued(_OfTask):
    """A new task was stored (on a host's connection: only where the commit can be known)."""


@_event("task.started")
@dataclass(frozen=True, slots=True)
class TaskStarted(_OfTask):
    """A worker claimed the task for the first time."""


@_event("task.waiting")
@dataclass(frozen=True, slots=True)
class TaskWaiting(_OfTask):
    """Nothing can run now: the task was parked until `until` (None: until something outside happens)."""

    until: float | None


@_event("task.completed")
@dataclass(frozen=True, slots=True)
class TaskCompleted(_OfTask):
    """All steps are satisfied."""


@_event("task.failed")
@dataclass(frozen=True, slots=True)
class TaskFailed(_OfTask):
    """The task ended in `error`; `steps` are those in final error, `error` is the task's."""

    steps: tuple[str, ...]
    error: Mapping[str, Any]


@_event("task.cancelled")
@dataclass(frozen=True, slots=True)
class TaskCancelled(_OfTask):
    """A person cancelled the task."""


@_event("task.paused")
@dataclass(frozen=True, slots=True)
class TaskPaused(_OfTask):
    """A person paused the task."""


@_event("task.resumed")
@dataclass(frozen=True, slots=True)
class TaskResumed(_OfTask):
    """A person let a paused task go on."""


@_event("task.resolved")
@dataclass(frozen=True, slots=True)
class TaskResolved(_OfTask):
    """A person declared a failed task resolved."""


@_event("step.started")
@dataclass(frozen=True, slots=True)
class StepStarted(_OfStep):
    """An attempt was handed to its handler."""


@_event("step.completed")
@dataclass(frozen=True, slots=True)
class StepCompleted(_OfStep):
    """An attempt succeeded; its results are stored."""


@_event("step.retrying")
@dataclass(frozen=True, slots=True)
class StepRetrying(_OfStep):
    """An attempt failed and the next one is due at `due_at`."""

    due_at: float
    error: Mapping[str, Any]


@_event("step.failed")
@dataclass(frozen=True, slots=True)
class StepFailed(_OfStep):
    """The step is in final error."""

    error: Mapping[str, Any]


@_event("step.skipped")
@dataclass(frozen=True, slots=True)
class StepSkipped(_OfStep):
    """The handler, or a person, skipped the step."""

    reason: str


@_event("step.resolved")
@dataclass(frozen=True, slots=True)
class StepResolved(_OfStep):
    """A person resolved the step by hand."""


@_event("worker.started")
@dataclass(frozen=True, slots=True)
class WorkerStarted(_OfWorker):
    """A worker registered."""


@_event("worker.stopped")
@dataclass(frozen=True, slots=True)
class WorkerStopped(_OfWorker):
    """A worker handed back what it had and left."""


@_event("worker.lost")
@dataclass(frozen=True, slots=True)
class WorkerLost(_OfWorker):
    """A worker was found dead: its tasks are due again."""


def named(event: Any) -> type[Event]:
    """Find an event by its name, or by its class.

    Raises:
        RequestError: there is none, with the nearest spelling.
    """
    if isinstance(event, type) and issubclass(event, Event) and event.name:
        return event
    if isinstance(event, str) and event in CATALOG:
        return CATALOG[event]
    near = difflib.get_close_matches(str(event), CATALOG, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RequestError(f"app.on: no event {event!r}.{hint} Events: {', '.join(CATALOG)}")
