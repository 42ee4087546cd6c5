"""Rows: what the engine gives to the store and gets from it, as plain tuples with names."""

from __future__ import annotations

from typing import NamedTuple


class StepRow(NamedTuple):
    """One row of `steps`; moments are Unix seconds, payloads JSON text."""

    task_id: str
    name: str
    state: str
    attempt: int = 0
    budget_from: int = 0
    uncounted: int = 0
    lost: int = 0
    generation: int = 0
    max_attempts: int | None = None
    due_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wait_since: float | None = None
    results: str | None = None
    error: str | None = None
    note: str | None = None
    progress: str | None = None
    worker: str | None = None


class StoredStep(NamedTuple):
    """A step row as an owner reads it: large results stay in the database until they are needed."""

    task_id: str
    name: str
    state: str
    attempt: int
    budget_from: int
    uncounted: int
    lost: int
    generation: int
    max_attempts: int | None
    due_at: float | None
    started_at: float | None
    finished_at: float | None
    wait_since: float | None
    error: str | None
    note: str | None
    worker: str | None
    large: bool
    results: str | None


class AttemptRow(NamedTuple):
    """One row of `attempts`: an attempt that did not settle its step."""

    task_id: str
    step: str
    attempt: int
    ended: str
    started_at: float | None
    finished_at: float | None
    retry_at: float | None
    error: str | None
    worker: str | None


class HistoryRow(NamedTuple):
    """One row of `history`."""

    id: str
    task_id: str | None
    at: float
    what: str
    step: str | None
    from_state: str | None
    to_state: str | None
    actor: str
    reason: str


class AnnotationRow(NamedTuple):
    """One row of `annotations`."""

    id: str
    task_id: str
    step: str
    type: str
    value: str
    created_at: float


class LetGo(NamedTuple):
    """A task its owner gives up: finished, parked or handed back.

    Attributes:
        calm: an attempt settled, so the task is no suspect any more.
    """

    id: str
    state: str
    wake_at: float | None
    waits_system: str | None
    finished_at: float | None
    error: str | None
    calm: bool


class TaskChange(NamedTuple):
    """What a person's action changes of a task row, besides who owns it."""

    id: str
    state: str
    context: str | None
    result: str | None
    error: str | None
    finished_at: float | None
    wake_at: float | None
    crashes: int | None = None


class Claimed(NamedTuple):
    """A task as its owner reads it.

    Attributes:
        context: None when it is large and must be read on its own.
        first: nobody claimed it before.
    """

    id: str
    template: int
    queue: str
    priority: int
    state: str
    crashes: int
    created_at: float
    context: str | None
    first: bool = False


class OpenAction(NamedTuple):
    """What a person asked of a task, not answered yet."""

    id: str
    task_id: str
    what: str
    params: str
    actor: str
    reason: str
    created_at: float


class Answer(NamedTuple):
    """What became of an action."""

    id: str
    state: str
    answer: str
    answered_at: float
